"""How outputs and offsets become durable together: in one transaction, or outputs first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from headrace.errors import ContractError, Fenced, HeadraceError, Transient
from headrace.streaming.kafka.client import GIVEN_UP_S, Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.errors import Stuck, TransactionAborted, Undelivered
from headrace.streaming.kafka.message import Message, TopicPartition
from headrace.streaming.kafka.reader import Range, messages, ranges
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Partitions
from headrace.streaming.records.codec import Codec

log = logger("delivery")
TRY_S = 5.0
"""Seconds that one try of a call waits for Kafka."""
PAUSE_S = 0.1
"""Seconds between two tries: some fail at once."""
MOST_PRODUCERS = 5
MOST_ABORTS = 2
"""Transactions in a row that one producer may abort."""
OFFSETS_S, OFFSETS_MOST_S = 2.0, 16.0
"""Offsets that are not taken within the first time are sent again by a new producer: of a connection that broke in the
call, the old one never hears. They take milliseconds otherwise. Where a broker is slower, each try waits twice as long
as the one before, up to the second.
"""
COMMIT_S = 60.0
"""A commit is over after this: the broker gives a transaction up after as long (transaction.timeout.ms)."""


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


@dataclass(frozen=True, slots=True)
class Stake:
    """What a transaction with facts rests on: nothing lies on their topic behind an offset.

    Attributes:
        topic: name of a topic with one partition.
        writer: the transactional id that all hold who write to it.
        after: the offset.
        codec: of its values; a record that it cannot read is no fact, and nobody is told of it. None: all are facts.
    """

    topic: str
    writer: str
    after: int
    codec: Codec | None = None

    def check(self, connection: Connection) -> None:
        """Fenced where something does. It holds for whoever holds `writer`, until another takes that."""
        there = ranges(connection, self.topic)
        if len(there) != 1:
            raise ContractError(
                f"{self.topic} has {len(there)} partitions: facts that follow one another need just one"
            )
        news = Range(0, max(there[0].start, self.after + 1), there[0].stop)
        if any(map(self._facts, messages(connection, self.topic, [news]))):
            raise Fenced(f"{self.topic} has facts behind {self.after}, of which nobody knew who decided the next one")

    def _facts(self, records: Sequence[Message]) -> bool:
        """Whether any of them is a fact."""
        values = [value for record in records if (value := record.value()) is not None]
        return bool(values) and (self.codec is None or len(self.codec.decode(values).rows) > 0)


class Delivery(Protocol):
    """Takes outputs at once and makes them durable, with the input's offsets, at `commit`.

    A `Transient` from any of these came after bounded patience.
    """

    rows: int
    """Records sent since the last commit."""

    @property
    def producer(self) -> Producer:
        """Takes checkpoint chunks, once `open` was called."""

    @property
    def left(self) -> Sequence[Producer]:
        """Producers that hang: to let go of one, as the end of the interpreter does, may hang as well."""

    def send(self, parcel: Parcel, stake: Stake | None = None) -> None:
        """Queue outputs. In a transaction that can no longer commit: TransactionAborted, and the outputs are kept.

        `stake`: of facts, which become durable only if it holds until then; Fenced where it does not.
        """

    def open(self) -> None:
        """Get ready for records that the caller sends through `producer` itself; kept outputs are sent first."""

    def flush(self) -> None:
        """Wait until everything sent is acknowledged; TransactionAborted or Undelivered when it never will be."""

    def commit(self, consumer: Consumer, offsets: list[TopicPartition], membership: Any) -> None:
        """Make outputs and offsets durable; raises TransactionAborted when that did not happen but may yet."""

    def abort(self) -> None:
        """Give the open transaction up, keeping its outputs: they are sent again before anything else is."""

    def forget(self, partitions: Collection[int]) -> None:
        """Keep nothing that answers for these partitions: another member will."""


class Retry:
    """Calls that wait for Kafka, repeated while it is out of reach for no longer than `seconds`.

    Args:
        beat: called between two tries: to wait is no hang.
        clock, sleep: seconds, monotonic, and how some go by.
    """

    def __init__(
        self, seconds: float, beat: Callable[[], None], clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self.seconds = seconds
        self.beat = beat
        self.clock = clock
        self.sleep = sleep

    def __call__(
        self, call: Callable[[float], None], most: float | None = None, left: Callable[[], int] = lambda: 0
    ) -> None:
        """`call(timeout)` until it does not raise Transient, or that has gone on for too long.

        Args:
            most: seconds after which it is too long in any case.
            left: how much is still to be done. As long as that gets less, Kafka is slow and not out of reach.
        """
        patience = min(self.seconds, most or self.seconds)
        end, before = self.clock() + patience, left()
        while True:
            self.beat()
            try:
                call(TRY_S)
            except Transient:
                now, still = self.clock(), left()
                if most is None and still < before:
                    end, before = now + patience, still
                if now >= end:
                    raise
                self.sleep(PAUSE_S)
            else:
                return


class ExactlyOnce:
    """Outputs, checkpoints and offsets in one Kafka transaction.

    After an abort it is redo, not undo: a service's state is a fold and stays ahead, so the outputs of the aborted
    transaction are kept and sent again, for the partitions that are still ours. A producer that hangs is left behind:
    a new one of the same name aborts its transaction, and the outputs are sent again through that. So is one that
    aborts again and again: it may hold records for a partition that it sends no more.

    A transaction with facts is made by a producer under the name that all writers of their topic take: another writer
    fences it. That no other member has its partitions is held by the group's metadata alone, then; the offsets of such
    a transaction are not told to whoever takes them over before it has ended.
    """

    def __init__(self, connection: Connection, transactional_id: str, retry: Retry) -> None:
        self.connection = connection
        self.transactional_id = transactional_id
        self.retry = retry
        self.kept: list[Parcel] = []
        self.rows = 0
        self.is_open = False
        self.left: Sequence[Producer] = ()
        self.aborts = 0
        self.offsets_s = OFFSETS_S
        self.stake: Stake | None = None
        self.producer = self._own = self._new()

    def _new(self) -> Producer:
        for _ in range(MOST_PRODUCERS):
            name = self.transactional_id if self.stake is None else self.stake.writer
            producer = Producer(self.connection, transactional_id=name, linger_ms=5)
            try:
                self.retry(producer.init_transactions)
            except Stuck as reason:
                log.warning("producer replaced", reason=str(reason))
                self.left = [*self.left, producer]
            else:
                if self.stake is not None:
                    self.stake.check(self.connection)
                return producer
        raise Fenced(f"{MOST_PRODUCERS} producers in a row could not begin")

    def replace(self, reason: HeadraceError) -> None:
        """Go on with a new producer of the same name; what was sent is sent again through it."""
        log.warning("producer replaced", reason=str(reason))
        self.left = [*self.left, self.producer]  # It is fenced by the next one, so it can do nothing any more.
        self.is_open, self.aborts = False, 0
        self.producer = self._new()

    def open(self) -> None:
        if not self.is_open:
            self.producer.begin()
            self.is_open = True
            for parcel in self.kept:
                parcel.send(self.producer)

    def send(self, parcel: Parcel, stake: Stake | None = None) -> None:
        if stake is not None:
            self._take(stake)
        self.kept.append(parcel)
        self.rows += len(parcel.values)
        if self.is_open:
            parcel.send(self.producer)
        else:
            self.open()

    def flush(self) -> None:
        try:
            self.retry(self.producer.flush, left=self.producer.pending)
        except Undelivered as reason:
            raise TransactionAborted(str(reason)) from reason

    def commit(self, consumer: Consumer, offsets: list[TopicPartition], membership: Any) -> None:
        if not offsets and not self.kept and not self.is_open:
            return
        self.open()
        # Flushed before the offsets go: the other order makes librdkafka wait a back-off for every new partition.
        self.flush()
        if offsets:
            try:
                self.retry(lambda _: self.producer.send_offsets(offsets, membership, self.offsets_s), self.offsets_s)
            except (Stuck, Transient) as reason:
                self.offsets_s = min(self.offsets_s * 2, OFFSETS_MOST_S)
                self.replace(reason)
                raise TransactionAborted(str(reason)) from reason
        try:
            self.retry(self.producer.commit, COMMIT_S)
        except Transient as unknown:
            raise Fenced(f"the outcome of a commit is unknown: {unknown}") from unknown
        self.is_open, self.aborts = False, 0
        self.offsets_s = OFFSETS_S
        self.kept.clear()
        self.rows = 0
        self._let_go()

    def _take(self, stake: Stake) -> None:
        """Go on under the name of the writers of a fact topic; what was sent is sent again."""
        if stake == self.stake:
            return
        if self.stake is not None and self.stake.topic != stake.topic:
            raise ContractError(f"facts of {self.stake.topic} and of {stake.topic} cannot be in one transaction")
        if self.stake is not None:
            raise Fenced(f"{stake.topic} has facts behind {self.stake.after} by now: those on their way never were")
        self.abort()
        self._own, self.stake = self.producer, stake
        self.producer = self._new()

    def _let_go(self) -> None:
        """Back to the member's own name."""
        if self.stake is not None:
            self.producer.close()
            self.producer, self.stake = self._own, None

    def abort(self) -> None:
        if not self.is_open:
            return
        self.aborts += 1
        if self.aborts == MOST_ABORTS:
            self.replace(TransactionAborted(f"it aborted {MOST_ABORTS} transactions in a row"))
            return
        try:
            self.producer.abort()
        except Stuck as reason:
            self.replace(reason)
        self.is_open = False

    def forget(self, partitions: Collection[int]) -> None:
        if not self.kept:
            return
        # What is already in the open transaction cannot be taken out of it singly; what stays is sent again.
        self.abort()
        self.kept = [parcel.without(partitions) for parcel in self.kept]
        self.kept = [parcel for parcel in self.kept if len(parcel.values)]
        if self.stake is not None and all(parcel.topic != self.stake.topic for parcel in self.kept):
            self._let_go()


class AtLeastOnce:
    """Outputs are readable as soon as the broker has them, offsets follow: a crash repeats answers, never loses one.

    Outputs that Kafka's client gave up (Undelivered) are gone: no offset is committed any more, the process ends, and
    the next one answers again.

    Checkpoints come with the offsets that point to them in a transaction here too. A member that was frozen or cut off
    writes late what it had begun: outside a transaction that would take the place of the checkpoint that its successor
    has committed, under the same key, and compaction would take the committed one.
    """

    def __init__(
        self, connection: Connection, transactional_id: str, retry: Retry, give_up_s: float = GIVEN_UP_S
    ) -> None:
        self.retry = retry
        self._outputs = Producer(connection, linger_ms=2, give_up_s=give_up_s)
        self._checkpoints = ExactlyOnce(connection, transactional_id, retry)
        self.rows = 0

    @property
    def producer(self) -> Producer:
        return self._checkpoints.producer

    @property
    def left(self) -> Sequence[Producer]:
        return self._checkpoints.left

    def open(self) -> None:
        self._checkpoints.open()

    def send(self, parcel: Parcel, stake: Stake | None = None) -> None:
        if stake is not None:
            raise ContractError("facts are written in a transaction: HEADRACE_MODE=exactly_once")
        self.rows += len(parcel.values)
        parcel.send(self._outputs)

    def flush(self) -> None:
        self.retry(self._outputs.flush, left=self._outputs.pending)
        if self._checkpoints.is_open:
            self._checkpoints.flush()

    def commit(self, consumer: Consumer, offsets: list[TopicPartition], membership: Any) -> None:
        # Commit after flush: a crash between the two repeats an answer, never loses one.
        self.flush()
        if self._checkpoints.is_open:
            self._checkpoints.commit(consumer, offsets, membership)
        elif offsets:
            self.retry(lambda _: consumer.commit(offsets))
        self.rows = 0

    def abort(self) -> None:
        """Outputs are not taken back; checkpoints are."""
        self._checkpoints.abort()

    def forget(self, partitions: Collection[int]) -> None:
        """What was sent is sent: the next owner repeats what was not committed."""


def open_delivery(mode: str, connection: Connection, transactional_id: str, retry: Retry) -> Delivery:
    """The delivery of a mode, ready to send."""
    if mode == "exactly_once":
        return ExactlyOnce(connection, transactional_id, retry)
    return AtLeastOnce(connection, transactional_id, retry)


__all__ = ["AtLeastOnce", "Delivery", "ExactlyOnce", "Parcel", "Retry", "Stake", "TransactionAborted", "open_delivery"]
