"""A consumer's part in a classic group: what librdkafka does of itself, and what it asks the application in `poll`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.simulated.groups import REBALANCE_S, Part
from tests.simulated.process import Process


class GroupMetadata(NamedTuple):
    """A membership as a producer takes it to the broker."""

    group: str
    member: str
    generation: int
    instance: str | None


class Callbacks(NamedTuple):
    """What the application does with partitions."""

    assign: Callable[[list[TopicPartition]], None]
    revoke: Callable[[list[TopicPartition]], None]
    lost: Callable[[list[TopicPartition]], None]


class Assignable(Protocol):
    """The consumer that a member reads with."""

    errors: list[KafkaError]

    def let_go(self, parts: Sequence[Part]) -> None:
        """Read no further in these partitions."""


class GroupMember(Protocol):
    """A consumer's part in a group of either protocol.

    `learn` is what the library's own thread does as long as the process runs: heartbeats, and the answers to them.
    `serve` is what happens inside the application's `poll`.
    """

    def metadata(self) -> GroupMetadata:
        """As of now, for all that the library knows."""

    def learn(self) -> None:
        """Heartbeat, and take in what the coordinator says."""

    def serve(self) -> None:
        """What `poll` does before it returns."""

    def close(self) -> None:
        """Give everything up."""


class ClassicMember:
    """Eager rebalances: everything is given up, then everything is assigned anew."""

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
        self.member = ""
        self.generation = -1
        self.owned: tuple[Part, ...] = ()
        self.polled_at = process.now
        self._phase = "to join"
        self._given: tuple[Part, ...] = ()
        self._was_owner = False
        self._closed = False

    def beats(self) -> bool:
        """Whether its heartbeats come through."""
        return not self._closed and self.process.beats() and self.process.now - self.polled_at <= REBALANCE_S

    def metadata(self) -> GroupMetadata:
        """As of now, for all that the library knows."""
        if self.process.chance.random() < 0.5:
            self.learn()
        return GroupMetadata(self.group, self.member, self.generation, self.instance)

    def learn(self) -> None:
        """Heartbeat, and take in what the coordinator says."""
        process, coordinator = self.process, self.process.broker.group(self.group)
        if self._closed or self._phase in ("to lose", "fenced"):
            return
        if not process.connected():
            if self.member and process.now - process.cut_since > self.session:
                self.member = ""
                self._lose()
            return
        if self._phase in ("up", "to assign", "to revoke") and process.now - self.polled_at > REBALANCE_S:
            self.reader.errors.append(KafkaError(KafkaError._MAX_POLL_EXCEEDED))
            self.member = ""
            self._lose()
            return
        try:
            if self._phase == "to join":
                self.member = coordinator.join(
                    self.member, self.instance, self.topics, self.session, self.beats, process.now
                )
                self._phase = "joining"
            if self._phase == "joining":
                told = coordinator.synced(self.member, self.instance)
                if told is not None:
                    self.generation, self._given = told
                    self._phase = "to assign"
            elif self._phase in ("up", "to assign", "to revoke"):
                rebalancing = coordinator.heartbeat(self.member, self.generation, self.instance)
                if rebalancing and self._phase != "to revoke":
                    self._phase = "to revoke" if self._was_owner else "to join"
        except KafkaException as raised:
            self._told(raised.args[0])

    def _told(self, error: KafkaError) -> None:
        if error.code() == KafkaError.FENCED_INSTANCE_ID:
            self.reader.errors.append(KafkaError(KafkaError._FATAL, None, True))
            self._phase = "fenced"  # Nothing more is told: only the end of the process ends it.
        elif error.code() == KafkaError.REBALANCE_IN_PROGRESS:
            self._phase = "to join"
        elif error.code() == KafkaError.UNKNOWN_MEMBER_ID:
            self.member, self.generation = "", -1
            self._lose()
        else:  # ILLEGAL_GENERATION: it missed a rebalance, and is a member still.
            self.generation = -1
            self._lose()

    def _lose(self) -> None:
        self._phase = "to lose" if self._was_owner else "to join"

    def serve(self) -> None:
        """What `poll` does before it returns."""
        self.learn()
        self.polled_at = self.process.now
        if self._phase == "to revoke":
            self._give_up(self.callbacks.revoke)
            self._phase = "to join"
            self.learn()
        elif self._phase == "to lose":
            self._give_up(self.callbacks.lost)
            self._phase = "to join"
        elif self._phase == "to assign":
            self._phase, self._was_owner, self.owned = "up", True, self._given
            self.callbacks.assign([TopicPartition(topic, number) for topic, number in self.owned])

    def _give_up(self, callback: Callable[[list[TopicPartition]], None]) -> None:
        gone, self._was_owner = self.owned, False
        try:
            callback([TopicPartition(topic, number) for topic, number in gone])
        finally:
            self.owned = ()
            self.reader.let_go(gone)

    def close(self) -> None:
        """Give everything up; a static member stays one until its session ends."""
        self.learn()
        if self._was_owner and self._phase != "fenced":
            self._give_up(self.callbacks.lost if self._phase == "to lose" else self.callbacks.revoke)
        if self.instance is None and self.member and self.process.connected():
            self.process.broker.group(self.group).leave(self.member, self.process.now)
        self._closed = True
