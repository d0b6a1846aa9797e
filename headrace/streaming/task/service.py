"""The seam between the runner and a service."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.streaming.records.batch import Admission, Batch, Output
from headrace.streaming.watermarks.idleness import Quiet


class Service:
    """What the runner asks of a service. Everything is told the time; nothing here knows Kafka.

    A service may read several topics. Wherever a partition is named here or in a `Batch`, its number says the topic
    too: it is `slot(place of the topic in inputs, partition)`, so those of the first input keep their own numbers. A
    batch holds rows of one topic; rows of different topics come in no particular order. A service may read a topic that
    it writes itself (to bring together what belongs together, by another key).

    For each partition, in offset order and each row once: `admit`, then `process` (or, while state is being rebuilt,
    `admit` with its emits thrown away, then `replay`). A service's state for a partition is a pure function of the rows
    of that partition up to an offset: batch boundaries must not show in it.

    A `Transient` raised by `process` leaves the service as if it had not been called; the runner calls again later.
    """

    inputs: tuple[str, ...]
    """Logical names of the topics that the consumer group reads."""
    stateful: tuple[str, ...] = ()
    """Inputs whose partitions carry state: it is checkpointed, and rebuilt before a partition's first answer."""
    answers: tuple[str, ...] = ()
    """Outputs that nobody else writes: by them a group knows that it has been here before."""
    counted: tuple[str, ...] = ()
    """Topics whose number of partitions decides where records of a key, and so its state, are: it may not change."""
    facts: tuple[str, ...] = ()
    """Logical names of compacted topics that every member reads whole, before and beside its input."""

    def start(self, partitions: Mapping[str, int]) -> None:
        """Told once, before any record: the number of partitions of each topic it is wired to, by logical name."""

    def learn(self, facts: Batch, now: float) -> None:
        """Take up records of a fact topic; called between two batches, in the topic's order."""

    def admit(self, batch: Batch, now: float) -> Admission:
        """Check rows and say which may pass; what is emitted here is written even when `process` then holds the rows.

        Called exactly once for each row in a life of the process; must not depend on anything but the rows, in order.
        """
        return Admission(batch)

    def process(self, batch: Batch, now: float) -> Output:
        """Fold admitted rows into state and answer them, but for the partitions it holds, whose rows stay untouched."""
        raise NotImplementedError

    def replay(self, batch: Batch) -> None:
        """Fold admitted rows into state, answering nothing: they were answered in an earlier life."""

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Called at least every second between batches.

        `at_end`: for each owned partition whose log is read to its end, since when and until when that is certain. What
        is made known of it holds for that time, not for `now`.
        """
        return Output()

    def unfinished(self) -> bool:
        """Whether anything is left to be told of rows that were processed, which `tick` will tell."""
        return False

    def durable(self) -> None:
        """Everything answered so far is committed."""

    def ready(self) -> str | None:
        """None when records may be taken, else what is still missing (shown by /readyz)."""
        return None

    def begin(self, partition: int, end: int) -> None:
        """A partition is about to be restored; its log ended at this offset when it was taken over."""

    def restore(self, partition: int, snapshot: bytes | None) -> None:
        """Take over a partition with the state that `snapshot()` gave, or with none."""

    def snapshot(self, partition: int) -> bytes | None:
        """The partition's state, whole; None for a stateless service."""
        return None

    def drop(self, partition: int) -> None:
        """Forget a partition that now belongs to another member."""
