"""What an operator may set for `kpi`, beyond what every service shares."""

from __future__ import annotations

from headrace.streaming.process.settings import Settings


class KpiSettings(Settings):
    """Settings of `kpi`."""
