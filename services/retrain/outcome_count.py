"""How many outcomes came since the last training began."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.plans.plans import CANARY, CHAMPION
from headrace.domain.retrain.history import TrainingRun
from headrace.domain.training.job.order import parse_order
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, ranges, read

ANSWERED = pa.array([CHAMPION, CANARY])


class OutcomeCount:
    """Counts the first outcomes of predictions that were published; corrections and dark models do not count.

    Args:
        connection: to the cluster.
        outcomes: the topic.
    """

    def __init__(self, connection: Connection, outcomes: Channel) -> None:
        self._connection = connection
        self._outcomes = outcomes
        self._run: str | None = None
        self._ends: dict[int, int] = {}
        self._count = 0

    def since(self, run: TrainingRun | None) -> int:
        """Outcomes behind those that a training was ordered with; None: all that the topic has.

        Reads what came since the last call. Raises Transient when Kafka does not answer in time.
        """
        name = "" if run is None else run.run
        if name != self._run:
            self._run, self._count = name, 0
            ordered = None if run is None else parse_order(run.order).offsets
            self._ends = {part: end for part, (_, end) in (ordered or {}).items()}
        there = ranges(self._connection, self._outcomes.name)
        wanted = [
            Range(part.partition, max(self._ends.get(part.partition, 0), part.start), part.stop) for part in there
        ]
        count = 0
        for intake in read(self._connection, self._outcomes, wanted):
            rows = intake.batch.columns
            first = pc.and_(pc.equal(rows["revision"], 0), pc.is_in(rows["arm"], value_set=ANSWERED))
            count += int(pc.sum(first).as_py() or 0)
        self._count += count
        self._ends = {part.partition: part.stop for part in there}
        return self._count
