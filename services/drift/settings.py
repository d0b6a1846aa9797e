"""What an operator may set for `drift`, beyond what every service shares."""

from __future__ import annotations

from pydantic import Field

from headrace.domain.models.settings import PackageSettings


class DriftSettings(PackageSettings):
    """Settings of `drift`."""

    publish_s: float = Field(5.0, ge=0.1, le=3600, description="seconds between two publications of what changed")
    idle_after_s: float = Field(
        10.0, gt=0, le=3_600, description="a source that stayed at its end for so long holds nothing back any more"
    )
