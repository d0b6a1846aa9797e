"""How outputs and offsets become durable together: in one transaction, or outputs first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from services.kit.batch import Partitions
from services.kit.kafka import Connection, Consumer, Producer, TopicPartition, TransactionAborted

Column = TypeVar("Column", bound=Sequence[Any])


@dataclass(frozen=True, slots=True)
class Parcel:
    """Encoded records for one topic, with the input partition that each answers for.

    `headers` and `timestamps` (ms) are given for dead letters only.
    """

    topic: str
    keys: Sequence[bytes | str | None]
    values: Sequence[bytes | None]
    source: Partitions
    partitions: Sequence[int] | None = None
    headers: Sequence[list[tuple[str, bytes | None]]] | None = None
    timestamps: Sequence[int] | None = None

    def send(self, producer: Producer) -> None:
        if self.headers is None or self.timestamps is None:
            producer.send(self.topic, self.keys, self.values, self.partitions)
            return
        for key, value, headers, timestamp in zip(self.keys, self.values, self.headers, self.timestamps, strict=True):
            producer.send_one(self.topic, key, value, headers=headers, timestamp=timestamp)

    def without(self, lost: Collection[int]) -> Parcel:
        """The records whose source partitions are still ours."""
        keep = np.flatnonzero(~np.isin(self.source, list(lost))).tolist()

        def kept(column: Sequence[Any] | None) -> Any:
            return None if column is None else [column[row] for row in keep]

        return Parcel(
            self.topic,
            kept(self.keys),
            kept(self.values),
            self.source[keep],
            kept(self.partitions),
            kept(self.headers),
            kept(self.timestamps),
        )


class Delivery(Protocol):
    """Takes outputs at once and makes them durable, with the input's offsets, at `commit`."""

    producer: Producer
    rows: int
    """Records sent since the last commit."""

    def send(self, parcel: Parcel) -> None:
        """Queue outputs. In a transaction that can no longer commit: TransactionAborted, and the outputs are kept."""

    def open(self) -> None:
        """Get ready for records that the caller sends through `producer` itself (checkpoint chunks)."""

    def flush(self) -> None:
        """Wait until everything sent is acknowledged."""

    def commit(self, consumer: Consumer, offsets: list[TopicPartition], membership: Any) -> None:
        """Make outputs and offsets durable; raises TransactionAborted when that did not happen but may yet."""

    def abort(self) -> None:
        """Give the open transaction up, keeping its outputs."""

    def resend(self) -> None:
        """Send the kept outputs again, in a new transaction."""

    def forget(self, partitions: Collection[int]) -> None:
        """Keep nothing that answers for these partitions: another member will."""


class ExactlyOnce:
    """Outputs, checkpoints and offsets in one Kafka transaction.

    After an abort it is redo, not undo: a service's state is a fold and stays ahead, so the outputs of the aborted
    transaction are kept and sent again, for the partitions that are still ours.
    """

    def __init__(self, connection: Connection, transactional_id: str) -> None:
        self.producer = Producer(connection, transactional_id=transactional_id, linger_ms=5)
        self.producer.init_transactions()
        self.kept: list[Parcel] = []
        self.rows = 0
        self.is_open = False

    def open(self) -> None:
        if not self.is_open:
            self.producer.begin()
            self.is_open = True

    def send(self, parcel: Parcel) -> None:
        self.kept.append(parcel)
        self.rows += len(parcel.values)
        self.open()
        parcel.send(self.producer)

    def flush(self) -> None:
        self.producer.flush()

    def commit(self, consumer: Consumer, offsets: list[TopicPartition], membership: Any) -> None:
        if not offsets and not self.is_open:
            return
        self.open()
        # Flushed before the offsets go: the other order makes librdkafka wait a back-off for every new partition.
        self.producer.flush()
        if offsets:
            self.producer.send_offsets(offsets, membership)
        self.producer.commit()
        self.is_open = False
        self.kept.clear()
        self.rows = 0

    def abort(self) -> None:
        if self.is_open:
            self.producer.abort()
            self.is_open = False

    def resend(self) -> None:
        for parcel in self.kept:
            self.open()
            parcel.send(self.producer)

    def forget(self, partitions: Collection[int]) -> None:
        if self.kept and self.is_open:
            # What is already in the open transaction cannot be taken out of it singly.
            self.abort()
            self.kept = [parcel.without(partitions) for parcel in self.kept]
            self.resend()
        else:
            self.kept = [parcel.without(partitions) for parcel in self.kept]


class AtLeastOnce:
    """Outputs are readable as soon as the broker has them, offsets follow: a crash repeats answers, never loses one."""

    def __init__(self, connection: Connection) -> None:
        self._outputs = Producer(connection, linger_ms=2)
        # Checkpoint chunks need delivery reports, outputs only failures: a producer has the one or the other.
        self.producer = Producer(connection, linger_ms=2, reports=True)
        self.rows = 0

    def open(self) -> None:
        """Nothing to open."""

    def send(self, parcel: Parcel) -> None:
        self.rows += len(parcel.values)
        parcel.send(self._outputs)

    def flush(self) -> None:
        self._outputs.flush()
        self.producer.flush()

    def commit(self, consumer: Consumer, offsets: list[TopicPartition], membership: Any) -> None:
        # Commit after flush: a crash between the two repeats an answer, never loses one.
        self.flush()
        if offsets:
            consumer.commit(offsets)
        self.rows = 0

    def abort(self) -> None:
        """Nothing to take back."""

    def resend(self) -> None:
        """What was sent is sent."""

    def forget(self, partitions: Collection[int]) -> None:
        """What was sent is sent: the next owner repeats what was not committed."""


def open_delivery(mode: str, connection: Connection, transactional_id: str) -> Delivery:
    """The delivery of a mode, ready to send."""
    return ExactlyOnce(connection, transactional_id) if mode == "exactly_once" else AtLeastOnce(connection)


__all__ = ["AtLeastOnce", "Delivery", "ExactlyOnce", "Parcel", "TransactionAborted", "open_delivery"]
