"""What an operator may set for `notify`, beyond what every service shares."""

from __future__ import annotations

from pydantic import Field

from headrace.streaming.process.settings import Settings


class NotifySettings(Settings):
    """Settings of `notify`."""

    send_deadline_s: float = Field(30.0, gt=0, le=600, description="an attempt without an answer has failed after this")
    give_up_s: float = Field(
        900.0, gt=0, le=86_400, description="what no attempt could deliver for so long becomes a dead letter"
    )
    tell_within_s: float = Field(
        86_400.0, gt=0, description="events that nobody was told of for longer are told together, in one message"
    )
