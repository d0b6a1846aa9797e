"""How far the event time of each partition has come, by which record, and how to set it right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.errors import ConfigurationError
from headrace.operations.services import SERVICES
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.task.checkpoint import Checkpoints
from headrace.streaming.task.commitment import Commitment
from headrace.streaming.task.partition_counts import carried
from headrace.streaming.watermarks.event_time import NEVER, Clock


@dataclass(frozen=True, slots=True)
class PartitionWatermark:
    """Where a partition's event time stands, as of its checkpoint; times in ms, None where there is none yet.

    Attributes:
        offset: the checkpoint is of the records below it; None: there is none.
        watermark: event time below which, less the allowed lateness, events are late; `moved_by`: the offset of the
            record that moved it last.
        credible: event time that other partitions are told.
        written: newest Kafka timestamp.
        ahead: events that were ahead of what was believed, ever.
    """

    partition: int
    offset: int | None = None
    watermark: int | None = None
    moved_by: int | None = None
    credible: int | None = None
    written: int | None = None
    ahead: int = 0


def watermarks(connection: Connection, wiring: Wiring) -> list[PartitionWatermark]:
    """Of all partitions of the events."""
    found = []
    for partition, commitment, read in _committed(connection, wiring):
        if commitment is None or commitment.place is None:
            found.append(PartitionWatermark(partition))
            continue
        clock: Clock = SERVICES["enrich"].part("checkpoint_time").clock_of(read())
        known = (clock.firm, clock.moved_by[0], clock.credible, clock.stamp)
        firm, moved_by, credible, written = (None if each == NEVER else each for each in known)
        found.append(PartitionWatermark(partition, commitment.place.at, firm, moved_by, credible, written, clock.ahead))
    return found


def _committed(connection: Connection, wiring: Wiring) -> list[tuple[int, Commitment | None, Callable[[], bytes]]]:
    """(partition, what is committed of it, what reads its checkpoint) for each partition of the events."""
    consumer = Consumer(connection, group=wiring.group)
    try:
        topic = wiring.inputs[0].name
        places = [TopicPartition(topic, partition) for partition in range(consumer.partitions(topic))]
        count = consumer.partitions(wiring.checkpoints.name)
        checkpoints = Checkpoints(connection, wiring, count, SERVICES["enrich"].part("service").Enrich.layout)
        found: list[tuple[int, Commitment | None, Callable[[], bytes]]] = []
        for tp in consumer.committed(places):
            commitment = None if tp.offset < 0 else Commitment.read(tp.offset, tp.metadata)

            def read(number: int = tp.partition, known: Commitment | None = commitment) -> bytes:
                assert known is not None
                assert known.place is not None
                return checkpoints.read(number, known.place, lambda: None)

            found.append((tp.partition, commitment, read))
        return found
    finally:
        consumer.close()


def mend_watermark(connection: Connection, wiring: Wiring, partition: int, time: int) -> None:
    """Write the checkpoint of a drained partition anew, with another event time.

    Raises ConfigurationError, with nothing changed, while the group has members, or while the checkpoint is not the
    newest state.
    """
    if members := Admin(connection).members(wiring.group):
        raise ConfigurationError(
            f"{wiring.group} has {members} members: drain them (SIGTERM) first; a member that was killed is one for "
            "HEADRACE_SESSION_TIMEOUT_MS more"
        )
    known = {number: (commitment, read) for number, commitment, read in _committed(connection, wiring)}
    commitment, read = known.get(partition, (None, None))
    topic = wiring.inputs[0].name
    if commitment is None or read is None or commitment.place is None:
        raise ConfigurationError(f"{topic}[{partition}] has no checkpoint: there is nothing to mend")
    if not commitment.place.at == commitment.offset == commitment.admitted:
        raise ConfigurationError(
            f"the checkpoint of {topic}[{partition}] is of offset {commitment.place.at}, and records up to "
            f"{commitment.admitted} were taken up since: start `enrich` and drain it, so that it writes one of them all"
        )
    consumer = Consumer(connection, group=wiring.group)
    producer = Producer(connection, reports=True)
    try:
        count = consumer.partitions(wiring.checkpoints.name)
        checkpoints = Checkpoints(connection, wiring, count, SERVICES["enrich"].part("service").Enrich.layout)
        draft = checkpoints.draft(
            partition,
            commitment.offset,
            SERVICES["enrich"].part("checkpoint_time").mended(read(), time),
            commitment.place,
        )
        written = Commitment(commitment.offset, commitment.admitted, draft.write(producer))
        (before,) = consumer.committed([TopicPartition(topic, partition)])
        metadata = carried(before.metadata, written.metadata())
        consumer.commit([TopicPartition(topic, partition, written.offset, metadata=metadata)])
    finally:
        consumer.close()
