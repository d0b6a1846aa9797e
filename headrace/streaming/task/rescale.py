"""What a pipeline's groups left behind, and the transaction in which it is moved after a topic has grown.

How the state of a service is parted anew, it says itself: its module `rescale`, called for the groups of the service.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import ContractError
from headrace.streaming.kafka.bindings import Channel, Wiring
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.decode import Intake
from headrace.streaming.kafka.message import Headers, Message, TopicPartition, headers
from headrace.streaming.kafka.reader import Range, read
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.process.settings import Settings
from headrace.streaming.records import dead_letters
from headrace.streaming.records.batch import Reject
from headrace.streaming.task.checkpoint import Checkpoints
from headrace.streaming.task.commitment import Commitment
from headrace.streaming.task.partition_counts import PartitionCounts, stamped
from headrace.streaming.task.recovery import Recovery, since_of
from headrace.streaming.task.service import Service
from headrace.streaming.task.transactions import Retry

TRANSACTION_S = 600
"""States of any size are written by then; brokers allow 900 unless told otherwise (transaction.max.timeout.ms)."""
PATIENCE_S = 30.0
"""Offsets that are not taken within it end the move, which is begun anew: longer than a service gives them."""


@dataclass(slots=True)
class Left:
    """What a group left behind.

    Attributes:
        consumer: asks for the group; it never joins it.
        then: partitions that its state was made with, by logical topic; nothing where it never committed.
        found: committed offsets of all its inputs' partitions.
    """

    wiring: Wiring
    service: Service
    counts: PartitionCounts
    consumer: Consumer
    then: dict[str, int] = field(default_factory=dict)
    found: list[TopicPartition] = field(default_factory=list)

    def commitments(self, channel: Channel) -> dict[int, Commitment]:
        """What was committed of a topic's partitions."""
        return {
            each.partition: Commitment.read(each.offset, each.metadata)
            for each in self.found
            if each.topic == channel.name
        }

    def channel(self, logical: str) -> Channel:
        """An input by its logical name."""
        return next(channel for channel in self.wiring.inputs if channel.logical == logical)

    def read(self, connection: Connection, channel: Channel, wanted: Range) -> Iterator[Intake]:
        """The records of a range of an input, numbered as that."""
        return read(connection, channel, [wanted], at=self.wiring.inputs.index(channel))


def left_by(connection: Connection, wiring: Wiring, service: Service, counts: Mapping[str, int]) -> Left:
    """Ask what a group committed."""
    consumer = Consumer(connection, group=wiring.group)
    left = Left(wiring, service, PartitionCounts(wiring, service, counts), consumer)
    places = [TopicPartition(c.name, number) for c in wiring.inputs for number in range(counts[c.logical])]
    left.found = [found for found in consumer.committed(places) if found.offset >= 0]
    for each in left.found:
        left.then |= stamped(each.metadata)
    return left


class Move:
    """One transaction that moves the state of all groups of a pipeline, or nothing.

    To make one aborts what an earlier one left open that was killed.

    Args:
        settings: say where the broker is, and what may be done where the past is not all there.
        pipeline: name of that whose groups these are.
        counts: partitions that topics have now, by logical name.

    Attributes:
        moved: how many snapshots were written, by group.
        written: how many events were written again.
        told_anew: how many records between services were told anew.
        refused: how many dead letters were written.
    """

    def __init__(self, settings: Settings, pipeline: str, counts: Mapping[str, int]) -> None:
        self.pipeline, self.counts = pipeline, counts
        self.connection = settings.connection
        self._recovery = Recovery(settings.recover, Metrics())
        self._producer = Producer(
            self.connection, transactional_id=f"{pipeline}.repartition", transaction_s=TRANSACTION_S
        )
        self._producer.init_transactions()
        library = self.connection.library
        self._retry = Retry(PATIENCE_S, lambda: None, library.monotonic, library.sleep)
        self.moved: dict[str, int] = {}
        self.written = self.told_anew = self.refused = 0

    def begin(self) -> None:
        """From now on `commit` or `abort` must follow."""
        self._producer.begin()

    def commit(self) -> None:
        """All of it becomes visible at once."""
        self._producer.flush()
        self._producer.commit()

    def abort(self) -> None:
        """Nothing happened."""
        self._producer.abort()

    # ---- what there is ------------------------------------------------------------------------------------------

    def bounds(self, left: Left, channel: Channel) -> tuple[list[int], list[int]]:
        """Of every partition that there is now, where its log begins and where it ends."""
        numbers = range(self.counts[channel.logical])
        bounds = [left.consumer.watermarks(channel.name, number) for number in numbers]
        return [low for low, _ in bounds], [high for _, high in bounds]

    def state(
        self, left: Left, channel: Channel, number: int, low: int, upto: int | None = None, begun: bytes | None = None
    ) -> bytes:
        """The state of a partition at its committed offset: its checkpoint, and what was read since.

        Args:
            low: where its log begins.
            upto: read on up to this offset; what cannot be processed of that becomes dead letters.
            begun: the state to begin with where nothing was ever committed.
        """
        known = left.commitments(channel).get(number)
        answered = low if known is None else known.offset
        begin, snapshot = self._begun(left, channel, number, known, low)
        partition = left.wiring.number(channel.name, number)
        if known is None:
            left.service.restore(partition, begun)
        elif not self._recovery.taken_over(
            left.service, f"{channel.name}[{number}]", partition, snapshot, since_of(known, low)
        ):
            begin = low
        wanted = Range(number, begin, answered if upto is None else upto)
        for intake in left.read(self.connection, channel, wanted):
            admission = left.service.admit(intake.batch, 0.0)
            left.service.replay(admission.batch)
            self._refuse(left, [r for r in (*intake.rejects, *admission.rejects) if r.offset >= answered], intake)
        found = left.service.snapshot(partition)
        if found is None:
            raise ContractError(f"{channel.name}[{number}] holds rows that wait: nothing was changed")
        return found

    def _begun(
        self, left: Left, channel: Channel, number: int, known: Commitment | None, low: int
    ) -> tuple[int, bytes | None]:
        """Where the log of a partition is to be read from, and the state that it is read into."""
        where = f"{channel.name}[{number}]"
        if known is None or known.place is None:
            if known is not None and low > 0:
                self._recovery.rebuild_state(where, low, "it has no checkpoint")
            return low, None
        checkpoints = Checkpoints(self.connection, left.wiring, self.counts["checkpoints"], left.service.layout)
        partition = left.wiring.number(channel.name, number)
        _, begin, snapshot = self._recovery.state(checkpoints, where, partition, known, low, lambda: None)
        return begin, snapshot

    # ---- what is written ----------------------------------------------------------------------------------------

    def again(self, topic: str, partition: int, message: Message) -> None:
        """Write a record again, as it is."""
        told: Headers | None = headers(message)
        if told is None:
            raise ContractError(
                f"{topic}[{message.partition()}]@{message.offset()} has a header whose name is no UTF-8"
            )
        key, value, stamp = message.key(), message.value(), message.timestamp()[1]
        self._producer.send_one(topic, key, value, partition=partition, headers=told, timestamp=stamp)

    def tell(self, channel: Channel, rows: pa.RecordBatch, partitions: npt.NDArray[np.int32]) -> None:
        """Write records between services."""
        values = channel.codec.encode(rows)
        self._producer.send(channel.name, [None] * len(values), values, partitions.tolist())
        self.told_anew += len(values)

    def write(
        self, left: Left, channel: Channel, number: int, at: int, snapshot: bytes, admitted: int | None = None
    ) -> None:
        """A checkpoint, and the offset that points to it."""
        checkpoints = Checkpoints(self.connection, left.wiring, self.counts["checkpoints"], left.service.layout)
        before, partition = left.commitments(channel).get(number), left.wiring.number(channel.name, number)
        draft = checkpoints.draft(partition, at, snapshot, None if before is None else before.place)
        draft.since = at  # What lies before was written where keys belong no longer.
        commitment = Commitment(at, max(admitted or at, at), draft.write(self._producer))
        left.found = [each for each in left.found if (each.topic, each.partition) != (channel.name, number)]
        left.found.append(TopicPartition(channel.name, number, at, metadata=commitment.metadata()))
        self.moved[left.wiring.group] = self.moved.get(left.wiring.group, 0) + 1

    def send(self, left: Left) -> None:
        """The offsets of a group; all of them say from now on with what numbers of partitions it goes on."""
        offsets = [
            TopicPartition(each.topic, each.partition, each.offset, metadata=left.counts.stamp(each.metadata or ""))
            for each in left.found
        ]
        if offsets:
            who = left.consumer.group_metadata()
            self._retry(lambda _: self._producer.send_offsets(offsets, who, PATIENCE_S))

    def _refuse(self, left: Left, rejects: Sequence[Reject], intake: Intake) -> None:
        if rejects:
            dead_letters.parcel(left.wiring, rejects, intake.records, time.time()).send(self._producer)
            self.refused += len(rejects)


def refuse_what_shrank(pipeline: str, lefts: Sequence[Left], counts: Mapping[str, int]) -> None:
    """Raise where a topic has fewer partitions than it had."""
    for left in lefts:
        for logical, then in left.then.items():
            if (now := counts.get(logical, then)) < then:
                raise ContractError(
                    f"{pipeline}.{logical} has {now} partitions and had {then}: it was made anew, and what "
                    f"{left.wiring.group} knows is of another log"
                )
