"""What an operator may set for `release`, beyond what every service shares."""

from __future__ import annotations

from headrace.streaming.process.settings import Settings


class ReleaseSettings(Settings):
    """Settings of `release`."""
