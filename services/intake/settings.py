"""What an operator may set for `intake`, beyond what every service shares."""

from __future__ import annotations

from headrace.streaming.process.settings import Settings


class IntakeSettings(Settings):
    """Settings of `intake`."""
