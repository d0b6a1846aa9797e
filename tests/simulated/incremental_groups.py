"""Consumer groups of the protocol of KIP-848: the coordinator has a target, and moves partitions to it one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError

from tests.simulated.groups import Part
from tests.simulated.refusals import refused

JOINING, LEFT = 0, -2
"""Epochs of a member that comes, and of a static one that has gone and may come back."""


@dataclass(slots=True, eq=False)
class Reconciled:
    """A member as the coordinator knows it.

    Attributes:
        epoch: that of the target which it has come to.
        assigned: what it may read: what it was given and has not given back.
        target: what it should come to have.
    """

    id: str
    instance: str | None
    topics: tuple[str, ...]
    session: float
    alive: Callable[[], bool]
    seen: float
    epoch: int = JOINING
    assigned: tuple[Part, ...] = ()
    target: tuple[Part, ...] = ()


class IncrementalGroup:
    """One group. `counts` gives the number of partitions of a topic."""

    def __init__(self, name: str, counts: Callable[[str], int]) -> None:
        self.name = name
        self.counts = counts
        self.epoch = 0
        self.changes = 0
        self.members: dict[str, Reconciled] = {}

    def heartbeat(
        self,
        member: str,
        instance: str | None,
        epoch: int,
        topics: Sequence[str],
        owned: Sequence[Part],
        session: float,
        alive: Callable[[], bool],
        now: float,
    ) -> tuple[int, tuple[Part, ...]]:
        """(epoch, partitions) that a member has from now on; it gives back what is not among them any more."""
        if epoch == JOINING:
            known = self._joined(member, instance, tuple(topics), session, alive, now)
        else:
            known = self._checked(member, instance)
            if epoch != known.epoch:
                raise refused(KafkaError.FENCED_MEMBER_EPOCH)
        leaving = [part for part in known.assigned if part not in known.target]
        if leaving and not any(part in owned for part in leaving):
            known.assigned = tuple(part for part in known.assigned if part in known.target)
            self.changes += 1
            leaving = []
        if not leaving:
            taken = {part for other in self.members.values() if other is not known for part in other.assigned}
            known.epoch = self.epoch
            known.assigned += tuple(part for part in known.target if part not in known.assigned and part not in taken)
        return known.epoch, tuple(part for part in known.assigned if part in known.target)

    def leave(self, member: str, instance: str | None) -> None:
        """A member goes; a static one keeps its partitions until its session ends."""
        known = self.members.get(member)
        if known is None:
            return
        if instance is not None:
            known.epoch = LEFT
        else:
            del self.members[member]
            self._retarget()

    def rebalance(self, chance: Callable[[int], int]) -> None:
        """Move a partition to another member, as when members come and go."""
        everyone = list(self.members.values())
        givers = [known for known in everyone if known.target]
        if len(everyone) < 2 or not givers:
            return
        giver = givers[chance(len(givers))]
        others = [known for known in everyone if known is not giver]
        taker = others[chance(len(others))]
        part = giver.target[chance(len(giver.target))]
        back = taker.target[:1] if len(taker.target) >= len(giver.target) else ()
        giver.target = (*(each for each in giver.target if each != part), *back)
        taker.target = (*(each for each in taker.target if each not in back), part)
        self.epoch += 1
        self.changes += 1

    def tick(self, now: float) -> None:
        gone = False
        for known in list(self.members.values()):
            if known.epoch != LEFT and known.alive():
                known.seen = now
            elif now - known.seen > known.session:
                del self.members[known.id]
                gone = True
        if gone:
            self._retarget()

    def next_timeout(self) -> float:
        silent = [known.seen + known.session for known in self.members.values() if not known.alive()]
        return min(silent, default=float("inf"))

    def check(self, member: str, generation: int, instance: str | None, transactional: bool) -> None:
        if generation < 0 and not member and instance is None and (transactional or not self.members):
            return  # Nobody that it knows of: Kafka does not ask further.
        if generation != self._checked(member, instance).epoch:
            raise refused(KafkaError.STALE_MEMBER_EPOCH)

    def owns(self, member: str, instance: str | None, part: Part) -> bool:
        known = self.members.get(member)
        return known is not None and part in known.assigned

    def _joined(
        self,
        member: str,
        instance: str | None,
        topics: tuple[str, ...],
        session: float,
        alive: Callable[[], bool],
        now: float,
    ) -> Reconciled:
        before = next((each for each in self.members.values() if instance and each.instance == instance), None)
        if before is not None and before.id != member and before.epoch != LEFT:
            raise refused(KafkaError.UNRELEASED_INSTANCE_ID, fatal=True)
        known = Reconciled(member, instance, topics, session, alive, now)
        if before is not None:
            del self.members[before.id]
            known.target = before.target
        self.members.pop(member, None)
        self.members[member] = known
        self._retarget()
        return known

    def _checked(self, member: str, instance: str | None) -> Reconciled:
        known = self.members.get(member)
        if known is None:
            raise refused(KafkaError.UNKNOWN_MEMBER_ID)
        if known.instance != instance:
            raise refused(KafkaError.FENCED_INSTANCE_ID)
        return known

    def _retarget(self) -> None:
        """A new epoch, whose target is even, and leaves where it is what may stay."""
        self.epoch += 1
        self.changes += 1
        everyone = sorted(self.members.values(), key=lambda known: known.instance or known.id)
        if not everyone:
            return
        wanted = [
            (topic, number)
            for topic in sorted({topic for known in everyone for topic in known.topics})
            for number in range(self.counts(topic))
        ]
        each, more = divmod(len(wanted), len(everyone))
        free = [part for part in wanted if not any(part in known.target for known in everyone)]
        for known in sorted(everyone, key=lambda known: -len(known.target)):
            room = each + (more > 0)
            if len(known.target) >= room:
                free += known.target[room:]
                known.target = known.target[:room]
            more -= len(known.target) > each
        for known in everyone:
            room = each - len(known.target)
            if room > 0:
                known.target += tuple(free[:room])
                del free[:room]
        for known in everyone:
            if free and len(known.target) == each:
                known.target += (free.pop(0),)
