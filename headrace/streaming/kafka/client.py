"""Consumers and producers: each is set up so that nothing is lost, doubled or committed by itself."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from headrace.errors import ContractError, Fenced, Transient
from headrace.streaming.kafka.connection import PAUSES_S, Connection, ask
from headrace.streaming.kafka.errors import (
    NoSuchPartition,
    Stuck,
    TransactionAborted,
    Undelivered,
    call,
    construct,
    missing,
    of_abort,
    refused,
    translate,
)
from headrace.streaming.kafka.message import Message, TopicPartition, place

T = TypeVar("T")
SEND_S = 30.0
"""How long the first record of a producer waits for a cluster to answer."""
FETCH_WAIT_MS = 100
"""So long a fetch waits at the broker where nothing is new. What arrives ends it at once; a partition that is added or
resumed meanwhile waits for its end. At 10, members with nothing to do took a third of the broker's time."""
GIVEN_UP_S = 50.0
"""Records that no broker takes within this time are given up: before the transaction that they are in."""
COME_BACK_S = 0.5
"""A call that outlasts its own time-out by more will not come back."""


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
        isolation: str = "read_committed",
        partition_eof: bool = True,
    ) -> None:
        """`group=None` is for reading without a group: `assign` by hand, nothing is ever committed.

        `member` makes the membership static: a restart within the session time-out gets its partitions back at once.
        """
        classic = group is not None and protocol == "classic"
        self.incremental = protocol == "consumer"
        self._library = connection.library
        self._entrance = connection.entrance()
        # Any: the library's own types leave out the None that its calls may answer.
        self._consumer: Any = construct(
            connection.library.consumer,
            connection.properties_of(
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
                fetch_wait_max_ms=FETCH_WAIT_MS,
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
        call(
            self._consumer.subscribe,
            list(topics),
            on_assign=lambda _, partitions: on_assign(partitions),
            on_revoke=lambda _, partitions: on_revoke(partitions),
            on_lost=lambda _, partitions: on_lost(partitions),
        )

    def take_over(self, partitions: list[TopicPartition]) -> None:
        """Begin reading the newly assigned partitions at the offsets that they carry."""
        call(self._consumer.incremental_assign if self.incremental else self._consumer.assign, partitions)
        # A partition that was paused when it was last ours would stay so.
        call(self._consumer.resume, partitions)

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read exactly these partitions from the offsets that they carry, without a group.

        ContractError when one does not exist, or its topic may not be seen: librdkafka would wait for it in silence.
        """
        self._enter()
        for topic in dict.fromkeys(wanted.topic for wanted in partitions):
            count, last = self.partitions(topic), max(each.partition for each in partitions if each.topic == topic)
            if last >= count:
                raise ContractError(f"{topic} has {count} partitions, and partition {last} was to be read")
        call(self._consumer.assign, partitions)

    def poll(self, most: int, timeout: float) -> list[Message]:
        """Up to `most` messages: those that are there at once, or as many as come within `timeout` (seconds).

        For one message this waits only until it comes; for several it waits the whole time-out or until all have come.
        """
        if most == 1:
            message = call(self._consumer.poll, timeout)
            self._entrance.stay(self._consumer)
            return [] if message is None else [message]
        messages: list[Message] = call(self._consumer.consume, most, timeout)
        return messages

    def burst(self, most: int, timeout: float) -> list[Message]:
        """Up to `most` messages that are there, once the first has come; none where none comes within `timeout`."""
        messages = self.poll(1, timeout)
        return messages + self.poll(most - 1, 0) if messages and most > 1 else messages

    def _enter(self, timeout: float = 30.0) -> None:
        self._entrance.enter(self._consumer, timeout)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        call(self._consumer.pause, list(partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        call(self._consumer.resume, list(partitions))

    def seek(self, partition: TopicPartition) -> None:
        """Go on reading a partition at the offset that it carries; what was fetched of it is forgotten."""
        call(self._consumer.seek, partition)

    def committed(self, partitions: list[TopicPartition], timeout: float = 30.0) -> list[TopicPartition]:
        """The group's committed offsets, each with its metadata; OFFSET_INVALID where there is none."""
        self._enter(timeout)
        answers: list[TopicPartition] = ask(self._library, self._consumer.committed, partitions, timeout)
        for answer in answers:
            if answer.error is not None:
                raise translate(answer.error)
        return answers

    def watermarks(self, topic: str, partition: int, timeout: float = 10.0) -> tuple[int, int]:
        """(first offset in the log, offset after the last record), asked of the broker."""
        self._enter(timeout)
        where, asking = TopicPartition(topic, partition), self._consumer.get_watermark_offsets
        answer: Any = ask(self._library, self._of_leaders, [where], asking, where, timeout)
        if answer is None:
            raise Transient(f"no answer about the offsets of {topic}[{partition}]")
        return int(answer[0]), int(answer[1])

    def high_watermark(self, topic: str, partition: int) -> int:
        """The offset after the last record as of the last fetch; asks nobody."""
        answer = call(self._consumer.get_watermark_offsets, TopicPartition(topic, partition), cached=True)
        return max(int(answer[1]), 0) if answer else 0

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = 10.0) -> list[TopicPartition]:
        """For each partition (its `offset` read as a time in ms) the first offset with a timestamp at or after it."""
        self._enter(timeout)
        asking = self._consumer.offsets_for_times
        found: list[TopicPartition] = ask(self._library, self._of_leaders, partitions, asking, partitions, timeout)
        return found

    def _of_leaders(self, places: Sequence[TopicPartition], asking: Callable[..., T], *arguments: Any) -> T:
        """What leaders of partitions say; Transient where one that exists has none, as while a broker comes back."""
        try:
            answer = call(asking, *arguments)
            for each in answer if isinstance(answer, list) else ():
                if each.error is not None:
                    raise translate(each.error)
            return answer
        except NoSuchPartition as reason:
            if all(each.partition < self.partitions(each.topic) for each in places):
                raise Transient(f"a partition of {places[0].topic} has no leader: {reason}") from reason
            raise

    def partitions(self, topic: str, timeout: float = 10.0) -> int:
        """The number of partitions of a topic; ContractError when it does not exist."""
        self._enter(timeout)
        for pause in (*PAUSES_S[:4], None):  # A topic that was just created may not be known to every broker yet.
            found = ask(self._library, self._consumer.list_topics, topic, timeout).topics[topic]
            if found.error is None:
                return len(found.partitions)
            passing = isinstance(translate(found.error), Transient)  # as where its leader is only being chosen
            if pause is None or not (passing or found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
                break
            self._library.sleep(pause)
        raise missing(topic, found.error)

    def count(self, topic: str, within: float) -> int | None:
        """As `partitions`, asked once: 0 where there is no such topic, None without an answer in so many seconds."""
        try:
            found = call(self._consumer.list_topics, topic, within).topics[topic]
        except Transient:
            return None
        if found.error is not None:
            return 0 if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART else None
        return len(found.partitions)

    def group_metadata(self) -> Any:
        """The membership as of the last poll; take it after every poll, it fences stale members."""
        return call(self._consumer.consumer_group_metadata)

    def commit(self, offsets: list[TopicPartition]) -> None:
        """Commit outside a transaction, and wait for the answer."""
        for answer in call(self._consumer.commit, offsets=offsets, asynchronous=False) or []:
            if answer.error is not None:
                raise translate(answer.error)

    def close(self) -> None:
        call(self._consumer.close)


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
        self._entrance = connection.entrance()
        self._producer: Any = construct(
            connection.library.producer,
            connection.properties_of(
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
            call(self._library.call_until, timeout + 5, self._producer.init_transactions, timeout)
        except TransactionAborted as busy:
            raise Transient(f"the transactional id is not free yet: {busy}") from busy

    def begin(self) -> None:
        call(self._producer.begin_transaction)

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
                raise refused(raised.args[0]) from raised

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
                raise refused(raised.args[0]) from raised

    def partitions(self, topic: str, timeout: float = 10.0) -> int:
        """The number of partitions of a topic; ContractError when it does not exist. Connects, if nothing has yet."""
        self._entrance.enter(self._producer, timeout)
        found = ask(self._library, self._producer.list_topics, topic, timeout).topics[topic]
        if found.error is not None:
            raise missing(topic, found.error)
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
        if call(self._producer.flush, timeout):
            raise Transient(f"records still not acknowledged after {timeout:g} s")
        if self.failure is not None:
            failure, self.failure = self.failure, None
            named = translate(failure)
            raise Undelivered(f"records were given up: {failure}") if isinstance(named, Transient) else named

    def close(self) -> None:
        """Flush, and let go of the broker at once instead of when the collector comes by."""
        call(self._producer.close)

    def send_offsets(self, offsets: list[TopicPartition], group_metadata: Any, timeout: float) -> None:
        """Add offsets to the transaction. Transient: call again. Stuck: it did not come back; use a new producer."""
        send = self._producer.send_offsets_to_transaction
        call(self._library.call_until, timeout + COME_BACK_S, send, offsets, group_metadata, timeout)

    def commit(self, timeout: float = 30.0) -> None:
        """Commit the transaction. Transient: it goes on, call again; never use the producer for anything else then."""
        try:
            call(self._library.call_until, timeout + 5, self._producer.commit_transaction, timeout)
        except Stuck as unknown:
            raise Fenced(f"the outcome of a commit is unknown: {unknown}") from unknown

    def abort(self, timeout: float = 10.0) -> None:
        """Abort the transaction. Stuck when its outcome is unknown: a new producer of the same name aborts it."""
        try:
            call(self._library.call_until, timeout + 5, self._producer.abort_transaction, timeout)
        except (Transient, Fenced) as reason:
            raise of_abort(reason) from reason.__cause__
        self.failure = None
