"""What an operator may set for `views`, beyond what every service shares."""

from __future__ import annotations

from pydantic import Field

from headrace.streaming.process.settings import Settings


class ViewsSettings(Settings):
    """Settings of `views`: one process folds one view."""

    view: str = Field("", description="the view to keep; unset: the pipeline's only one keyed by another entity")
    behind_ms: float = Field(
        30.0, ge=0, le=10_000, description="changed entities are gathered this long before they are written"
    )
