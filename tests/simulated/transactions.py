"""The transaction coordinator: which producer a transactional id belongs to, and how its transactions end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaError

from tests.simulated.log import Log, Transaction
from tests.simulated.refusals import refused

Committed = Callable[[tuple[str, str, int], tuple[int, str], Transaction], None]


@dataclass(slots=True)
class Holder:
    """Who a transactional id belongs to.

    Attributes:
        transaction: the newest one; open, being ended, or over.
    """

    name: str
    producer: int
    epoch: int
    timeout: float
    transaction: Transaction | None = None


class Transactions:
    """All transactional ids of a broker.

    The end of a transaction is decided at once and told to each partition later, as in Kafka: `settle` does that, a
    partition at a time, and until it is through the id takes nothing new.

    Attributes:
        unsettled: transactions whose end is decided and not told everywhere.

    Args:
        committed: takes the offsets of a transaction that was committed.
    """

    def __init__(self, committed: Committed) -> None:
        self.holders: dict[str, Holder] = {}
        self.unsettled: list[Transaction] = []
        self._committed = committed
        self._producers = 0

    def take_over(self, name: str, timeout: float, now: float) -> Holder | None:
        """Give the id to a new producer; None while an older transaction is still being ended."""
        holder = self.holders.get(name)
        if holder is None:
            self._producers += 1
            holder = self.holders[name] = Holder(name, self._producers, -1, timeout)
        elif holder.transaction is not None:
            if holder.transaction.outcome is None:
                holder.epoch += 1  # Whoever wrote it can write nothing more to it.
                self._decide(holder.transaction, False)
            if holder.transaction.unmarked:
                return None
        holder.epoch += 1
        holder.timeout = timeout
        return Holder(name, holder.producer, holder.epoch, timeout)

    def current(self, held: Holder, now: float) -> Transaction:
        """The open transaction of a producer, begun if there is none; raises when another producer has the id."""
        holder = self._checked(held)
        found = holder.transaction
        if found is not None and found.unmarked:
            raise refused(KafkaError.CONCURRENT_TRANSACTIONS, again=True)
        if found is None or found.outcome is not None:
            found = holder.transaction = Transaction(held.name, held.producer, held.epoch, now)
        return found

    def end(self, held: Holder, commit: bool) -> Transaction | None:
        """Decide how the open transaction ends; again with the same answer is no error. None: there is none."""
        found = self._checked(held).transaction
        if found is None:
            return None
        if found.outcome is None:
            self._decide(found, commit)
        elif found.outcome is not commit:
            raise refused(KafkaError.INVALID_TXN_STATE, fatal=True)
        return found

    def expire(self, now: float) -> None:
        """Abort what is open for too long; its producer is fenced."""
        for holder in self.holders.values():
            found = holder.transaction
            if found is not None and found.outcome is None and now - found.started > holder.timeout:
                holder.epoch += 1
                self._decide(found, False)

    def next_timeout(self) -> float:
        """When the next transaction expires."""
        return min(
            (
                holder.transaction.started + holder.timeout
                for holder in self.holders.values()
                if holder.transaction is not None and holder.transaction.outcome is None
            ),
            default=float("inf"),
        )

    def settle(self, transaction: Transaction, which: int, timestamp: int) -> None:
        """Tell one place (of `unmarked`) of the end of a transaction."""
        place = transaction.unmarked.pop(which)
        if not transaction.unmarked:
            self.unsettled.remove(transaction)
        if place is not None:
            place.mark(transaction, timestamp)
        elif transaction.outcome:
            for where, what in transaction.offsets.items():
                self._committed(where, what, transaction)

    def pending(self, where: tuple[str, str, int]) -> bool:
        """Whether an offset is in a transaction that has not ended everywhere."""
        return any(
            holder.transaction is not None
            and where in holder.transaction.offsets
            and (holder.transaction.outcome is None or None in holder.transaction.unmarked)
            for holder in self.holders.values()
        )

    def _checked(self, held: Holder) -> Holder:
        holder = self.holders[held.name]
        if (holder.producer, holder.epoch) != (held.producer, held.epoch):
            raise refused(KafkaError._FENCED, fatal=True)
        return holder

    def _decide(self, transaction: Transaction, commit: bool) -> None:
        transaction.outcome = commit
        places: list[Log | None] = [*transaction.logs]
        if transaction.offsets:
            places.append(None)
        transaction.unmarked = places
        if places:
            self.unsettled.append(transaction)
