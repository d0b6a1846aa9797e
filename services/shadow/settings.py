"""What an operator may set for `shadow`, beyond what every service shares."""

from __future__ import annotations

from pydantic import Field

from headrace.domain.models.settings import InferenceSettings


class ShadowSettings(InferenceSettings):
    """Settings of `shadow`."""

    shed_after_s: float = Field(
        30.0, ge=0, description="leave dark models out, lowest priority first, when further behind than this; 0: never"
    )
    nice: int = Field(19, ge=0, le=19, description="how far the process gives way to others for CPU")
