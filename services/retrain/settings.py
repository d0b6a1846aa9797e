"""What an operator may set for `retrain`, beyond what every service shares."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from headrace.domain.models.settings import PackageSettings


class RetrainSettings(PackageSettings):
    """Settings of `retrain`."""

    stall_s: float = Field(
        60.0, ge=5, description="end, to be started again, when there are control events and none is taken for so long"
    )
    look_s: float = Field(1.0, ge=0.1, le=60, description="seconds between two looks at the schedule and the volume")
    trainings: Path = Field(Path(".headrace/trainings"), description="folder of the orders and logs of trainings")
    job: tuple[str, ...] = Field(
        (), description="the program of a training and its arguments, as JSON; unset: headrace's own"
    )
