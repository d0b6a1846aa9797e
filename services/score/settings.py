"""What an operator may set for `score`, beyond what every service shares."""

from __future__ import annotations

from headrace.domain.models.settings import InferenceSettings


class ScoreSettings(InferenceSettings):
    """Settings of `score`."""
