"""What an operator may set for `scorecards`, beyond what every service shares."""

from __future__ import annotations

from pydantic import Field

from headrace.domain.models.settings import PackageSettings


class ScorecardsSettings(PackageSettings):
    """Settings of `scorecards`."""

    publish_s: float = Field(5.0, ge=0.1, le=3600, description="seconds between two publications of what changed")
    distinct_scores: int = Field(
        65_536, ge=4_096, le=1_048_576, description="scores that a card keeps as they are; more are rounded to as many"
    )
