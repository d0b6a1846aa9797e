"""Consumer groups of the classic protocol, as their coordinator keeps them: one generation after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import KafkaError

from tests.simulated.refusals import refused

Part = tuple[str, int]
"""(topic, partition)."""
REBALANCE_S = 300.0
"""Members that do not join again within this are left behind (max.poll.interval.ms)."""


class Coordinated(Protocol):
    """What a broker asks of a group of either protocol."""

    changes: int

    def check(self, member: str, generation: int, instance: str | None, transactional: bool) -> None:
        """Raise unless whoever commits is a member as of now."""

    def owns(self, member: str, instance: str | None, part: Part) -> bool:
        """Whether a partition is this member's."""

    def tick(self, now: float) -> None:
        """Let what is due happen."""

    def next_timeout(self) -> float:
        """When something is due that nobody has asked for."""


@dataclass(slots=True, eq=False)
class Joined:
    """A member of a group.

    Attributes:
        alive: whether its heartbeats come through.
        seen: when the last one did.
        ready: whether it takes part in the generation to come.
        generation: the last one that it was told of.
    """

    id: str
    instance: str | None
    topics: tuple[str, ...]
    session: float
    alive: Callable[[], bool]
    seen: float
    ready: bool = True
    assigned: tuple[Part, ...] = ()


class Group:
    """One group. `counts` gives the number of partitions of a topic."""

    def __init__(self, name: str, counts: Callable[[str], int]) -> None:
        self.name = name
        self.counts = counts
        self.generation = 0
        self.stable = True
        self.changes = 0
        self.members: dict[str, Joined] = {}
        self._since = 0.0
        self._ids = 0

    def join(
        self,
        member: str,
        instance: str | None,
        topics: Sequence[str],
        session: float,
        alive: Callable[[], bool],
        now: float,
    ) -> str:
        """Take a member in, again or for the first time; returns its id."""
        if not member:
            before = self._of(instance)
            self._ids += 1
            member = f"{instance or self.name}-{self._ids}"
            if before is not None:
                del self.members[before.id]
                same = before.topics == tuple(topics)
                self.members[member] = Joined(
                    member, instance, tuple(topics), session, alive, now, True, before.assigned
                )
                if self.stable and same:
                    return member  # It has what it had, and nobody else hears of it.
            else:
                self.members[member] = Joined(member, instance, tuple(topics), session, alive, now)
            self._prepare(now)
            self.members[member].ready = True
            self.tick(now)
            return member
        known = self._checked(member, instance)
        self._prepare(now)
        known.ready, known.seen, known.topics = True, now, tuple(topics)
        self.tick(now)
        return member

    def heartbeat(self, member: str, generation: int, instance: str | None) -> bool:
        """Whether a rebalance goes on; raises when this is no member any more."""
        self._checked(member, instance)
        if not self.stable:
            return True
        if generation != self.generation:
            raise refused(KafkaError.ILLEGAL_GENERATION)
        return False

    def synced(self, member: str, instance: str | None) -> tuple[int, tuple[Part, ...]] | None:
        """(generation, partitions) once the generation that the member joined is complete.

        Raises when the next one has begun meanwhile: the member must join that.
        """
        known = self._checked(member, instance)
        if self.stable:
            return self.generation, known.assigned
        if not known.ready:
            raise refused(KafkaError.REBALANCE_IN_PROGRESS)
        return None

    def leave(self, member: str, now: float) -> None:
        """A member goes."""
        if self.members.pop(member, None) is not None:
            self._prepare(now)
            self.tick(now)

    def tick(self, now: float) -> None:
        for known in list(self.members.values()):
            if known.alive():
                known.seen = now
            elif now - known.seen > known.session:
                del self.members[known.id]
                self._prepare(now)
        if self.stable:
            return
        if now - self._since > REBALANCE_S:
            self.members = {name: known for name, known in self.members.items() if known.ready}
        if all(known.ready for known in self.members.values()):
            self._complete()

    def next_timeout(self) -> float:
        silent = [known.seen + known.session for known in self.members.values() if not known.alive()]
        return min([*silent, *([] if self.stable else [self._since + REBALANCE_S])], default=float("inf"))

    def check(self, member: str, generation: int, instance: str | None, transactional: bool) -> None:
        if generation < 0 and not member and instance is None:
            if transactional or not self.members:
                return  # Nobody that it knows of: Kafka does not ask further.
            raise refused(KafkaError.UNKNOWN_MEMBER_ID)
        self._checked(member, instance)
        if generation != self.generation:
            raise refused(KafkaError.ILLEGAL_GENERATION)

    def owns(self, member: str, instance: str | None, part: Part) -> bool:
        known = self.members.get(member)
        return known is not None and part in known.assigned

    def rebalance(self, now: float) -> None:
        """Begin a new generation without a reason, as when a member's subscription changes."""
        if self.members:
            self._prepare(now)

    def _of(self, instance: str | None) -> Joined | None:
        if instance is None:
            return None
        return next((known for known in self.members.values() if known.instance == instance), None)

    def _checked(self, member: str, instance: str | None) -> Joined:
        if instance is not None:
            known = self._of(instance)
            if known is None:
                raise refused(KafkaError.UNKNOWN_MEMBER_ID)
            if known.id != member:
                raise refused(KafkaError.FENCED_INSTANCE_ID)
        if member not in self.members:
            raise refused(KafkaError.UNKNOWN_MEMBER_ID)
        return self.members[member]

    def _prepare(self, now: float) -> None:
        self.changes += 1
        if self.stable:
            self.stable, self._since = False, now
            for known in self.members.values():
                known.ready = False

    def _complete(self) -> None:
        self.stable = True
        self.changes += 1
        self.generation += 1
        everyone = sorted(self.members.values(), key=lambda known: known.instance or known.id)
        for known in everyone:
            known.assigned = ()
        for topic in sorted({topic for known in everyone for topic in known.topics}):
            readers = [known for known in everyone if topic in known.topics]
            count = self.counts(topic)
            each, more = divmod(count, len(readers))
            first = 0
            for place, known in enumerate(readers):
                size = each + (place < more)
                known.assigned += tuple((topic, number) for number in range(first, first + size))
                first += size
