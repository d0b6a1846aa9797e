"""Outcomes that came since one last looked."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.plans.plans import CANARY, CHAMPION
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, ranges, read

ANSWERED = pa.array([CHAMPION, CANARY])


class OutcomeTail:
    """Reads the topic of outcomes on, without a group.

    Args:
        connection: to the cluster.
        outcomes: the topic.
        ends: by partition, the offset from which outcomes count; none: its first one.
        most: offsets of a partition that are read at a time, those before are passed over; None: all.
    """

    def __init__(
        self, connection: Connection, outcomes: Channel, ends: Mapping[int, int] | None = None, most: int | None = None
    ) -> None:
        self._connection = connection
        self._outcomes = outcomes
        self._ends = dict(ends or {})
        self._most = most

    def come(self, there: Sequence[Range] | None = None) -> Generator[pa.RecordBatch, None, None]:
        """What came since the last time, in batches. Whoever does not take all of them is given all once more.

        Args:
            there: what the topic holds; None: it is asked.

        Raises Transient when Kafka does not answer in time.
        """
        there = ranges(self._connection, self._outcomes.name) if there is None else there
        wanted = [each for part in there if (each := self._behind(part)).stop > each.start]
        for intake in read(self._connection, self._outcomes, wanted) if wanted else ():
            if len(intake.batch):
                yield intake.batch.columns
        self._ends = {part.partition: part.stop for part in there}

    def _behind(self, part: Range) -> Range:
        start = max(part.start, self._ends.get(part.partition, 0))
        return Range(part.partition, start if self._most is None else max(start, part.stop - self._most), part.stop)


def first_answers(rows: pa.RecordBatch) -> pa.Array:
    """Which are first outcomes of predictions that were published; corrections and dark models are not."""
    return pc.and_(pc.equal(rows["revision"], 0), pc.is_in(rows["arm"], value_set=ANSWERED))
