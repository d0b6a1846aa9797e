"""A consumer in memory, with the calls of confluent_kafka's that our door makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaError, Message, TopicPartition

from tests.simulated.groups import Part
from tests.simulated.incremental_members import IncrementalMember
from tests.simulated.members import Callbacks, ClassicMember, GroupMember, GroupMetadata
from tests.simulated.process import Killed, Process
from tests.simulated.refusals import refused

BROKERS_SESSION_MS = 6_000
"""Where the broker decides, as ours in tests does."""
Listening = Callable[[Any, list[TopicPartition]], None]


class Listed(NamedTuple):
    """A topic in a listing."""

    partitions: dict[int, None]
    error: KafkaError | None


@cache
def _listed(partitions: int) -> Listed:
    return Listed(dict.fromkeys(range(partitions)), None)


_NOT_LISTED = Listed({}, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))


class Listing(NamedTuple):
    """What a cluster has."""

    topics: dict[str, Listed]


def list_topics(process: Process, topic: str | None, timeout: float) -> Listing:
    """One topic, or all."""

    def asked() -> Listing:
        topics = process.broker.topics
        if topic is None:
            return Listing({name: _listed(len(logs)) for name, logs in sorted(topics.items())})
        return Listing({topic: _listed(len(topics[topic])) if topic in topics else _NOT_LISTED})

    return process.request("list_topics", timeout if timeout >= 0 else 60.0, asked)


class MemoryConsumer:
    """See confluent_kafka.Consumer."""

    def __init__(self, process: Process, config: dict[str, Any]) -> None:
        self.process = process
        self.errors: list[KafkaError] = []
        self.member: GroupMember | None = None
        self._group: str = config["group.id"]
        self._instance: str | None = config.get("group.instance.id")
        self._kind = IncrementalMember if config["group.protocol"] == "consumer" else ClassicMember
        self._session = (config.get("session.timeout.ms") or BROKERS_SESSION_MS) / 1000
        self._committed_only = config["isolation.level"] == "read_committed"
        self._tells_ends: bool = config["enable.partition.eof"]
        self._positions: dict[Part, int] = {}
        self._paused: set[Part] = set()
        self._ends: dict[Part, int] = {}

    # ---- group ---------------------------------------------------------------------------------------------------

    def subscribe(self, topics: Sequence[str], on_assign: Listening, on_revoke: Listening, on_lost: Listening) -> None:
        callbacks = Callbacks(
            lambda parts: on_assign(self, parts),
            lambda parts: on_revoke(self, parts),
            lambda parts: on_lost(self, parts),
        )
        self.member = self._kind(self.process, self, self._group, self._instance, self._session, topics, callbacks)

    def let_go(self, parts: Sequence[Part]) -> None:
        """Read no further in these partitions."""
        for part in parts:
            self._positions.pop(part, None)
            self._ends.pop(part, None)

    def consumer_group_metadata(self) -> GroupMetadata:
        return self._membership()

    def _membership(self) -> GroupMetadata:
        if self.member is None:
            # By KIP-848 a client has an id before it joins.
            name = "" if self._kind is ClassicMember else f"{self._group}-{self.process.number}"
            return GroupMetadata(self._group, name, -1, self._instance)
        return self.member.metadata()

    def commit(self, offsets: Sequence[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        who = self._membership()
        told = [((tp.topic, tp.partition), (tp.offset, tp.metadata or "")) for tp in offsets]
        self.process.insist(
            "commit offsets",
            60.0,
            lambda: self.process.broker.commit(told, who.group, who.member, who.generation, who.instance),
        )
        return [TopicPartition(tp.topic, tp.partition, tp.offset) for tp in offsets]

    def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        broker = self.process.broker

        def asked() -> list[TopicPartition]:
            found = []
            for tp in partitions:
                offset, metadata = broker.committed(self._group, (tp.topic, tp.partition)) or (OFFSET_INVALID, "")
                found.append(TopicPartition(tp.topic, tp.partition, offset, metadata=metadata))
            return found

        return self.process.insist("committed", timeout, asked)

    # ---- reading -------------------------------------------------------------------------------------------------

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions.clear()
        self._ends.clear()
        self._paused.clear()
        self.incremental_assign(partitions)

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        for tp in partitions:
            log = self.process.broker.log(tp.topic, tp.partition)
            self._positions[tp.topic, tp.partition] = log.start if tp.offset == OFFSET_BEGINNING else tp.offset

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        for tp in partitions:
            if (tp.topic, tp.partition) not in self._positions:
                raise refused(KafkaError._UNKNOWN_PARTITION)
            self._paused.add((tp.topic, tp.partition))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        for tp in partitions:
            self._paused.discard((tp.topic, tp.partition))
            self._ends.pop((tp.topic, tp.partition), None)  # The end is told again.

    def seek(self, tp: TopicPartition) -> None:
        if (tp.topic, tp.partition) not in self._positions:
            raise refused(KafkaError._STATE)
        self._positions[tp.topic, tp.partition] = tp.offset
        self._ends.pop((tp.topic, tp.partition), None)

    def poll(self, timeout: float) -> Message | None:
        found = self._polled(1, timeout, whole=False)
        return found[0] if found else None

    def consume(self, most: int, timeout: float) -> list[Message]:
        return self._polled(most, timeout, whole=True)

    def _polled(self, most: int, timeout: float, whole: bool) -> list[Message]:
        process = self.process
        process.point("poll")
        self._serve()
        found = self._next(most)
        if timeout > 0 and (not found or (whole and len(found) < most)):
            process.wait(timeout)
            self._serve()
            found += self._next(most - len(found))
            found = [message for message in found if self._still_read(message)]
        return found

    def _serve(self) -> None:
        if self.member is not None:
            self.member.serve()

    def _still_read(self, message: Message) -> bool:
        """Messages of partitions that went while the call waited are not handed over."""
        return message.error() is not None or (message.topic(), message.partition()) in self._positions

    def _next(self, most: int) -> list[Message]:
        found = [Message(error=error) for error in self.errors[:most]]
        del self.errors[: len(found)]
        if not self.process.connected():
            return found
        parts = [part for part in self._positions if part not in self._paused]
        if len(parts) > 1:
            self.process.chance.shuffle(parts)
        for part in parts:
            if len(found) >= most:
                break
            found += self._of(part, most - len(found))
        return found

    def _of(self, part: Part, most: int) -> list[Message]:
        """What comes of one partition: a part of what is there, as fetches bring it."""
        log, position = self.process.broker.log(*part), self._positions[part]
        if not log.start <= position <= log.end:
            if self._ends.get(part) == -1:
                return []
            self._ends[part] = -1
            error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
            return [Message(topic=part[0], partition=part[1], offset=position, error=error)]
        end = log.stable if self._committed_only else log.end
        if position < end:
            size = most if most < 2 or self.process.chance.random() < 0.7 else self.process.chance.randint(1, most)
            records, self._positions[part] = log.read(position, size, self._committed_only)
            if records:
                self._ends.pop(part, None)
                return [log.message(offset, entry) for offset, entry in records]
            position = self._positions[part]
        if self._tells_ends and position >= end and self._ends.get(part) != position:
            self._ends[part] = position
            error = KafkaError(KafkaError._PARTITION_EOF)
            return [Message(topic=part[0], partition=part[1], offset=position, error=error)]
        return []

    # ---- questions -----------------------------------------------------------------------------------------------

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Listing:
        return list_topics(self.process, topic, timeout)

    def get_watermark_offsets(
        self, tp: TopicPartition, timeout: float = 60.0, cached: bool = False
    ) -> tuple[int, int] | None:
        log = self.process.broker.log(tp.topic, tp.partition)
        if cached:
            return log.start, log.end
        return self.process.request("watermarks", timeout, lambda: (log.start, log.end))

    def close(self) -> None:
        if self.process.dead:
            return
        try:
            self.process.point("close")
        except Killed:
            return  # A generator that is let go may be who closes it, where nobody hears: the next call says so.
        if self.member is not None:
            self.member.close()
            self.member = None
