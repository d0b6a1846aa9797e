"""What clients may do to a broker, as scripts: each tells what it saw, and sees the same of a real one and of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from headrace.errors import HeadraceError, Transient
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.kafka.poll_result import parted
from headrace.streaming.task.transactions import Retry

Seen = list[Any]


class Stage(Protocol):
    """A broker, real or in memory."""

    protocol: str

    def connection(self, name: str) -> Connection:
        """How a process of this name gets in."""

    def topic(self, partitions: int) -> str:
        """A new topic."""

    def name(self, prefix: str) -> str:
        """A name that nobody has used."""

    def moment(self) -> float:
        """Seconds."""

    def wait(self, seconds: float) -> None:
        """Let time go by."""


class Subscriber:
    """A consumer of a group, with what it was told."""

    def __init__(
        self, stage: Stage, group: str, topic: str, instance: str | None = None, subscribes: bool = True
    ) -> None:
        self.told: list[tuple[str, list[int]]] = []
        self.errors: list[str] = []
        self.values: list[bytes | None] = []
        self.consumer = Consumer(
            stage.connection(instance or "member"),
            group=group,
            member=instance,
            protocol=stage.protocol,
            session_timeout_ms=6_000,
        )
        if subscribes:
            self.consumer.subscribe([topic], self._assigned, self._noted("revoked"), self._noted("lost"))

    def _noted(self, what: str) -> Callable[[list[TopicPartition]], None]:
        return lambda partitions: self.told.append((what, sorted(tp.partition for tp in partitions)))

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        self._noted("assigned")(partitions)
        places = self.consumer.committed(partitions) if partitions else []
        self.consumer.take_over([TopicPartition(tp.topic, tp.partition, max(tp.offset, 0)) for tp in places])

    def poll(self) -> None:
        """One poll."""
        records, _, errors = parted(self.consumer.poll(1, 0.05))
        self.values += [record.value() for record in records]
        self.errors += [error.name() for _, error in errors]

    def has(self) -> list[int]:
        """The partitions that are assigned now."""
        found: set[int] = set()
        for what, partitions in self.told:
            found = found | set(partitions) if what == "assigned" else found - set(partitions)
        return sorted(found)


def until(stage: Stage, condition: Callable[[], bool], *members: Subscriber, within: float = 40.0) -> None:
    """Poll until something has come true."""
    end = stage.moment() + within
    while not condition():
        assert stage.moment() < end, [(member.told, member.errors) for member in members]
        for member in members:
            member.poll()
        stage.wait(0.01)


def outcome(call: Callable[..., object], *arguments: object) -> str:
    """The name of what a call raises, or that it was done."""
    try:
        call(*arguments)
    except HeadraceError as raised:
        return type(raised).__name__
    return "done"


def take(stage: Stage, by: Producer, offsets: list[TopicPartition], who: Any) -> None:
    """Add offsets to a transaction."""
    retry = Retry(5.0, lambda: None, stage.moment, stage.wait)
    retry(lambda timeout: by.send_offsets(offsets, who, timeout))


def contents(stage: Stage, topic: str, isolation: str, end: int, partition: int = 0) -> Seen:
    """[(offset, value)] of a partition up to an end that must be told, which takes a moment after a transaction."""
    consumer = Consumer(stage.connection("reader"), isolation=isolation)
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: Seen = []
    ends: list[int] = []
    limit = stage.moment() + 20
    while end not in ends:
        assert stage.moment() < limit, (found, ends)
        records, ended, _ = parted(consumer.poll(1, 0.1))
        found += [(record.offset(), record.value()) for record in records]
        ends += [message.offset() for message in ended]
    consumer.close()
    return found


def producer(stage: Stage, name: str) -> Producer:
    """A transactional producer that has its id."""
    made = Producer(stage.connection("producer"), transactional_id=name)
    end = stage.moment() + 30
    while True:
        try:
            made.init_transactions()
            return made
        except Transient:
            assert stage.moment() < end


def write(by: Producer, topic: str, *values: bytes, begin: bool = True) -> None:
    """Records in a transaction, acknowledged."""
    if begin:
        by.begin()
    by.send(topic, [b"k"] * len(values), list(values), [0] * len(values))
    by.flush()


# ---- scripts ---------------------------------------------------------------------------------------------------------


def transactions_end_with_markers(stage: Stage) -> Seen:
    """Committed, aborted and open: which offsets they take, and who sees what."""
    topic = stage.topic(1)
    by = producer(stage, stage.name("producer"))
    write(by, topic, b"a", b"b")
    by.commit()
    write(by, topic, b"c")
    by.abort()
    write(by, topic, b"d")
    seen = [contents(stage, topic, "read_committed", 5), contents(stage, topic, "read_uncommitted", 6)]
    by.commit()
    seen += [contents(stage, topic, "read_committed", 7), contents(stage, topic, "read_uncommitted", 7)]
    reader = Consumer(stage.connection("reader"))
    seen.append(reader.watermarks(topic, 0))
    reader.close()
    by.close()
    return seen


def records_beside_an_open_transaction_wait_for_it(stage: Stage) -> Seen:
    """What lies behind the last stable offset is not readable, whoever wrote it."""
    topic = stage.topic(1)
    by = producer(stage, stage.name("producer"))
    plain = Producer(stage.connection("plain"))
    write(plain, topic, b"a", begin=False)
    write(by, topic, b"b")
    write(plain, topic, b"c", begin=False)
    seen = [contents(stage, topic, "read_committed", 1)]
    by.abort()
    seen.append(contents(stage, topic, "read_committed", 4))
    plain.close()
    by.close()
    return seen


def a_successor_fences_its_predecessor(stage: Stage) -> Seen:
    """A new producer of an id aborts what the old one left open, which can do nothing any more."""
    topic, name = stage.topic(1), stage.name("producer")
    old = producer(stage, name)
    write(old, topic, b"a")
    new = producer(stage, name)
    seen: Seen = [contents(stage, topic, "read_committed", 2)]
    write(new, topic, b"b")
    seen.append(outcome(old.commit))
    seen.append(outcome(old.abort))
    new.commit()
    seen.append(contents(stage, topic, "read_committed", 4))
    new.close()
    return seen


def a_successor_fences_what_is_being_written(stage: Stage) -> Seen:
    """A record of a fenced producer is not written, and its flush does not fail: the end of the transaction does."""
    topic, name = stage.topic(1), stage.name("producer")
    old = producer(stage, name)
    write(old, topic, b"a")
    new = producer(stage, name)
    seen: Seen = [outcome(write, old, topic, b"b", False), outcome(old.commit)]
    write(new, topic, b"c")
    new.commit()
    seen.append(contents(stage, topic, "read_committed", 4))
    new.close()
    return seen


def ends_are_told_once_and_after_a_pause_again(stage: Stage) -> Seen:
    """The end of a partition, and what becomes of an offset where nothing is."""
    topic = stage.topic(1)
    by = Producer(stage.connection("plain"))
    write(by, topic, b"a", begin=False)
    consumer = Consumer(stage.connection("reader"))
    place = TopicPartition(topic, 0, 0)
    consumer.assign([place])
    seen: Seen = []

    def look(seconds: float) -> None:
        end = stage.moment() + seconds
        while stage.moment() < end:
            for message in consumer.poll(1, 0.1):
                error = message.error()
                seen.append((message.offset() if message.offset() else 0, error.name() if error else message.value()))

    look(1.5)
    consumer.pause([place])
    write(by, topic, b"b", begin=False)
    look(0.5)
    consumer.resume([place])
    look(1.5)
    consumer.assign([TopicPartition(topic, 0, 77)])
    look(1.5)
    consumer.close()
    by.close()
    return [what if what[1] != "_AUTO_OFFSET_RESET" else what[1] for what in seen]


def offsets_of_an_open_transaction_are_not_told(stage: Stage) -> Seen:
    """Whoever asks for them is told to wait; once it was aborted, what was before."""
    topic, group = stage.topic(1), stage.name("group")
    member = Subscriber(stage, group, topic, "i1", subscribes=False)
    place = TopicPartition(topic, 0)
    by = producer(stage, stage.name("producer"))
    write(by, topic, b"a")
    take(stage, by, [TopicPartition(topic, 0, 5)], Consumer(stage.connection("x"), group=group).group_metadata())
    seen: Seen = [outcome(member.consumer.committed, [place], 0.2)]
    by.abort()
    seen.append(member.consumer.committed([place])[0].offset)
    member.consumer.close()
    by.close()
    return seen


ALONE = (
    transactions_end_with_markers,
    records_beside_an_open_transaction_wait_for_it,
    a_successor_fences_its_predecessor,
    a_successor_fences_what_is_being_written,
    ends_are_told_once_and_after_a_pause_again,
    offsets_of_an_open_transaction_are_not_told,
)
"""Scripts for which the protocol of groups does not matter."""
