"""What an operator may set for `enrich`, beyond what every service shares."""

from __future__ import annotations

from pydantic import Field

from headrace.streaming.process.settings import Settings


class EnrichSettings(Settings):
    """Settings of `enrich`."""

    ahead_s: float = Field(
        86_400.0, ge=0, description="refuse events whose time is further than this beyond their Kafka timestamp"
    )
