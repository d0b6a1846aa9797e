"""Defects that the simulator must find, each as it would show at the Kafka door or at the service.

None of them touches what is between: whatever a runner is made of inside, a runner with this defect would ask this of
its clients.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import TopicPartition

from headrace.streaming.task.service import Service
from tests.simulated.consumer import Listening, MemoryConsumer
from tests.simulated.member import Cast
from tests.simulated.members import ClassicMember, GroupMetadata
from tests.simulated.process import Process
from tests.simulated.producer import MemoryProducer, Report
from tests.simulated.scene import CHECKPOINTS

Spoken = dict[str, Any]


def retold(
    tell: Callable[[int, Spoken], tuple[int, Spoken] | None],
) -> Callable[[Sequence[TopicPartition]], list[TopicPartition]]:
    """Offsets as a defect has them: `tell` gives (offset, metadata) for each, or None where it commits none."""

    def told(offsets: Sequence[TopicPartition]) -> list[TopicPartition]:
        found = []
        for tp in offsets:
            other = tell(tp.offset, json.loads(tp.metadata or "{}"))
            if other is not None:
                metadata = json.dumps(other[1]) if other[1] else ""
                found.append(TopicPartition(tp.topic, tp.partition, other[0], metadata=metadata))
        return found

    return told


def committing(tell: Callable[[int, Spoken], tuple[int, Spoken] | None]) -> Cast:
    """Members that commit other offsets than they should."""
    change = retold(tell)

    class Committing(MemoryProducer):
        """A producer that is told wrong offsets."""

        def send_offsets_to_transaction(
            self, offsets: Sequence[TopicPartition], who: GroupMetadata, timeout: float
        ) -> None:
            if changed := change(offsets):
                super().send_offsets_to_transaction(changed, who, timeout)

    class AlsoCommitting(MemoryConsumer):
        """A consumer that is told wrong offsets."""

        def commit(self, offsets: Sequence[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
            return super().commit(changed, asynchronous) if (changed := change(offsets)) else []

    return Cast(consumer=AlsoCommitting, producer=Committing)


def held_rows_released_at_admitted(offset: int, spoken: Spoken) -> tuple[int, Spoken]:
    """Rows that are held count as answered."""
    return spoken.pop("admitted", offset), spoken


def answered_rows_not_committed_while_newer_ones_are_held(offset: int, spoken: Spoken) -> tuple[int, Spoken] | None:
    """What was answered before the held rows is left out of the commit that has its answers."""
    return None if "admitted" in spoken else (offset, spoken)


def offset_one_too_high(offset: int, spoken: Spoken) -> tuple[int, Spoken]:
    """The offset after the next record."""
    return offset + 1, spoken


def offset_one_too_low(offset: int, spoken: Spoken) -> tuple[int, Spoken]:
    """The offset of the last record instead of the one after it."""
    return max(offset - 1, 0), spoken


def checkpoint_ahead_of_state(offset: int, spoken: Spoken) -> tuple[int, Spoken]:
    """A checkpoint that says it has all records below the committed offset and two more."""
    return offset, spoken | ({"checkpoint": spoken["checkpoint"] + 2} if "checkpoint" in spoken else {})


class DroppingProducer(MemoryProducer):
    """Outputs of a transaction that a revocation aborts are not sent again."""

    def __init__(self, process: Process, config: dict[str, Any]) -> None:
        super().__init__(process, config)
        self.revoking = False
        self._sent: list[bytes | None] = []
        self._dropped: list[bytes | None] = []

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
        if value in self._dropped:
            self._dropped.remove(value)
            return
        super().produce(topic, value, key, partition, headers, timestamp, on_delivery)
        if topic != CHECKPOINTS:
            self._sent.append(value)

    def abort_transaction(self, timeout: float) -> None:
        super().abort_transaction(timeout)
        if self.revoking:
            self._dropped = self._sent
        self._sent = []

    def commit_transaction(self, timeout: float) -> None:
        super().commit_transaction(timeout)
        self._sent, self._dropped = [], []


class TellingConsumer(MemoryConsumer):
    """Tells the producer beside it when partitions are being revoked."""

    def subscribe(self, topics: Sequence[str], on_assign: Listening, on_revoke: Listening, on_lost: Listening) -> None:
        def revoking(consumer: Any, parts: list[TopicPartition]) -> None:
            for producer in self.process.clients:
                producer.revoking = True
            on_revoke(consumer, parts)
            for producer in self.process.clients:
                producer.revoking = False

        super().subscribe(topics, on_assign, revoking, on_lost)


class UnflushedProducer(MemoryProducer):
    """A flush of outputs that waits for nothing: what is queued goes out with the next one."""

    def __init__(self, process: Process, config: dict[str, Any]) -> None:
        super().__init__(process, config)
        self._waits = config.get("delivery.report.only.error") is not True
        self._asked = False

    def flush(self, timeout: float = 60.0) -> int:
        self._asked = not self._asked
        return super().flush(timeout) if self._waits or not self._asked else 0


class StaleConsumer(MemoryConsumer):
    """Membership as it was before the group was joined: no broker can tell a member by it that is none any more."""

    def consumer_group_metadata(self) -> GroupMetadata:
        if self._kind is not ClassicMember:
            return super().consumer_group_metadata()  # There, nobody's metadata is refused.
        joined, self.member = self.member, None
        before, self.member = self._membership(), joined
        return before._replace(instance=None)


class UnnamedProducer(MemoryProducer):
    """A transactional id that no other life of the member has: nobody fences it."""

    def __init__(self, process: Process, config: dict[str, Any]) -> None:
        name = config.get("transactional.id")
        super().__init__(process, config | ({"transactional.id": f"{name}.{process.number}"} if name else {}))


class UnnamedWriter(MemoryProducer):
    """Whoever writes facts has an id that no other writer has: nobody fences it."""

    def __init__(self, process: Process, config: dict[str, Any]) -> None:
        name = str(config.get("transactional.id"))
        own = {"transactional.id": f"{name}.{process.number}"} if name.endswith(".writer") else {}
        super().__init__(process, config | own)


class ZombieConsumer(StaleConsumer):
    """Partitions that were lost are given up as if they were revoked: with a commit."""

    def subscribe(self, topics: Sequence[str], on_assign: Listening, on_revoke: Listening, on_lost: Listening) -> None:
        super().subscribe(topics, on_assign, on_revoke, on_revoke)


class Forgetful:
    """A service whose state is not restored."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """As if there were no checkpoint."""
        self._service.restore(partition, None, end)


DEFECTS: Mapping[str, Cast] = {
    "held rows released at admitted": committing(held_rows_released_at_admitted),
    "answered rows not committed while newer ones are held": committing(
        answered_rows_not_committed_while_newer_ones_are_held
    ),
    "outputs dropped on an aborted revocation": Cast(consumer=TellingConsumer, producer=DroppingProducer),
    "commit before flush": Cast(producer=UnflushedProducer),
    "offset one too high": committing(offset_one_too_high),
    "offset one too low": committing(offset_one_too_low),
    "stale group metadata": Cast(consumer=StaleConsumer),
    "no restore": Cast(around=Forgetful),
    "a zombie that commits": Cast(consumer=ZombieConsumer, producer=UnnamedProducer),
    "checkpoint ahead of state": committing(checkpoint_ahead_of_state),
    "facts of writers that do not fence each other": Cast(producer=UnnamedWriter),
}
