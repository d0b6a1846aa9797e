"""When and how what was done becomes durable: outputs, offsets and checkpoints together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from services.kit.checkpoints import Checkpoints
from services.kit.delivery import TransactionAborted
from services.kit.errors import Fenced
from services.kit.kafka import Consumer, TopicPartition
from services.kit.metrics import Metrics
from services.kit.outbox import REDO_LIMIT, Outbox
from services.kit.partition_counts import PartitionCounts
from services.kit.positions import Commitment, Owned, Place
from services.kit.service import Service
from services.kit.settings import Settings

QUIET_S = 0.01


class Commits:
    """Commits of one member.

    Args:
        owned: the partitions of this member; shared.
        serve_rebalance: lets a waiting rebalance happen; called between two tries.
        counts: how many partitions there are; every committed offset says so.
    """

    def __init__(
        self,
        service: Service,
        outbox: Outbox,
        consumer: Consumer,
        checkpoints: Checkpoints,
        owned: dict[int, Owned],
        settings: Settings,
        metrics: Metrics,
        serve_rebalance: Callable[[], None],
        counts: PartitionCounts,
    ) -> None:
        self.service = service
        self.outbox = outbox
        self.consumer = consumer
        self.checkpoints = checkpoints
        self.owned = owned
        self.settings = settings
        self.metrics = metrics
        self.serve_rebalance = serve_rebalance
        self.counts = counts
        self.clock = outbox.clock
        self.delivery = outbox.delivery

    def due(self, now: float, polled: int) -> bool:
        """Under load every `commit_ms`; when it is quiet, or everything waits, as soon as there is something.

        `polled`: how many messages the last poll brought.
        """
        if self.outbox.opened_at is None:
            if all(own.committed == own.commitment() for own in self.owned.values()):
                return False
            self.outbox.opened_at = now
        age = now - self.outbox.opened_at
        if age >= self.settings.commit_ms / 1000 or self.delivery.rows >= self.settings.commit_rows:
            return True
        if self.settings.mode == "at_least_once":
            return False  # Its outputs are readable already.
        quiet = polled == 0 or (polled < self.settings.batch_rows // 16 and age >= QUIET_S)
        return quiet or all(own.held for own in self.owned.values())

    def commit(self, checkpoint: bool = False) -> None:
        """Make everything so far durable, redoing the transaction until it commits; Fenced when it never does."""
        started = self.clock()
        for _ in range(REDO_LIMIT):
            try:
                self.once(started, checkpoint)
            except TransactionAborted as reason:
                self.outbox.redo(reason)
                # A stale view of the group aborts commits until the rebalance is served.
                self.serve_rebalance()
            else:
                now = self.clock()
                self.metrics.commit.observe(now - started)
                self.metrics.add("commit", now - started)
                return
        raise Fenced(f"the transaction was aborted {REDO_LIMIT} times")

    def once(self, now: float, checkpoint: bool) -> None:
        """One try. `checkpoint`: of every partition with new state, not only those that are due."""
        places = self._write_checkpoints(now, checkpoint)
        if places:
            self.delivery.flush()
        fresh = {partition: place() for partition, place in places.items()}
        offsets, commitments = [], {}
        for own in self.owned.values():
            if own.restoring():
                continue  # Its committed offset stands; nothing of it has been answered in this life.
            commitment = replace(own.commitment(), place=fresh.get(own.partition, own.place))
            if commitment != own.committed:
                commitments[own.partition] = commitment
                offsets.append(self._offset(own.partition, commitment))
        self.delivery.commit(self.consumer, offsets, self.consumer.group_metadata())
        for partition, commitment in commitments.items():
            self.owned[partition].committed = commitment
        for partition, found in fresh.items():
            self.owned[partition].note_checkpoint(found, now)
            self.metrics.checkpoints.inc()
        self.service.durable()
        self.outbox.committed(self.clock())

    def _offset(self, partition: int, commitment: Commitment) -> TopicPartition:
        channel, number = self.outbox.wiring.input(partition)
        return TopicPartition(
            channel.name, number, commitment.offset, metadata=self.counts.stamp(commitment.metadata())
        )

    def _write_checkpoints(self, now: float, every: bool) -> dict[int, Callable[[], Place]]:
        """Queue the checkpoints that are due; a partition whose rows are held was folded to no offset, so has none."""
        places: dict[int, Callable[[], Place]] = {}
        for own in self.owned.values():
            if not own.stateful:
                continue
            old = now - own.last_checkpoint >= self.settings.checkpoint_s
            due = every or old or own.rows_since_checkpoint >= self.settings.checkpoint_rows
            if own.rows_since_checkpoint == 0 or not due or own.held or own.restoring():
                continue
            snapshot = self.service.snapshot(own.partition)
            if snapshot is not None:
                self.delivery.open()
                channel, number = self.outbox.wiring.input(own.partition)
                self.metrics.checkpoint_bytes.labels(channel.logical, str(number)).set(len(snapshot))
                places[own.partition] = self.checkpoints.write(
                    self.delivery.producer, own.partition, own.processed, snapshot
                )
        return places
