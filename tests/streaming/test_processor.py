"""Which rows are answered, over the lives of a partition: each once, whatever waits and is released in what parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.streaming.kafka.decode import Intake
from headrace.streaming.kafka.message import Message, TopicPartition
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.records.batch import Admission, Batch, Emit, Output, Reject
from headrace.streaming.records.dead_letters import RejectShare
from headrace.streaming.task.commitment import Commitment
from headrace.streaming.task.processor import Answering
from headrace.streaming.task.service import Service
from headrace.streaming.task.task import Task
from tests.streaming.tally import wiring

LENGTH = 24


def batch(first: int, stop: int) -> Batch:
    """Rows of partition 0 with these offsets, less those that are control records: every seventh."""
    offsets = np.array([offset for offset in range(first, stop) if offset % 7 != 6], np.int64)
    count = len(offsets)
    columns = pa.RecordBatch.from_pydict({"offset": offsets})
    keys = pa.nulls(count, pa.binary())
    return Batch("events", columns, keys, np.zeros(count, np.int32), offsets, np.zeros(count, np.int64))


@dataclass
class Consumer:
    """Whether the partition is paused."""

    paused: bool = False

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self.paused = self.paused or bool(list(partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self.paused = False


@dataclass
class Outbox:
    """What was said since the last commit: offsets answered and offsets whose admission was told."""

    wiring = wiring("p", "m")
    answered: list[int] = field(default_factory=list)
    told: list[int] = field(default_factory=list)

    def deliver(self, emits: Iterable[Emit]) -> None:
        for emit in emits:
            (self.told if emit.topic == "notes" else self.answered).extend(emit.columns["offset"].to_pylist())

    def refuse(self, rejects: Iterable[Reject], records: list[Message], now: float) -> None:
        self.answered.extend(reject.offset for reject in rejects)

    def note_answered(self, timestamps: object) -> None:
        """No figures here."""


class Gate(Service):
    """Holds a batch in which any offset is not below `limit`; refuses every fifth row; folds the others."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.folded: list[int] = []

    def admit(self, batch: Batch, now: float) -> Admission:
        bad = batch.offset % 5 == 4
        rejects = tuple(Reject(0, int(offset), "fifth", "every fifth") for offset in batch.offset[bad])
        emits = (Emit("notes", batch.columns, None, batch.partition),) if len(batch) else ()
        return Admission(batch.take(~bad), emits, rejects)

    def process(self, batch: Batch, now: float) -> Output:
        if batch.offset.max() >= self.limit:
            return Output(held=frozenset({0}))
        self.folded.extend(batch.offset.tolist())
        return Output((Emit("answers", batch.columns, None, batch.partition),))

    def replay(self, batch: Batch) -> None:
        self.folded.extend(batch.offset.tolist())


class PartGate(Gate):
    """Answers the rows below `limit` of a batch, and holds the others."""

    merges = True

    def process(self, batch: Batch, now: float) -> Output:
        waits = batch.offset >= self.limit
        ready = batch.take(~waits)
        self.folded.extend(ready.offset.tolist())
        rest = {0: int(batch.offset[waits][0])} if waits.any() else {}
        emits = (Emit("answers", ready.columns, None, ready.partition),) if len(ready) else ()
        return Output(emits, rest=rest)


class Life:
    """One process that owns the partition, from a committed offset on; state is rebuilt from the whole log."""

    def __init__(self, committed: Commitment, limit: int, gate: type[Gate] = Gate) -> None:
        self.service = gate(limit)
        self.outbox, self.consumer = Outbox(), Consumer()
        self.task = Task(
            0,
            "events[0]",
            True,
            read=0,
            admitted=committed.admitted,
            replay_until=committed.offset,
            readmit_until=committed.admitted,
        )
        parts = (self.service, self.outbox, self.consumer, {0: self.task}, Metrics(), RejectShare(1), 1.0)
        self.answering = Answering(*parts)  # type: ignore[arg-type]  # the two above stand for Kafka
        self.now = 0.0

    def read(self, rows: int) -> None:
        """A poll that brings so many offsets, unless the partition is paused; at the end, also past control records."""
        if self.consumer.paused or self.task.read >= LENGTH:
            return
        stop = min(self.task.read + rows, LENGTH)
        part = batch(self.task.read, stop)
        if len(part):
            first, last = int(part.offset[0]), int(part.offset[-1])
            self.task.advance(first, last, 0, self.now)
            self.answering.take(Intake(part, [], [], {0: (first, last, 0)}), self.now)
        self.task.meet_end(stop, self.now)

    def release(self, limit: int) -> None:
        """What is below the limit may go on."""
        self.service.limit = limit
        self.now += 1
        self.answering.retry(self.now)


steps = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 9)),
    st.tuples(st.just("release"), st.integers(0, LENGTH)),
    st.tuples(st.just("commit"), st.none()),
    st.tuples(st.just("kill"), st.integers(0, LENGTH)),
)


@pytest.mark.parametrize("gate", [Gate, PartGate])
@given(story=st.lists(steps, max_size=40))
@settings(max_examples=200)
# Rows of an earlier life are released and answered while newer ones wait behind them.
@example(
    story=[
        ("kill", 0),
        ("read", 4),
        ("commit", None),
        ("kill", 0),
        ("read", 4),
        ("read", 4),
        ("release", 4),
        ("commit", None),
        ("kill", 0),
    ]
)
# The next owner releases the first part of what was admitted before.
@example(
    story=[
        ("kill", 0),
        ("read", 9),
        ("commit", None),
        ("kill", 3),
        ("read", 3),
        ("read", 3),
        ("commit", None),
        ("kill", 0),
    ]
)
def test_every_row_is_answered_once_over_all_lives(gate: type[Gate], story: list[tuple[str, int]]) -> None:
    """What was answered and committed is never answered again, and nothing is left out; state is the fold of all."""
    committed, answered, told = Commitment(0, 0), list[int](), list[int]()
    life = Life(committed, LENGTH, gate)
    for step, number in [*story, ("release", LENGTH), *[("read", 9), ("release", LENGTH)] * 9, ("commit", None)]:
        if step == "read":
            life.read(number)
        elif step == "release":
            life.release(number)
        elif step == "commit" and not life.task.restoring:
            committed = life.task.commitment()
            assert committed.offset <= life.task.read
            answered += life.outbox.answered
            told += life.outbox.told
            life.outbox.answered, life.outbox.told = [], []
        elif step == "kill":  # What was said since the last commit is aborted with its transaction.
            life = Life(Commitment.read(committed.offset, committed.metadata()), number, gate)
    everything = batch(0, LENGTH).offset.tolist()
    assert sorted(answered) == everything
    assert sorted(told) == everything
    assert life.service.folded == [offset for offset in everything if offset % 5 != 4]
    assert committed.offset == LENGTH
