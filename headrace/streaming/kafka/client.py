"""The one door to confluent_kafka: consumers, producers and the admin client, with its errors named by what to do.

librdkafka's errors carry flags; `translate` turns each into one of ours:

    fatal, fenced                    -> Fenced             end the process, commit nothing
    the transaction must be aborted  -> TransactionAborted abort, then send the same outputs again
    retriable, timed out, transport  -> Transient          the same call again
    anything else                    -> ContractError      a topic, a message or a setting is not what was agreed
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from headrace.errors import ConfigurationError, ContractError, Fenced, HeadraceError, Transient
from headrace.streaming.kafka.authentication import Entrance
from headrace.streaming.kafka.client_log import LibraryLog, tell
from headrace.streaming.kafka.properties import refusals

__all__ = [
    "Admin",
    "Connection",
    "Consumer",
    "Headers",
    "KafkaError",
    "Library",
    "Message",
    "Producer",
    "Stuck",
    "TopicPartition",
    "TransactionAborted",
    "Undelivered",
    "headers",
    "place",
]

Headers = list[tuple[str, bytes | None]]

OFFSET_BEGINNING = confluent_kafka.OFFSET_BEGINNING
OFFSET_INVALID = confluent_kafka.OFFSET_INVALID

FENCED = {
    KafkaError._FENCED,
    KafkaError._FATAL,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
    KafkaError.UNRELEASED_INSTANCE_ID,
    # The producer is in a state that only a new one gets out of.
    KafkaError._STATE,
    KafkaError._GAPLESS_GUARANTEE,
    KafkaError.INVALID_TXN_STATE,
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
    KafkaError.UNKNOWN_PRODUCER_ID,
    KafkaError.TRANSACTION_COORDINATOR_FENCED,
}
# A stale view of the group (its partitions are about to move), or a broker that asks for the abort itself.
STALE_GROUP = {
    KafkaError._ASSIGNMENT_LOST,
    KafkaError.TRANSACTION_ABORTABLE,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.CONCURRENT_TRANSACTIONS,
}
PASSING = {
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._QUEUE_FULL,
    KafkaError._RETRY,
    KafkaError._WAIT_COORD,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    # A broker in trouble, or metadata that has not come round: librdkafka flags these only where it retries itself.
    KafkaError._INTR,
    KafkaError._DESTROY_BROKER,
    KafkaError._IN_PROGRESS,
    KafkaError._PREV_IN_PROGRESS,
    KafkaError._ISR_INSUFF,
    KafkaError._WAIT_CACHE,
    KafkaError._UNKNOWN_BROKER,
    KafkaError._NODE_UPDATE,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.FETCH_SESSION_ID_NOT_FOUND,
    KafkaError.INCONSISTENT_TOPIC_ID,
    KafkaError.INVALID_FETCH_SESSION_EPOCH,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_CONTROLLER,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
    KafkaError.REASSIGNMENT_IN_PROGRESS,
    KafkaError.REBOOTSTRAP_REQUIRED,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.STALE_BROKER_EPOCH,
    KafkaError.STALE_CTRL_EPOCH,
    KafkaError.THROTTLING_QUOTA_EXCEEDED,
    KafkaError.UNKNOWN,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_ID,
}
T = TypeVar("T")
SEND_S = 30.0
"""How long the first record of a producer waits for a cluster to answer."""
GIVEN_UP_S = 50.0
"""Records that no broker takes within this time are given up: before the transaction that they are in."""
COME_BACK_S = 0.5
"""A call that outlasts its own time-out by more will not come back."""
PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)


class TransactionAborted(HeadraceError):
    """The open transaction cannot commit: abort it and send its outputs again."""


class Undelivered(HeadraceError):
    """Records were given up after `GIVEN_UP_S`: to wait longer brings none of them to the topic."""


class Stuck(HeadraceError):
    """A call of the library's did not come back. What it was called on is good for nothing more: use a new one."""


def translate(error: KafkaError) -> HeadraceError:
    """Our name for a librdkafka error; total: every error has one."""
    if error.txn_requires_abort() or error.code() == KafkaError._INCONSISTENT:
        return TransactionAborted(str(error))
    if error.fatal() or error.code() in FENCED:
        return Fenced(str(error))
    if error.code() in STALE_GROUP:
        return TransactionAborted(str(error))
    if error.retriable() or error.code() in PASSING:
        return Transient(str(error))
    return ContractError(str(error))


def log_was_cut(error: KafkaError) -> bool:
    """Whether a consumer was told that nothing is at its offset: retention took it, or the topic is another."""
    return error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


def _call(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    try:
        return function(*arguments, **options)
    except KafkaException as raised:
        raise translate(raised.args[0]) from raised
    except TimeoutError:
        raise Transient("Kafka does not answer") from None  # A future of the admin client's, waited for in vain.


class Library(Protocol):
    """What this door opens on: clients by their librdkafka properties, and the time that goes by in their calls."""

    def consumer(self, config: dict[str, Any]) -> Any:
        """As confluent_kafka.Consumer."""

    def producer(self, config: dict[str, Any]) -> Any:
        """As confluent_kafka.Producer."""

    def admin(self, config: dict[str, Any]) -> Any:
        """As confluent_kafka.admin.AdminClient."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Let so much time go by."""

    def call_until(self, seconds: float, function: Callable[..., T], *arguments: Any) -> T:
        """The function's answer; Stuck when it does not come back within `seconds`."""


class Librdkafka:
    """The library itself, on the machine's own clock."""

    def consumer(self, config: dict[str, Any]) -> Any:
        return confluent_kafka.Consumer(config)

    def producer(self, config: dict[str, Any]) -> Any:
        return confluent_kafka.Producer(config)

    def admin(self, config: dict[str, Any]) -> Any:
        return AdminClient(config)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def call_until(self, seconds: float, function: Callable[..., T], *arguments: Any) -> T:
        """Called on a thread of its own.

        Some calls of librdkafka outlast their time-outs for ever when a coordinator dies (send_offsets_to_transaction:
        librdkafka issues 5456 and 5511). The thread stays behind, as does whatever it was called on.
        """
        came_back = threading.Event()
        answers: list[T] = []
        errors: list[BaseException] = []

        def calling() -> None:
            try:
                answers.append(function(*arguments))
            except BaseException as error:  # noqa: BLE001 - handed over to the caller's thread, whatever it is
                errors.append(error)
            came_back.set()

        threading.Thread(target=calling, name="kafka-call", daemon=True).start()
        if not came_back.wait(seconds):
            raise Stuck(f"{getattr(function, '__name__', 'a call')} did not come back within {seconds:g} s")
        if errors:
            raise errors[0]
        return answers[0]


def place(message: Message) -> tuple[int, int]:
    """(partition, offset) of a message that was delivered to us; librdkafka's types allow for those that were not."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def _ask(library: Library, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """A question that changes nothing, asked again while brokers are on the move; Transient after the last try."""
    for pause in PAUSES_S:
        try:
            return _call(function, *arguments, **options)
        except Transient:
            library.sleep(pause)
    return _call(function, *arguments, **options)


def headers(message: Message) -> Headers | None:
    """The headers of a message that was delivered to us; None when the name of one is no UTF-8, as Kafka allows."""
    try:
        return cast(Headers, message.headers() or [])  # its type allows for what a producer may pass
    except (SystemError, UnicodeDecodeError):  # The library decodes the names, and forgets to say that it failed.
        return None


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the cluster is, and how to get in.

    Attributes:
        bootstrap: host:port, comma separated.
        properties: further librdkafka properties for every client (security.protocol, sasl.*, ssl.*, client.rack).
        library: makes the clients.
        said: takes what the library logs of all clients of this connection.
    """

    bootstrap: str
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    library: Library = field(default_factory=Librdkafka, repr=False, compare=False)
    said: LibraryLog = field(
        default_factory=lambda: LibraryLog(time.monotonic, tell), init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """ConfigurationError for a property that would undo what headrace promises."""
        if found := refusals(self.properties):
            raise ConfigurationError("HEADRACE_KAFKA: " + "; ".join(found))

    def _entrance(self) -> Entrance:
        return Entrance(self.bootstrap, KafkaException, self.library.monotonic)

    def _client(self, **properties: Any) -> dict[str, Any]:
        spoken = {
            name if name in ("on_delivery", "error_cb") else name.replace("_", "."): value
            for name, value in properties.items()
            if value is not None
        }
        # A broker that comes back is found within a second: librdkafka's own ten are most of a short outage.
        ours = {"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 1_000}
        return {**ours, "log_level": 3, "logger": self.said, **spoken, **self.properties}


class Consumer:
    """A consumer that reads committed records only and never commits by itself."""

    def __init__(
        self,
        connection: Connection,
        *,
        group: str | None = None,
        member: str | None = None,
        protocol: str = "classic",
        session_timeout_ms: int = 15_000,
        fetch_wait_ms: int = 10,
        isolation: str = "read_committed",
        partition_eof: bool = True,
    ) -> None:
        """`group=None` is for reading without a group: `assign` by hand, nothing is ever committed.

        `member` makes the membership static: a restart within the session time-out gets its partitions back at once.
        """
        classic = group is not None and protocol == "classic"
        self.incremental = protocol == "consumer"
        self._library = connection.library
        self._entrance = connection._entrance()
        # Any: the library's own types leave out the None that its calls may answer.
        self._consumer: Any = _construct(
            connection.library.consumer,
            connection._client(
                group_id=group or f"headrace-reader-{uuid.uuid4()}",
                group_instance_id=member,
                group_protocol=protocol if group else "classic",
                session_timeout_ms=session_timeout_ms if classic else None,
                heartbeat_interval_ms=min(1_000, session_timeout_ms // 5) if classic else None,
                partition_assignment_strategy="range" if classic else None,
                isolation_level=isolation,
                auto_offset_reset="error",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                enable_partition_eof=partition_eof,
                fetch_wait_max_ms=fetch_wait_ms,
                fetch_queue_backoff_ms=1,
                queued_min_messages=100_000,
                queued_max_messages_kbytes=32_768,
                socket_nagle_disable=True,
                allow_auto_create_topics=False,
                error_cb=self._entrance.heard,
            ),
        )

    def subscribe(
        self,
        topics: Sequence[str],
        on_assign: Callable[[list[TopicPartition]], None],
        on_revoke: Callable[[list[TopicPartition]], None],
        on_lost: Callable[[list[TopicPartition]], None],
    ) -> None:
        """Join the group. The callbacks run inside `poll`; `on_assign` must call `take_over`."""
        self._enter()
        _call(
            self._consumer.subscribe,
            list(topics),
            on_assign=lambda _, partitions: on_assign(partitions),
            on_revoke=lambda _, partitions: on_revoke(partitions),
            on_lost=lambda _, partitions: on_lost(partitions),
        )

    def take_over(self, partitions: list[TopicPartition]) -> None:
        """Begin reading the newly assigned partitions at the offsets that they carry."""
        _call(self._consumer.incremental_assign if self.incremental else self._consumer.assign, partitions)
        # A partition that was paused when it was last ours would stay so.
        _call(self._consumer.resume, partitions)

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read exactly these partitions from the offsets that they carry, without a group.

        ContractError when one does not exist, or its topic may not be seen: librdkafka would wait for it in silence.
        """
        self._enter()
        for topic in dict.fromkeys(wanted.topic for wanted in partitions):
            count, last = self.partitions(topic), max(each.partition for each in partitions if each.topic == topic)
            if last >= count:
                raise ContractError(f"{topic} has {count} partitions, and partition {last} was to be read")
        _call(self._consumer.assign, partitions)

    def poll(self, most: int, timeout: float) -> list[Message]:
        """Up to `most` messages: those that are there at once, or as many as come within `timeout` (seconds).

        For one message this waits only until it comes; for several it waits the whole time-out or until all have come.
        """
        if most == 1:
            message = _call(self._consumer.poll, timeout)
            self._entrance.stay(self._consumer)
            return [] if message is None else [message]
        messages: list[Message] = _call(self._consumer.consume, most, timeout)
        return messages

    def _enter(self, timeout: float = 30.0) -> None:
        self._entrance.enter(self._consumer, timeout)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        _call(self._consumer.pause, list(partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        _call(self._consumer.resume, list(partitions))

    def committed(self, partitions: list[TopicPartition], timeout: float = 30.0) -> list[TopicPartition]:
        """The group's committed offsets, each with its metadata; OFFSET_INVALID where there is none."""
        self._enter(timeout)
        answers: list[TopicPartition] = _ask(self._library, self._consumer.committed, partitions, timeout)
        for answer in answers:
            if answer.error is not None:
                raise translate(answer.error)
        return answers

    def watermarks(self, topic: str, partition: int, timeout: float = 10.0) -> tuple[int, int]:
        """(first offset in the log, offset after the last record), asked of the broker."""
        self._enter(timeout)
        answer = _ask(self._library, self._consumer.get_watermark_offsets, TopicPartition(topic, partition), timeout)
        if answer is None:
            raise Transient(f"no answer about the offsets of {topic}[{partition}]")
        return int(answer[0]), int(answer[1])

    def high_watermark(self, topic: str, partition: int) -> int:
        """The offset after the last record as of the last fetch; asks nobody."""
        answer = _call(self._consumer.get_watermark_offsets, TopicPartition(topic, partition), cached=True)
        return max(int(answer[1]), 0) if answer else 0

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = 10.0) -> list[TopicPartition]:
        """For each partition (its `offset` read as a time in ms) the first offset with a timestamp at or after it."""
        self._enter(timeout)
        found: list[TopicPartition] = _ask(self._library, self._consumer.offsets_for_times, partitions, timeout)
        return found

    def partitions(self, topic: str, timeout: float = 10.0) -> int:
        """The number of partitions of a topic; ContractError when it does not exist."""
        self._enter(timeout)
        for pause in (*PAUSES_S[:4], None):  # A topic that was just created may not be known to every broker yet.
            found = _ask(self._library, self._consumer.list_topics, topic, timeout).topics[topic]
            if found.error is None:
                return len(found.partitions)
            passing = isinstance(translate(found.error), Transient)  # as where its leader is only being chosen
            if pause is None or not (passing or found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
                break
            self._library.sleep(pause)
        raise _missing(topic, found.error)

    def count(self, topic: str, within: float) -> int | None:
        """As `partitions`, asked once: 0 where there is no such topic, None without an answer in so many seconds."""
        try:
            found = _call(self._consumer.list_topics, topic, within).topics[topic]
        except Transient:
            return None
        if found.error is not None:
            return 0 if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART else None
        return len(found.partitions)

    def group_metadata(self) -> Any:
        """The membership as of the last poll; take it after every poll, it fences stale members."""
        return _call(self._consumer.consumer_group_metadata)

    def commit(self, offsets: list[TopicPartition]) -> None:
        """Commit outside a transaction, and wait for the answer."""
        for answer in _call(self._consumer.commit, offsets=offsets, asynchronous=False) or []:
            if answer.error is not None:
                raise translate(answer.error)

    def close(self) -> None:
        _call(self._consumer.close)


class Producer:
    """An idempotent producer, transactional when it has an id."""

    def __init__(
        self,
        connection: Connection,
        *,
        transactional_id: str | None = None,
        linger_ms: float = 5,
        reports: bool = False,
        give_up_s: float = GIVEN_UP_S,
        transaction_s: int = 60,
    ) -> None:
        """`reports`: without a transaction, `send_one` may ask where its record went; a report costs time for each.

        `transaction_s`: the broker aborts a transaction that is open for longer.
        """
        # Without a transaction nobody else would tell that a delivery failed; inside one, the commit does.
        watch = {} if transactional_id else {"on_delivery": self._delivered, "delivery_report_only_error": not reports}
        self.failure: KafkaError | None = None
        self._library = connection.library
        self._entrance = connection._entrance()
        self._producer: Any = _construct(
            connection.library.producer,
            connection._client(
                transactional_id=transactional_id,
                transaction_timeout_ms=transaction_s * 1_000 if transactional_id else None,
                message_timeout_ms=round(give_up_s * 1000),
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                partitioner="murmur2_random",
                linger_ms=linger_ms,
                batch_size=262_144,
                message_max_bytes=8_000_000,
                queue_buffering_max_messages=1_000_000,
                queue_buffering_max_kbytes=524_288,
                retry_backoff_ms=1,
                retry_backoff_max_ms=10,
                socket_nagle_disable=True,
                error_cb=self._entrance.heard,
                **watch,
            ),
        )

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.failure = error

    def init_transactions(self, timeout: float = 30.0) -> None:
        """Take over the transactional id; an older holder's open transaction is aborted.

        Transient: call again, also while the coordinator is still at the older transaction. Stuck: use a new producer.
        """
        self._entrance.enter(self._producer, timeout)
        try:
            _call(self._library.call_until, timeout + 5, self._producer.init_transactions, timeout)
        except TransactionAborted as busy:
            raise Transient(f"the transactional id is not free yet: {busy}") from busy

    def begin(self) -> None:
        _call(self._producer.begin_transaction)

    def send(
        self,
        topic: str,
        keys: Sequence[bytes | str | None],
        values: Sequence[bytes | None],
        partitions: Sequence[int] | None = None,
    ) -> None:
        """Queue records, in order. Raises what `translate` says when the queue refuses them for good."""
        self._entrance.enter(self._producer, SEND_S)
        produce = self._producer.produce
        where = partitions if partitions is not None else [-1] * len(values)
        done = 0
        while True:
            try:
                for key, value, partition in zip(keys[done:], values[done:], where[done:], strict=True):
                    produce(topic, value, key, partition)
                    done += 1
                return
            except BufferError:  # The local queue is full: let it drain, then go on where it stopped.
                self._producer.poll(0.1)
            except KafkaException as raised:
                raise _refused(raised.args[0]) from raised

    def send_one(
        self,
        topic: str,
        key: bytes | str | None,
        value: bytes | None,
        *,
        partition: int = -1,
        headers: list[tuple[str, bytes | None]] | None = None,
        timestamp: int = 0,
        delivered: Callable[[int, int], None] | None = None,
    ) -> None:
        """Queue one record with its trimmings; `delivered(partition, offset)` is called on success, during `flush`."""

        def report(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failure = error
            elif delivered is not None:
                delivered(*place(message))

        self._entrance.enter(self._producer, SEND_S)
        options: dict[str, Any] = {"on_delivery": report} if delivered else {}
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers, timestamp=timestamp, **options)
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as raised:
                raise _refused(raised.args[0]) from raised

    def partitions(self, topic: str, timeout: float = 10.0) -> int:
        """The number of partitions of a topic; ContractError when it does not exist. Connects, if nothing has yet."""
        self._entrance.enter(self._producer, timeout)
        found = _ask(self._library, self._producer.list_topics, topic, timeout).topics[topic]
        if found.error is not None:
            raise _missing(topic, found.error)
        return len(found.partitions)

    def poll(self) -> None:
        """Serve delivery reports."""
        self._producer.poll(0)

    def pending(self) -> int:
        """How many records are not acknowledged yet."""
        return len(self._producer)

    def flush(self, timeout: float = 30.0) -> None:
        """Wait until everything queued is durable.

        Raises:
            Transient: not yet; call again.
            Undelivered: some never will be. Told once: from then on nothing that was sent may count as durable.
            ContractError: the broker refuses a record.
        """
        if _call(self._producer.flush, timeout):
            raise Transient(f"records still not acknowledged after {timeout:g} s")
        if self.failure is not None:
            failure, self.failure = self.failure, None
            named = translate(failure)
            raise Undelivered(f"records were given up: {failure}") if isinstance(named, Transient) else named

    def close(self) -> None:
        """Flush, and let go of the broker at once instead of when the collector comes by."""
        _call(self._producer.close)

    def send_offsets(self, offsets: list[TopicPartition], group_metadata: Any, within: float) -> None:
        """Add offsets to the transaction. Stuck when that takes longer than `within` seconds."""
        send = self._producer.send_offsets_to_transaction
        end = self._library.monotonic() + within
        while True:
            try:
                _call(self._library.call_until, within + COME_BACK_S, send, offsets, group_metadata, within)
                return
            except Transient as reason:
                if self._library.monotonic() >= end:
                    raise Stuck(f"offsets were not taken within {within:g} s: {reason}") from reason
                self._library.sleep(PAUSES_S[0])

    def commit(self, timeout: float = 30.0) -> None:
        """Commit the transaction. Transient: it goes on, call again; never use the producer for anything else then."""
        try:
            _call(self._library.call_until, timeout + 5, self._producer.commit_transaction, timeout)
        except Stuck as unknown:
            raise Fenced(f"the outcome of a commit is unknown: {unknown}") from unknown

    def abort(self, timeout: float = 10.0) -> None:
        """Abort the transaction. Stuck when its outcome is unknown: a new producer of the same name aborts it."""
        try:
            _call(self._library.call_until, timeout + 5, self._producer.abort_transaction, timeout)
        except Transient as unknown:
            raise Stuck(f"the outcome of an abort is unknown: {unknown}") from unknown
        self.failure = None


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker has it; `config` holds what was set for this topic itself."""

    partitions: int
    replication: int
    config: Mapping[str, str]


class Admin:
    """Topics, groups and offsets, as an operator sees them."""

    def __init__(self, connection: Connection | str) -> None:
        self.connection = Connection(connection) if isinstance(connection, str) else connection
        self._entrance = self.connection._entrance()
        self._client: Any = _construct(
            self.connection.library.admin, self.connection._client(error_cb=self._entrance.heard)
        )

    @property
    def _admin(self) -> Any:
        """The client, once the cluster has answered it."""
        self._entrance.enter(self._client, 15.0)
        return self._client

    def topics(self, timeout: float = 15.0) -> dict[str, TopicState]:
        """Every topic that is not Kafka's own."""
        self._entrance.enter(self._client, timeout)
        listed = _call(self._client.list_topics, timeout=timeout).topics
        names = sorted(name for name in listed if not name.startswith("__"))
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        # An entry's source is an int, in spite of its type.
        asked = self._admin.describe_configs(resources) if resources else {}
        states = {}
        for resource, future in asked.items():
            entries: Mapping[str, Any] = _call(future.result, timeout)
            own = {
                name: str(entry.value)
                for name, entry in entries.items()
                if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
            }
            found = listed[resource.name].partitions
            states[resource.name] = TopicState(len(found), len(found[0].replicas) if found else 0, own)
        return states

    def brokers(self, timeout: float = 15.0) -> int:
        """How many brokers the cluster has now."""
        return len(_ask(self.connection.library, self._admin.list_topics, timeout=timeout).brokers)

    def broker_setting(self, name: str, timeout: float = 15.0) -> dict[int, str]:
        """What each broker that runs now is set to, by its number."""
        brokers = _ask(self.connection.library, self._admin.list_topics, timeout=timeout).brokers
        asked = self._admin.describe_configs([ConfigResource(ResourceType.BROKER, str(node)) for node in brokers])
        found = {}
        for resource, future in asked.items():
            entries: Mapping[str, Any] = _call(future.result, timeout)
            if name in entries:
                found[int(resource.name)] = str(entries[name].value)
        return found

    def create(self, name: str, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        topic = NewTopic(name, partitions, replication, config=dict(config))
        self._wait(self._admin.create_topics([topic]))

    def add_partitions(self, name: str, total: int) -> None:
        self._wait(self._admin.create_partitions([NewPartitions(name, total)]))

    def alter_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set the named properties and leave the others alone."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        self._wait(self._admin.incremental_alter_configs([resource]))

    def delete(self, names: Sequence[str]) -> None:
        self._wait(self._admin.delete_topics(list(names)))

    def groups(self) -> list[str]:
        """The ids of all consumer groups."""
        listed = _call(self._admin.list_consumer_groups().result, 15.0)
        return sorted(group.group_id for group in listed.valid)

    def members(self, group: str) -> int:
        """How many members a group has at this moment; none when there is no such group."""
        admin = self._admin
        asked = _ask(self.connection.library, lambda: admin.describe_consumer_groups([group])[group].result(15.0))
        return len(asked.members)

    @staticmethod
    def _wait(futures: Mapping[Any, Any], timeout: float = 60.0) -> None:
        for future in futures.values():
            _call(future.result, timeout)


def committed(connection: Connection, group: str, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """What a group has committed of these partitions; nothing of those where it never did. Asked without joining it.

    The admin client's list_consumer_group_offsets would ask the same, but ends the process by a segmentation fault when
    the group's coordinator is only starting (librdkafka 2.16: rd_kafka_handle_OffsetFetch without a group of its own).
    """
    consumer = Consumer(connection, group=group)
    try:
        found = consumer.committed([TopicPartition(topic, number) for topic, number in partitions])
    finally:
        consumer.close()
    return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}


def _refused(error: KafkaError) -> HeadraceError:
    """produce() in a transaction that already failed says _STATE, without a flag; the abort then tells why."""
    return TransactionAborted(str(error)) if error.code() == KafkaError._STATE else translate(error)


def _construct(kind: Callable[[dict[str, Any]], T], config: dict[str, Any]) -> T:
    try:
        return kind(config)
    except KafkaException as raised:
        raise ConfigurationError(f"Kafka refuses the settings: {raised.args[0]}") from raised


def _missing(topic: str, error: KafkaError) -> HeadraceError:
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return ContractError(f"the topic {topic} does not exist; create it with: headrace topics apply PIPELINE")
    named = translate(error)
    return type(named)(f"{topic}: {error.str()} ({error.name()})")
