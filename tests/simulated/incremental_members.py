"""A consumer's part in a group of KIP-848: partitions come and go one by one, while all others are read on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.simulated.groups import REBALANCE_S, Part
from tests.simulated.incremental_groups import JOINING
from tests.simulated.members import Assignable, Callbacks, GroupMetadata
from tests.simulated.process import Process


class IncrementalMember:
    """A consumer's part in such a group; see `ClassicMember`."""

    def __init__(
        self,
        process: Process,
        reader: Assignable,
        group: str,
        instance: str | None,
        session: float,
        topics: Sequence[str],
        callbacks: Callbacks,
    ) -> None:
        self.process = process
        self.reader = reader
        self.group = group
        self.instance = instance
        self.session = session
        self.topics = tuple(topics)
        self.callbacks = callbacks
        self.member = f"{instance or group}-{process.chance.getrandbits(40):010x}"
        self.epoch = JOINING
        self.owned: tuple[Part, ...] = ()
        self.polled_at = process.now
        self._told: tuple[Part, ...] = ()
        self._lost = self._fenced = self._closed = False

    def beats(self) -> bool:
        """Whether its heartbeats come through."""
        return not self._closed and self.process.beats() and self.process.now - self.polled_at <= REBALANCE_S

    def metadata(self) -> GroupMetadata:
        """As of now, for all that the library knows."""
        if self.process.chance.random() < 0.5:
            self.learn()
        return GroupMetadata(self.group, self.member, self.epoch or -1, self.instance)

    def learn(self) -> None:
        """Heartbeat, and take in what the coordinator says."""
        if self._closed or self._lost or self._fenced:
            return
        process = self.process
        if not process.connected():
            return
        if process.now - self.polled_at > REBALANCE_S:
            self.reader.errors.append(KafkaError(KafkaError._MAX_POLL_EXCEEDED))
            process.broker.incremental_group(self.group).leave(self.member, self.instance)
            self._lose()
            return
        try:
            self.epoch, self._told = process.broker.incremental_group(self.group).heartbeat(
                self.member, self.instance, self.epoch, self.topics, self.owned, self.session, self.beats, process.now
            )
        except KafkaException as raised:
            if raised.args[0].fatal() or raised.args[0].code() == KafkaError.FENCED_INSTANCE_ID:
                self.reader.errors.append(KafkaError(KafkaError._FATAL, None, True))
                self._fenced = True
            self._lose()

    def _lose(self) -> None:
        self._lost, self.epoch, self._told = True, JOINING, ()

    def serve(self) -> None:
        """What `poll` does before it returns."""
        self.learn()
        self.polled_at = self.process.now
        if self._lost:
            self._give_up(self.owned, self.callbacks.lost)
            self._lost = False
            self.learn()
            return
        if leaving := tuple(part for part in self.owned if part not in self._told):
            self._give_up(leaving, self.callbacks.revoke)
            self.learn()
        elif coming := tuple(part for part in self._told if part not in self.owned):
            self.owned += coming
            self.callbacks.assign([TopicPartition(topic, number) for topic, number in coming])

    def _give_up(self, gone: tuple[Part, ...], callback: Callable[[list[TopicPartition]], None]) -> None:
        try:
            callback([TopicPartition(topic, number) for topic, number in gone])
        finally:
            self.owned = tuple(part for part in self.owned if part not in gone)
            self.reader.let_go(gone)

    def close(self) -> None:
        """Give everything up; a static member may come back."""
        self.learn()
        if self.owned:
            self._give_up(self.owned, self.callbacks.lost if self._lost else self.callbacks.revoke)
        if self.process.connected():
            self.process.broker.incremental_group(self.group).leave(self.member, self.instance)
        self._closed = True
