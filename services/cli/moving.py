"""What a pipeline's groups left behind, and moving it to where keys belong after a topic has grown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.enrich.admitting import times_of
from services.enrich.moving import moved_events, moved_updates
from services.kit import packing
from services.kit.channels import Channel, Wiring
from services.kit.checkpoints import Checkpoints
from services.kit.errors import ConfigurationError, ContractError
from services.kit.kafka import Connection, Consumer, Headers, Message, Producer, TopicPartition, headers
from services.kit.partition_counts import PartitionCounts, stamped
from services.kit.partitioning import partitions_of
from services.kit.positions import Commitment
from services.kit.reading import Range, messages, read
from services.kit.service import Service
from services.pipeline.spec import Pipeline


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

    Args:
        connection: to the broker.
        pipeline: whose groups these are.
        counts: partitions that topics have now, by logical name.

    Attributes:
        moved: how many snapshots were written, by group.
        written: how many records were written again.
    """

    def __init__(self, connection: Connection, pipeline: Pipeline, counts: Mapping[str, int]) -> None:
        self._connection, self._pipeline, self._counts = connection, pipeline, counts
        self._producer = Producer(connection, transactional_id=f"{pipeline.name}.repartition")
        self._producer.init_transactions()
        self._producer.begin()
        self.moved: dict[str, int] = {}
        self.written = 0

    def commit(self) -> None:
        """All of it becomes visible at once."""
        self._producer.flush()
        self._producer.commit()

    def abort(self) -> None:
        """Nothing happened."""
        self._producer.abort()

    def events(self, left: Left) -> None:
        """Move the windows of `enrich`; records that nobody answered yet and that lie where their keys are no longer
        are written again, with all others that were not answered, behind them, in the order of their times.
        """
        (channel,) = left.wiring.inputs
        now, then = self._counts[channel.logical], left.then[channel.logical]
        commitments = self._commitments(left)
        low, high = self._bounds(left, channel.name, now)
        states = [self._state(left, number, commitments.get(number), low[number]) for number in range(then)]
        at = [commitments[number].offset if number in commitments else low[number] for number in range(now)]
        unread = self._unread(channel, at, high)
        admitted = {number: each.admitted for number, each in commitments.items()}
        if any(partition != home for home, partition, _ in unread):
            waiting = [number for number, each in commitments.items() if each.admitted > each.offset]
            if waiting:
                raise ContractError(
                    f"{channel.name}{waiting} holds events that wait for views or labels, and behind them some whose "
                    "keys belong elsewhere now: these cannot be moved before those. Nothing was changed. Begin a "
                    "pipeline under another name, and publish again"
                )
            for home, _, message in unread:
                self._again(channel.name, home, message)
            at, admitted = high, {}
        schema = channel.codec.reader.arrow
        whole = pa.types.is_integer(schema.field(self._pipeline.events.key).type)
        for number, snapshot in enumerate(moved_events(states, now, whole)):
            self._write(left, number, at[number], admitted.get(number, at[number]), snapshot)
        self._send(left)

    def updates(self, left: Left) -> None:
        """Move the windows of a view, as of the ends of its topic's partitions: what it answers is the store alone."""
        (channel,) = left.wiring.inputs
        now, then = self._counts[channel.logical], left.then[channel.logical]
        commitments = self._commitments(left)
        low, high = self._bounds(left, channel.name, now)
        states = []
        for number in range(then):
            known = commitments.get(number, Commitment(low[number], low[number]))
            states.append(self._state(left, number, Commitment(high[number], high[number], known.place), low[number]))
        for number, snapshot in enumerate(moved_updates(states, now, high)):
            self._write(left, number, high[number], high[number], snapshot)
        self._send(left)

    def remember(self, left: Left) -> None:
        """State that need not be moved: it says from now on with what numbers it goes on."""
        left.found = [
            TopicPartition(each.topic, each.partition, each.offset, metadata=left.counts.stamp(each.metadata or ""))
            for each in left.found
        ]
        self._send(left)

    # ---- what there is ------------------------------------------------------------------------------------------

    def _commitments(self, left: Left) -> dict[int, Commitment]:
        return {each.partition: Commitment.read(each.offset, each.metadata) for each in left.found}

    def _bounds(self, left: Left, topic: str, count: int) -> tuple[list[int], list[int]]:
        bounds = [left.consumer.watermarks(topic, number) for number in range(count)]
        return [low for low, _ in bounds], [high for _, high in bounds]

    def _state(self, left: Left, number: int, known: Commitment | None, low: int) -> dict[str, packing.Column]:
        """The state of a partition at a committed offset: its checkpoint, and what was read since."""
        (channel,) = left.wiring.inputs
        place = None if known is None else known.place
        begin = low if place is None else place.at
        where = f"{channel.name}[{number}]"
        if place is None and low > 0 and known is not None:
            raise ContractError(f"{where} has no checkpoint, and its log begins at {low}: nothing was changed")
        if begin < low:
            raise ContractError(
                f"{where} begins at {low}, and its checkpoint stands at {begin}: the records between are gone, and "
                "nothing was changed"
            )
        checkpoints = Checkpoints(self._connection, left.wiring, self._counts["checkpoints"])
        left.service.restore(number, None if place is None else checkpoints.read(number, place, lambda: None))
        if known is not None:
            for intake in read(self._connection, channel, [Range(number, begin, known.offset)]):
                left.service.replay(left.service.admit(intake.batch, 0.0).batch)
        snapshot = left.service.snapshot(number)
        if snapshot is None:
            raise ContractError(f"{where} holds rows that wait: nothing was changed")
        return packing.unpack(snapshot)

    def _unread(self, channel: Channel, starts: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int, Message]]:
        """(where it belongs, where it is, record) of all that was not answered, in the order of event times.

        Those of one partition stay in their order. A time beyond the record's own time stamp holds nobody up. By time
        stamps alone they could not be ordered: where brokers stamp records, those of one request have the same.
        """
        wanted = [Range(number, *bounds) for number, bounds in enumerate(zip(starts, stops, strict=True))]
        found = [message for part in messages(self._connection, channel.name, wanted) for message in part]
        decoded = channel.codec.decode([message.value() for message in found])
        times = np.zeros(len(found), np.int64)
        times[decoded.rows] = times_of(decoded.columns, self._pipeline.events.time)
        lies = np.array([message.partition() for message in found], np.int64)
        keys = pa.array([message.key() for message in found], pa.binary())
        homes = partitions_of(pc.fill_null(keys, b""), len(starts)).astype(np.int64)
        homes = np.where(keys.is_valid().to_numpy(zero_copy_only=False), homes, lies)
        queues: dict[int, list[tuple[int, int]]] = {}
        for row, message in enumerate(found):
            time, stamp = int(times[row]), message.timestamp()[1]
            queues.setdefault(int(lies[row]), []).append((min(time, stamp) if stamp >= 0 else time, row))
        order = [row for _, row in merge(*queues.values())]
        return [(int(homes[row]), int(lies[row]), found[row]) for row in order]

    # ---- what is written ----------------------------------------------------------------------------------------

    def _again(self, topic: str, home: int, message: Message) -> None:
        told: Headers | None = headers(message)
        if told is None:
            raise ContractError(
                f"{topic}[{message.partition()}]@{message.offset()} has a header whose name is no UTF-8"
            )
        key, value, stamp = message.key(), message.value(), message.timestamp()[1]
        self._producer.send_one(topic, key, value, partition=home, headers=told, timestamp=stamp)
        self.written += 1

    def _write(self, left: Left, number: int, at: int, admitted: int, snapshot: bytes) -> None:
        """A checkpoint, and the offset that points to it."""
        checkpoints = Checkpoints(self._connection, left.wiring, self._counts["checkpoints"])
        before = self._commitments(left).get(number)
        draft = checkpoints.draft(number, at, snapshot, None if before is None else before.place)
        commitment = Commitment(at, max(admitted, at), draft.write(self._producer))
        (channel,) = left.wiring.inputs
        metadata = left.counts.stamp(commitment.metadata())
        left.found = [each for each in left.found if each.partition != number]
        left.found.append(TopicPartition(channel.name, number, at, metadata=metadata))
        self.moved[left.wiring.group] = self.moved.get(left.wiring.group, 0) + 1

    def _send(self, left: Left) -> None:
        if left.found:
            self._producer.send_offsets(left.found, left.consumer.group_metadata())


def refuse_what_stays(pipeline: Pipeline, lefts: Sequence[Left], counts: Mapping[str, int]) -> None:
    """Raise where a topic has grown whose state cannot be moved, or has fewer partitions than it had."""
    for left in lefts:
        for logical, then in left.then.items():
            now = counts.get(logical, then)
            if now < then:
                raise ContractError(
                    f"{pipeline.name}.{logical} has {now} partitions and had {then}: it was made anew, and what "
                    f"{left.wiring.group} knows is of another log"
                )
            if now > then and logical in ("exchange", "scorecard-parts"):
                raise ConfigurationError(
                    f"{pipeline.name}.{logical} has {now} partitions and had {then}: what is kept by its partitions "
                    "(open predictions, sums) cannot be moved. Begin a pipeline under another name, and publish again; "
                    "headrace topics apply never lets it grow"
                )
