"""When and how what was done becomes durable: outputs, offsets and checkpoints together."""

from __future__ import annotations

from collections.abc import Callable, Collection

from headrace.errors import Fenced, HeadraceError
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.process.settings import Settings
from headrace.streaming.task.checkpoint import CHUNK_BYTES, Checkpoints, Draft
from headrace.streaming.task.commitment import CheckpointPlace, Commitment
from headrace.streaming.task.outputs import REDO_LIMIT, Outbox
from headrace.streaming.task.partition_counts import PartitionCounts
from headrace.streaming.task.service import Service
from headrace.streaming.task.task import State, Task
from headrace.streaming.task.transactions import TransactionAborted

log = logger("commits")
QUIET_S = 0.01
IDLE_S = 30.0
"""Where only control records moved the end of a partition, its offset is committed this often."""
SLICE_BYTES = 32 << 20
"""Of checkpoints in one transaction, at most. Whatever else is in it waits as long as they take."""
SLOW_S, QUICK_S = 10.0, 2.0
"""A slice that takes longer than the one makes the next ones smaller, one that takes less than the other larger."""


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
        owned: dict[int, Task],
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
        self._drafts: dict[int, Draft] = {}
        self._slice = SLICE_BYTES
        self._idle_since = self.clock()

    def due(self, now: float, polled: int) -> bool:
        """Under load every `commit_ms`; when it is quiet, or everything waits, as soon as there is something.

        `polled`: how many messages the last poll brought.
        """
        if self.outbox.opened_at is None:
            owned = self.owned.values()
            worked = self._drafts or self._worked() or any(self._needs_checkpoint(task, now) for task in owned)
            idle = now - self._idle_since >= IDLE_S
            if not worked and not (idle and any(task.unsaid for task in owned)):
                return False
            self.outbox.opened_at = now
        age = now - self.outbox.opened_at
        if age >= self.settings.commit_ms / 1000 or self.delivery.rows >= self.settings.commit_rows:
            return True
        if self.settings.mode == "at_least_once":
            return False  # Its outputs are readable already.
        quiet = polled == 0 or (polled < self.settings.batch_rows // 16 and age >= QUIET_S)
        return quiet or all(task.held for task in self.owned.values())

    def new(self) -> bool:
        """Whether there are partitions that no offset was ever committed for."""
        return any(task.committed is None for task in self.owned.values())

    def clean(self) -> bool:
        """Whether all that was answered and sent is committed; markers that were stepped over may not be."""
        return self.outbox.opened_at is None and not self._worked()

    def _worked(self) -> bool:
        """Whether records were taken or answered of which the committed offsets do not tell."""
        return any(task.dirty for task in self.owned.values())

    def commit(self) -> None:
        """Make everything so far durable, redoing the transaction until it commits; Fenced when it never does."""
        started = self.clock()
        for _ in range(REDO_LIMIT):
            try:
                self.once(started)
            except TransactionAborted as reason:
                self.outbox.redo(reason)
                # A stale view of the group aborts commits until the rebalance is served.
                self.serve_rebalance()
                # Offsets of a topic that is gone are refused for ever.
                self.counts.look(self.consumer, self.clock())
            else:
                now = self.clock()
                self.metrics.commit.observe(now - started)
                self.metrics.add("commit", now - started)
                return
        raise Fenced(f"the transaction was aborted {REDO_LIMIT} times")

    def finish(self) -> None:
        """Commit with checkpoints of all new state, so that the next member need not replay."""
        self._draft(self.clock(), every=True)
        self.commit()
        while self._drafts:
            self.commit()

    def end(self, successor: str) -> None:
        """Commit that another group answers from here on, in every partition of which this one still does."""
        ending = [task for task in self.owned.values() if task.state in (State.RESTORING, State.RUNNING, State.HELD)]
        if not ending:
            return
        for task in ending:
            task.end(successor)
            self._drafts.pop(task.partition, None)
        self.commit()
        for task in ending:
            log.info("ended", partition=task.where, offset=task.read, after_it=successor)
            if self.owned.get(task.partition) is task:  # A rebalance may have been served meanwhile.
                self.service.drop(task.partition)

    def leave(self) -> None:
        """One try to commit what partitions leave behind that are about to go, with the checkpoints that fit.

        Large ones would hold the whole group up: who owns their partitions next reads on from the ones before.
        """
        now = self.clock()
        self._draft(now, every=True, leaving=True)
        self.once(now)

    def forget(self, partitions: Collection[int]) -> None:
        """Partitions went."""
        for partition in partitions:
            self._drafts.pop(partition, None)

    def once(self, now: float) -> None:
        """One try."""
        self._draft(now, every=False)
        begun, slicing = self.clock(), bool(self._drafts)
        try:
            fresh = self._send_checkpoints()
            prepared = {task: task.prepare_commit(fresh.get(task.partition)) for task in self.owned.values()}
            offsets = [
                self._offset(task, commitment) for task, commitment in prepared.items() if commitment is not None
            ]
            self.delivery.commit(self.consumer, offsets, self.consumer.group_metadata())
        except HeadraceError:
            for draft in self._drafts.values():
                draft.aborted()
            if slicing:
                self._slice = max(self._slice // 2, CHUNK_BYTES)
            raise
        if slicing:
            self._slice = sliced(self._slice, self.clock() - begun)
        for task, said in prepared.items():
            task.post_commit(said)
        for draft in self._drafts.values():
            draft.committed()
        for partition in fresh:
            self.owned[partition].note_checkpoint(self._drafts.pop(partition).rows, now)
            self.metrics.checkpoints.inc()
        self._idle_since = now
        self.service.durable()
        self.outbox.committed(self.clock())

    def _offset(self, task: Task, commitment: Commitment) -> TopicPartition:
        channel, number = self.outbox.wiring.input(task.partition)
        return TopicPartition(
            channel.name, number, commitment.offset, metadata=self.counts.stamp(commitment.metadata())
        )

    def _needs_checkpoint(self, task: Task, now: float, every: bool = False) -> bool:
        """Whether one is due, or would say anything new."""
        if not task.outran_checkpoint:
            return False
        every |= task.place is None and self.service.begins_kept
        old = now - task.last_checkpoint >= self.settings.checkpoint_s
        return every or old or task.rows_since_checkpoint >= self.settings.checkpoint_rows

    def _draft(self, now: float, every: bool, leaving: bool = False) -> None:
        """Begin the checkpoints that are due. `leaving`: but those of states that were large."""
        for task in self.owned.values():
            if task.partition in self._drafts or not self._needs_checkpoint(task, now, every):
                continue
            if leaving and task.checkpoint_bytes > self._slice:
                continue
            snapshot = self.service.snapshot(task.partition)
            if snapshot is None:
                task.note_no_snapshot()
                continue
            channel, number = self.outbox.wiring.input(task.partition)
            self.metrics.checkpoint_bytes.labels(channel.logical, str(number)).set(len(snapshot))
            draft = self.checkpoints.draft(task.partition, task.processed, snapshot, task.place)
            draft.rows = task.rows_since_checkpoint
            task.note_snapshot(len(snapshot))
            self._drafts[task.partition] = draft

    def _send_checkpoints(self) -> dict[int, CheckpointPlace]:
        """Send a slice of the checkpoints on their way; the places of those that are there, once this commits."""
        if not self._drafts:
            return {}
        self.delivery.open()
        room = self._slice
        for draft in self._drafts.values():
            if room <= 0:
                break
            room -= draft.send(self.delivery.producer, room)
        self.delivery.flush()
        whole = {partition: draft for partition, draft in self._drafts.items() if draft.whole}
        scattered = [draft for draft in whole.values() if draft.scattered]
        for draft in scattered:
            draft.index(self.delivery.producer)
        if scattered:
            self.delivery.flush()
        return {partition: draft.place() for partition, draft in whole.items()}


def sliced(size: int, took_s: float) -> int:
    """How many bytes the next slice has, after one of `size` bytes was committed: the broker may be near or far.

    >>> sliced(SLICE_BYTES, 1.0) == SLICE_BYTES, sliced(8_000_000, 1.0), sliced(8_000_000, 5.0), sliced(8_000_000, 30.0)
    (True, 16000000, 8000000, 4000000)
    """
    if took_s > SLOW_S:
        return max(size // 2, CHUNK_BYTES)
    return min(size * 2, SLICE_BYTES) if took_s < QUICK_S else size
