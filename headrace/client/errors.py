"""What may become of an event instead of a prediction."""

from __future__ import annotations

from headrace.errors import InvalidRecord, Transient


class Refused(InvalidRecord):
    """A service refused the event: it is on the topic of dead letters.

    Attributes:
        event_id: of the event, as text.
        reason: a short stable slug, such as `out_of_range`.
        detail: a sentence, never the payload.
        service: which refused it.
    """

    def __init__(self, event_id: str, reason: str, detail: str, service: str) -> None:
        super().__init__(reason, f"event {event_id} was refused by {service}: {detail}")
        self.event_id = event_id
        self.service = service


class NotAnswered(Transient):
    """No prediction came in time. It may come later: the event is on its way, or known to be on the topic.

    Attributes:
        event_id: of the event, as text.
    """

    def __init__(self, event_id: str, why: str) -> None:
        super().__init__(f"event {event_id} has no prediction: {why}")
        self.event_id = event_id
