"""How many outcomes came since the last training began."""

from __future__ import annotations

import pyarrow.compute as pc

from headrace.domain.retrain.history import TrainingRun
from headrace.domain.training.job.order import parse_order
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from services.retrain.outcome_tail import OutcomeTail, first_answers


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
        self._tail = OutcomeTail(connection, outcomes)
        self._count = 0

    def since(self, run: TrainingRun | None) -> int:
        """Outcomes behind those that a training was ordered with; None: all that the topic has.

        Reads what came since the last call. Raises Transient when Kafka does not answer in time.
        """
        name = "" if run is None else run.run
        if name != self._run:
            self._run, self._count = name, 0
            ordered = None if run is None else parse_order(run.order).offsets
            ends = {part: end for part, (_, end) in (ordered or {}).items()}
            self._tail = OutcomeTail(self._connection, self._outcomes, ends)
        self._count += sum(int(pc.sum(first_answers(rows)).as_py() or 0) for rows in self._tail.come())
        return self._count
