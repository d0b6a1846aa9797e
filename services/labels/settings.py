"""What an operator may set for `labels`, beyond what every service shares."""

from __future__ import annotations

from pydantic import Field

from headrace.streaming.process.settings import Settings


class LabelsSettings(Settings):
    """Settings of `labels`."""

    view: str = Field(
        "", description="a view that a later revision brought: labels of it alone are told; unset: all else is done"
    )
    idle_after_s: float = Field(
        10.0, gt=0, le=3_600, description="a source that stayed at its end for so long holds nothing back any more"
    )
