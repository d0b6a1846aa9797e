"""State on Kafka: a snapshot is cut into chunks that lie in the checkpoints topic, found again by their offsets.

The place of the newest checkpoint rides in the committed offset's metadata, so a checkpoint and the offset that points
to it become visible in one transaction. A large one is written over several commits, a slice in each, and is pointed to
by the last. Brokers take 4 KiB of metadata: where chunks lie so scattered that their places need more, they are written
into an index, one more record, and the metadata names that.

The topic is compacted, and a key names a partition, a chunk's number, and one of two halves. A checkpoint is written
into the half that the committed one does not use: whatever becomes of it, the committed one's records stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from headrace.errors import ContractError, Transient
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.errors import log_was_cut, translate
from headrace.streaming.kafka.message import TopicPartition, place
from headrace.streaming.kafka.poll_result import parted
from headrace.streaming.task.commitment import CheckpointPlace, Lie, chunks_of, runs_of

CHUNK_BYTES = 900_000
INDEX = -1
"""The number of the record that names all others."""
MOST_RUNS = 64
"""Places in a row that the metadata holds itself: 64 of at most 34 characters each are half of what brokers take."""


class CheckpointGone(ContractError):
    """What a committed offset points to is not in the checkpoints topic: that was emptied, or made anew."""


class CheckpointUnreadable(ContractError):
    """A checkpoint is there and whole, and another version of the service wrote it, which this one cannot read."""


class Draft:
    """A checkpoint on its way to the broker.

    Attributes:
        at: it is the fold of all records below this offset.
        half: the half of the keys that it is written into.
        since: see `CheckpointPlace`.
        rows: records taken since the checkpoint before, at the time of the snapshot.
        size: bytes of the snapshot.

    Args:
        layout: see `Service.layout`.
    """

    def __init__(
        self, wiring: Wiring, partitions: int, partition: int, at: int, snapshot: bytes, half: int, since: int = 0,
        layout: int = 1,
    ) -> None:  # fmt: skip  # whose it is, what it is, where it goes
        self.at = at
        self.half = half
        self.since = since
        self.rows = 0
        self.size = len(snapshot)
        self._layout = layout
        self._wiring = wiring
        self._channel, self._number = wiring.input(partition)
        self._where = self._number % partitions
        self._snapshot = memoryview(snapshot)
        self._count = max(-(-len(snapshot) // CHUNK_BYTES), 1)
        self._lying: dict[int, Lie] = {}
        self._sent = self._durable = 0

    @property
    def whole(self) -> bool:
        """Whether all chunks were sent."""
        return self._sent == self._count

    def send(self, producer: Producer, most: int) -> int:
        """Queue the next chunks, of at least one and about `most` bytes; returns how many bytes they were."""
        sent = 0
        while not self.whole and (not sent or sent < most):
            payload = self._snapshot[self._sent * CHUNK_BYTES : (self._sent + 1) * CHUNK_BYTES]
            self._queue(producer, self._sent, bytes(payload))
            self._sent += 1
            sent += len(payload) or 1
        return sent

    @property
    def scattered(self) -> bool:
        """Once all chunks are acknowledged: whether they lie in so many places that an index must name them."""
        return len(runs_of(self._chunks())) > MOST_RUNS

    def index(self, producer: Producer) -> None:
        """Queue the index of a whole one."""
        self._queue(producer, INDEX, json.dumps(runs_of(self._chunks()), separators=(",", ":")).encode())

    def write(self, producer: Producer) -> CheckpointPlace:
        """All that was not sent yet, at once, and its index if it needs one; waits until that is acknowledged."""
        self.send(producer, self.size)
        producer.flush()
        if self.scattered:
            self.index(producer)
            producer.flush()
        return self.place()

    def place(self) -> CheckpointPlace:
        """Where it lies; all that was sent must be acknowledged."""
        if INDEX in self._lying:
            return CheckpointPlace(self.at, (self._lying[INDEX],), self.half, indexed=True, since=self.since)
        return CheckpointPlace(self.at, self._chunks(), self.half, since=self.since)

    def committed(self) -> None:
        """What was sent so far is durable."""
        self._durable = self._sent

    def aborted(self) -> None:
        """What was sent since the last commit is lost, and is sent again."""
        self._sent = self._durable
        self._lying = {number: lies for number, lies in self._lying.items() if 0 <= number < self._durable}

    def _chunks(self) -> tuple[Lie, ...]:
        return tuple(self._lying[number] for number in range(self._count))

    def _queue(self, producer: Producer, number: int, payload: bytes) -> None:
        row = {
            "group": self._wiring.group,
            "topic": self._channel.name,
            "partition": self._number,
            "offset": self.at,
            "chunk": number,
            "chunks": self._count,
            "format": self._layout,
            "code_version": self._wiring.code_version,
            "payload": payload,
        }
        channel = self._wiring.checkpoints
        columns = pa.RecordBatch.from_pylist([row], schema=channel.codec.reader.arrow)
        key = f"{self._wiring.group}/{self._channel.name}/{self._number}/{number}" + "/1" * self.half

        def delivered(where: int, offset: int) -> None:
            self._lying[number] = (where, offset)

        value = channel.codec.encode(columns)[0]
        producer.send_one(channel.name, key, value, partition=self._where, delivered=delivered)


class Checkpoints:
    """Writes and reads the checkpoints of one service.

    Args:
        layout: of its snapshots, see `Service.layout`.
    """

    def __init__(self, connection: Connection, wiring: Wiring, partitions: int, layout: int = 1) -> None:
        self.layout = layout
        self.connection = connection
        self.wiring = wiring
        self.partitions = partitions

    def draft(self, partition: int, at: int, snapshot: bytes, committed: CheckpointPlace | None) -> Draft:
        """A checkpoint to be written, beside the committed one."""
        half, since = (0, 0) if committed is None else (1 - committed.half, committed.since)
        return Draft(self.wiring, self.partitions, partition, at, snapshot, half, since, self.layout)

    def read(self, partition: int, at: CheckpointPlace, beat: Callable[[], None], timeout: float = 60.0) -> bytes:
        """The snapshot at a place; `beat` is called while that takes its time.

        Raises CheckpointGone when it is not there any more, CheckpointUnreadable when its layout is another, Transient
        when the broker does not give it within `timeout` seconds.
        """
        if at.indexed:
            found = self._found(partition, at.chunks, beat, timeout)
            runs = json.loads(self._payload(partition, at, INDEX, found[at.chunks[0]]))
            at = replace(at, chunks=tuple(chunks_of(runs)), indexed=False)
        found = self._found(partition, at.chunks, beat, timeout)
        # One by one: a large state must not be held several times over.
        return b"".join(
            [self._payload(partition, at, number, found.pop(chunk)) for number, chunk in enumerate(at.chunks)]
        )

    def _found(
        self, partition: int, chunks: tuple[Lie, ...], beat: Callable[[], None], timeout: float
    ) -> dict[Lie, bytes]:
        """The records at some places."""
        topic = self.wiring.checkpoints.name
        gone = CheckpointGone(f"the checkpoint of partition {partition} is gone from {topic}")
        found: dict[Lie, bytes] = {}
        wanted = set(chunks)
        first = {where: min(offset for part, offset in wanted if part == where) for where, _ in wanted}
        # The place was committed, so its chunks were: reading uncommitted avoids waiting for other transactions.
        consumer = Consumer(self.connection, isolation="read_uncommitted")
        try:
            ends = {where: consumer.watermarks(topic, where) for where in first if where < self.partitions}
            if any(where not in ends or not ends[where][0] <= offset < ends[where][1] for where, offset in wanted):
                raise gone
            consumer.assign([TopicPartition(topic, where, offset) for where, offset in first.items()])
            waited = 0.0
            while len(found) < len(wanted):
                beat()
                records, ended, errors = parted(consumer.poll(100, 0.05))
                waited = 0.0 if records else waited + 0.05
                if waited > timeout:
                    raise Transient(f"the checkpoint of partition {partition} was not read within {timeout:g} s")
                for _, error in errors:
                    if log_was_cut(error):
                        raise gone
                    if not isinstance(named := translate(error), Transient):
                        raise named  # Of any other trouble librdkafka goes on trying by itself.
                found.update({place(record): record.value() or b"" for record in records if place(record) in wanted})
                missing = wanted.difference(found)
                for where, reached in map(place, [*records, *ended]):
                    if any(part == where and offset < reached for part, offset in missing):
                        raise gone
        finally:
            consumer.close()
        return found

    def _payload(self, partition: int, at: CheckpointPlace, number: int, value: bytes) -> bytes:
        """A record's part of the snapshot; CheckpointGone when something else lies there by now."""
        decoded = self.wiring.checkpoints.codec.decode([value])
        channel, number_there = self.wiring.input(partition)
        ours = {"group": self.wiring.group, "topic": channel.name, "partition": number_there, "chunk": number}
        rows = decoded.columns.to_pylist()
        if not rows or rows[0] != rows[0] | ours or rows[0]["offset"] > at.at:
            raise CheckpointGone(
                f"where chunk {number} of the checkpoint of partition {partition} at {at.at} was, lies something else: "
                f"{self.wiring.checkpoints.name} was made anew"
            )
        if rows[0]["format"] != self.layout:
            raise CheckpointUnreadable(
                f"its checkpoint at {at.at} has layout {rows[0]['format']}, of version {rows[0]['code_version']}, and "
                f"this version reads {self.layout}"
            )
        payload: bytes = rows[0]["payload"]
        return payload
