"""A producer in memory, with the calls of confluent_kafka's that our door makes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from headrace.columnar.partitioner import murmur2
from tests.simulated.consumer import Listing, list_topics
from tests.simulated.groups import Part
from tests.simulated.members import GroupMetadata
from tests.simulated.process import STEP_S, Process
from tests.simulated.refusals import fenced, refused, timed_out
from tests.simulated.transactions import Holder

Report = Callable[[KafkaError | None, Message], None]
LINGERED = 0.2
"""How likely queued records are sent before anybody asks for it."""


class Queued(NamedTuple):
    """A record on its way."""

    part: Part
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int
    since: float
    report: Report | None


class MemoryProducer:
    """See confluent_kafka.Producer. What is queued is lost when its process dies."""

    def __init__(self, process: Process, config: dict[str, Any]) -> None:
        self.process = process
        self._name: str | None = config.get("transactional.id")
        self._timeout = config.get("transaction.timeout.ms", 60_000) / 1000
        self._give_up = config["message.timeout.ms"] / 1000
        self._report: Report | None = config.get("on_delivery")
        self._queue: deque[Queued] = deque()
        self._holder: Holder | None = None
        self._begun = False
        self._touched = False
        self._failed: KafkaError | None = None
        self._fenced = False

    # ---- records -------------------------------------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        headers: list[tuple[str, bytes | None]] | None = None,
        timestamp: int = 0,
        on_delivery: Report | None = None,
    ) -> None:
        if self.process.dead:
            self.process.point("produce")
        if self._fenced:
            raise refused(KafkaError._FATAL)
        if self._name is not None and (not self._begun or self._failed is not None):
            raise refused(KafkaError._STATE)
        named = key.encode() if isinstance(key, str) else key
        part = (topic, partition if partition >= 0 else self._partition(topic, named))
        report = on_delivery or self._report
        self._queue.append(Queued(part, named, value, headers or [], timestamp, self.process.now, report))
        if self.process.chance.random() < LINGERED / 4:
            self._send(most=len(self._queue))

    def _partition(self, topic: str, key: bytes | None) -> int:
        count = len(self.process.broker.topics.get(topic, ()))
        if count < 2:
            return 0
        return self.process.chance.randrange(count) if key is None else (murmur2(key) & 0x7FFFFFFF) % count

    def poll(self, timeout: float = 0) -> int:
        return 0

    def __len__(self) -> int:
        return len(self._queue)

    def flush(self, timeout: float = 60.0) -> int:
        """Send what is queued; returns how much is still left."""
        if not self._queue:
            if self.process.dead:
                self.process.point("flush")
            return 0
        end = self.process.now + timeout
        try:
            # Some may be there when the rest is cut off.
            if len(self._queue) > 1 and self.process.chance.random() < LINGERED:
                self.process.request("produce", timeout, lambda: self._send(len(self._queue) // 2))
            while self._queue and self.process.now < end:
                self.process.request("produce", end - self.process.now, lambda: self._send(len(self._queue)))
                if self._queue:  # The transaction before is being ended still.
                    self.process.wait(STEP_S)
        except KafkaException as raised:
            if raised.args[0].code() != KafkaError._TIMED_OUT:
                raise
        code = KafkaError._MSG_TIMED_OUT
        while self._queue and self.process.now - self._queue[0].since > self._give_up:
            self._give_up_on(self._queue.popleft(), KafkaError(code))
            code = KafkaError._PURGE_QUEUE if self._name is not None else code  # it needs another epoch: the rest goes
        return len(self._queue)

    def _send(self, most: int) -> None:
        if not self.process.connected():
            return
        for _ in range(most):
            record = self._queue.popleft()
            self._touched = True
            try:
                offset = self.process.broker.append(
                    record.part, record.key, record.value, record.headers, record.timestamp, self._holder
                )
            except KafkaException as raised:
                error = raised.args[0]
                if error.retriable():
                    self._queue.appendleft(record)
                    return
                self._fenced = self._fenced or error.fatal()
                self._give_up_on(record, error)
                continue
            if record.report is not None:
                topic, partition = record.part
                record.report(None, Message(topic=topic, partition=partition, offset=offset, key=record.key))

    def _give_up_on(self, record: Queued, error: KafkaError) -> None:
        if self._name is not None:
            self._failed = error
        if record.report is not None:
            record.report(error, Message(topic=record.part[0], partition=record.part[1], key=record.key))

    # ---- transactions --------------------------------------------------------------------------------------------

    def init_transactions(self, timeout: float) -> None:
        process = self.process
        name = self._name
        assert name is not None

        def taken() -> Holder:
            found = process.broker.transactions.take_over(name, self._timeout, process.now)
            if found is None:
                raise refused(KafkaError.CONCURRENT_TRANSACTIONS, again=True)
            return found

        self._holder = process.insist("init_transactions", timeout, taken)

    def begin_transaction(self) -> None:
        self._alive()
        if self._begun:
            raise refused(KafkaError._STATE)
        self._begun, self._touched, self._failed = True, False, None

    def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], who: GroupMetadata, timeout: float
    ) -> None:
        self._alive()
        self._in_order()
        holder = self._holder
        assert holder is not None
        told = [((tp.topic, tp.partition), (tp.offset, tp.metadata or "")) for tp in offsets]
        self._touched = True
        try:
            self.process.insist(
                "send_offsets",
                timeout,
                lambda: self.process.broker.add_offsets(
                    holder, told, who.group, who.member, who.generation, who.instance
                ),
            )
        except KafkaException as raised:
            self._heard(raised)

    def commit_transaction(self, timeout: float) -> None:
        self._alive()
        end = self.process.now + timeout
        if self.flush(timeout):
            raise timed_out()
        self._alive()
        self._in_order()
        self._end(True, max(end - self.process.now, 0.0))

    def abort_transaction(self, timeout: float) -> None:
        self._alive()
        self._queue.clear()
        self._end(False, timeout)

    def _end(self, commit: bool, timeout: float) -> None:
        holder = self._holder
        assert holder is not None
        if self._touched:
            what = "commit" if commit else "abort"
            try:
                self.process.insist(what, timeout, lambda: self.process.broker.transactions.end(holder, commit))
            except KafkaException as raised:
                self._heard(raised)
        self._begun, self._failed, self._touched = False, None, False

    def _alive(self) -> None:
        if self.process.dead:
            self.process.point("transaction")
        if self._fenced:
            raise fenced()

    def _in_order(self) -> None:
        if self._failed is not None:
            raise refused(KafkaError._INCONSISTENT, abort=True)

    def _heard(self, raised: KafkaException) -> None:
        error = raised.args[0]
        if error.fatal():
            self._fenced = True
        elif not error.retriable():
            self._failed = error
            raise refused(error.code(), abort=True) from raised
        raise raised

    # ---- questions -----------------------------------------------------------------------------------------------

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Listing:
        return list_topics(self.process, topic, timeout)

    def close(self) -> None:
        self.flush()


class Described(NamedTuple):
    """A group as an operator sees it, and the future that it comes in."""

    members: list[str]

    def result(self, timeout: float) -> Described:
        """As of a future."""
        return self


class MemoryAdmin:
    """See confluent_kafka.admin.AdminClient; what members ask of it."""

    def __init__(self, process: Process, config: dict[str, Any]) -> None:
        self.process = process

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Listing:
        return list_topics(self.process, topic, timeout)

    def poll(self, timeout: float) -> None:
        """Nothing is to be served."""

    def describe_consumer_groups(self, groups: Sequence[str]) -> dict[str, Described]:
        broker = self.process.broker
        return self.process.request(
            "describe",
            15.0,
            lambda: {
                name: Described(sorted(broker.groups[name].members) if name in broker.groups else []) for name in groups
            },
        )
