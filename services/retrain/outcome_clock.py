"""How far events have come, as the outcomes tell it: the time that rules go by where a pipeline says so."""

from __future__ import annotations

from headrace.domain.training.dataset import milliseconds
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from services.retrain.outcome_tail import OutcomeTail

TAIL = 500
"""Offsets from the end in which the newest outcome of a partition lies: control records stand between them."""


class OutcomeClock:
    """The event time up to which labels are known, by the newest outcomes; it never goes back.

    Every outcome says as of when it was told (`as_of`), which is how far the labels had come. So a backfill of three
    months takes three months by this clock, however fast it goes, and what stands still stops it.

    Args:
        connection: to the cluster.
        outcomes: the topic.
    """

    def __init__(self, connection: Connection, outcomes: Channel) -> None:
        self._tail = OutcomeTail(connection, outcomes, most=TAIL)
        self._newest = 0

    def now(self) -> int:
        """Milliseconds since the epoch; 0 before the first outcome. Raises Transient when Kafka does not answer."""
        for rows in self._tail.come():
            self._newest = max(self._newest, int(milliseconds(rows["as_of"]).max()))
        return self._newest
