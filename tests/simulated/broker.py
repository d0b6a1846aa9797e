"""A broker in memory: topics, groups, transactions and committed offsets. It knows no network and no faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from confluent_kafka import KafkaError

from tests.simulated.groups import Coordinated, Group, Part
from tests.simulated.incremental_groups import IncrementalGroup
from tests.simulated.log import Log, Transaction
from tests.simulated.refusals import refused
from tests.simulated.transactions import Holder, Transactions

Offset = tuple[int, str]
"""(offset, metadata)."""
TICK_S = 0.25
"""How exactly brokers keep time."""
Told = Callable[[str, Part, Offset, "Transaction | None"], None]


def unheard(group: str, part: Part, offset: Offset, transaction: Transaction | None) -> None:
    """Of commits that nobody wants to hear of."""


class Broker:
    """All that brokers keep.

    Args:
        chance: decides when the end of a transaction is told to a partition.
        told: hears of every committed offset, when it is one that readers of the group get.
        misled: hears of offsets that a member commits for a partition that is not its own.
    """

    def __init__(self, chance: Random, told: Told = unheard, misled: Callable[[str], None] = lambda _: None) -> None:
        self.chance = chance
        self.told = told
        self.misled = misled
        self.now = self._tick_at = 0.0
        self.wall = 1_700_000_000.0
        self.topics: dict[str, list[Log]] = {}
        self.groups: dict[str, Coordinated] = {}
        self.offsets: dict[tuple[str, str, int], Offset] = {}
        self._taken: dict[tuple[str, str, int], int] = {}
        self._takings = 0
        self.transactions = Transactions(self._store)
        self._changes = 0

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic."""
        self.topics[topic] = [Log(topic, number) for number in range(partitions)]

    def grow(self, topic: str) -> None:
        """Give a topic another partition."""
        self.topics[topic].append(Log(topic, len(self.topics[topic])))

    def log(self, topic: str, partition: int) -> Log:
        """A partition; raises when there is none."""
        logs = self.topics.get(topic)
        if logs is None or not 0 <= partition < len(logs):
            raise refused(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return logs[partition]

    def logs(self) -> list[Log]:
        """All partitions."""
        return [log for logs in self.topics.values() for log in logs]

    def group(self, name: str) -> Group:
        """A group of the classic protocol, made when it is first asked for."""
        found = self.groups.get(name)
        if found is None:
            found = self.groups[name] = Group(name, self._count)
        assert isinstance(found, Group), "a group has one protocol"
        return found

    def incremental_group(self, name: str) -> IncrementalGroup:
        """As `group`, of the protocol of KIP-848."""
        found = self.groups.get(name)
        if found is None:
            found = self.groups[name] = IncrementalGroup(name, self._count)
        assert isinstance(found, IncrementalGroup), "a group has one protocol"
        return found

    def _count(self, topic: str) -> int:
        return len(self.topics.get(topic, ()))

    def milliseconds(self) -> int:
        """What a record is stamped with now."""
        return int((self.wall + self.now) * 1000)

    def pass_to(self, now: float) -> None:
        """Time goes by; what is due happens."""
        self.now = now
        if now >= self._tick_at:
            self._tick_at = now + TICK_S
            self.transactions.expire(now)
            for group in self.groups.values():
                group.tick(now)
        for transaction in list(self.transactions.unsettled):
            while transaction.unmarked and self.chance.random() < 0.6:
                self.settle(transaction)

    def changes(self) -> int:
        """A number that grows with whatever happens."""
        return self._changes + sum(group.changes for group in self.groups.values())

    def next_timeout(self) -> float:
        """When something will happen that needs nobody's call."""
        return min([self.transactions.next_timeout(), *(group.next_timeout() for group in self.groups.values())])

    def settle(self, transaction: Transaction) -> None:
        """Tell one more place of the end of a transaction."""
        self._changes += 1
        which = self.chance.randrange(len(transaction.unmarked))
        self.transactions.settle(transaction, which, self.milliseconds())

    # ---- requests ------------------------------------------------------------------------------------------------

    def append(
        self,
        part: Part,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        timestamp: int = 0,
        holder: Holder | None = None,
    ) -> int:
        """Write a record, in a producer's transaction where it has one; returns its offset."""
        log = self.log(*part)
        self._changes += 1
        transaction = None
        if holder is not None:
            transaction = self.transactions.current(holder, self.now)
            transaction.logs[log] = None
        return log.append(key, value, list(headers), timestamp or self.milliseconds(), transaction)

    def add_offsets(
        self,
        holder: Holder,
        offsets: Sequence[tuple[Part, Offset]],
        group: str,
        member: str,
        generation: int,
        instance: str | None,
    ) -> None:
        """Offsets become part of a producer's transaction."""
        transaction = self.transactions.current(holder, self.now)
        self._check(group, member, generation, instance, offsets, transactional=True)
        for (topic, partition), what in offsets:
            transaction.offsets[group, topic, partition] = what
            transaction.taken[group, topic, partition] = self._takes()

    def commit(
        self, offsets: Sequence[tuple[Part, Offset]], group: str, member: str, generation: int, instance: str | None
    ) -> None:
        """Commit offsets outside a transaction."""
        self._check(group, member, generation, instance, offsets, transactional=False)
        for (topic, partition), what in offsets:
            self._store((group, topic, partition), what, None)

    def committed(self, group: str, part: Part) -> Offset | None:
        """What a group has committed; raises while a transaction decides about it."""
        where = (group, *part)
        if self.transactions.pending(where):
            raise refused(KafkaError.UNSTABLE_OFFSET_COMMIT, again=True)
        return self.offsets.get(where)

    def _check(
        self,
        group: str,
        member: str,
        generation: int,
        instance: str | None,
        offsets: Sequence[tuple[Part, Offset]],
        transactional: bool,
    ) -> None:
        known = self.groups.get(group)
        if known is None:
            return
        known.check(member, generation, instance, transactional)
        if member:
            for part, _ in offsets:
                if not known.owns(member, instance, part):
                    self.misled(f"{member} commits {part}, which is another's")

    def _takes(self) -> int:
        self._takings += 1
        return self._takings

    def _store(self, where: tuple[str, str, int], what: Offset, transaction: Transaction | None) -> None:
        group, topic, partition = where
        # Of two transactions the end of the later one may be told first: what was taken last counts.
        taken = self._takes() if transaction is None else transaction.taken[where]
        if taken < self._taken.get(where, 0):
            return
        self._taken[where], self.offsets[where] = taken, what
        self.told(group, (topic, partition), what, transaction)
