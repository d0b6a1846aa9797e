"""What an operator may set for `release`, beyond what every service shares."""

from __future__ import annotations

from pydantic import Field

from headrace.streaming.process.settings import Settings


class ReleaseSettings(Settings):
    """Settings of `release`."""

    idle_after_s: float = Field(
        10.0, gt=0, le=3_600, description="a source that stayed at its end for so long holds nothing back any more"
    )
    ledger_check_s: float = Field(
        3_600.0, ge=0, description="seconds between two looks whether the ledger is whole; it is read whole; 0: none"
    )
