"""Which packages whose gates are not known have outcomes enough to be judged again."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.retrain.gate_waits import GateWait
from headrace.domain.training.dataset import milliseconds
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import ranges
from services.retrain.outcome_tail import OutcomeTail, first_answers


class GateLooks:
    """Counts first outcomes with a label of predictions that were published, behind those that a look has read.

    Args:
        connection: to the cluster.
        outcomes: the topic.
    """

    def __init__(self, connection: Connection, outcomes: Channel) -> None:
        self._connection = connection
        self._outcomes = outcomes
        self._counts: dict[tuple[str, int], _Count] = {}

    def due(self, waiting: Iterable[GateWait]) -> list[GateWait]:
        """Those that have enough, in their order, and are within their time.

        Reads what came since the last call. Raises Transient when Kafka does not answer in time.
        """
        wanted = {(wait.package.event, wait.look): wait for wait in waiting}
        self._counts = {key: self._counts.get(key) or self._behind(wait) for key, wait in wanted.items()}
        if not wanted:
            return []
        there = ranges(self._connection, self._outcomes.name)
        for count in self._counts.values():
            # Added once all of it is there: what a broker cut off comes again.
            come = [(_labelled(rows), int(milliseconds(rows["as_of"]).max())) for rows in count.tail.come(there)]
            count.outcomes += sum(outcomes for outcomes, _ in come)
            count.reached = max([count.reached, *(as_of for _, as_of in come)])
        counted = zip(wanted.values(), self._counts.values(), strict=True)
        return [wait for wait, c in counted if wait.outcomes + c.outcomes >= wait.again and c.reached <= wait.until]

    def _behind(self, wait: GateWait) -> _Count:
        return _Count(OutcomeTail(self._connection, self._outcomes, wait.ends))


class _Count:
    """`outcomes` that came by a tail, and the event time as of which the newest of them was told."""

    def __init__(self, tail: OutcomeTail) -> None:
        self.tail, self.outcomes, self.reached = tail, 0, 0


def _labelled(rows: pa.RecordBatch) -> int:
    return int(pc.sum(pc.and_(first_answers(rows), pc.is_valid(rows["label"]))).as_py() or 0)
