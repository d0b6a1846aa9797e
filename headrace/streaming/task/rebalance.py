"""Partitions come and go: each is taken over with its state as of its committed offset, and left behind committed."""

from __future__ import annotations

from collections.abc import Callable

from headrace.errors import ContractError, Transient
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.checkpoint import Checkpoints
from headrace.streaming.task.commit import Commits
from headrace.streaming.task.commitment import Commitment
from headrace.streaming.task.recovery import Recovery, since_of
from headrace.streaming.task.service import Service
from headrace.streaming.task.task import State, Task
from headrace.streaming.task.transactions import TransactionAborted

log = logger("membership")


class Membership:
    """This member's part in its consumer group. Its callbacks run inside the consumer's poll.

    Args:
        beat: called while a take-over takes its time: it is no hang.

    Attributes:
        owned: the partitions of this member, by number.
        joined: whether any assignment came yet.
        gone: partitions that went since `gone` was last emptied.
        dying: set when the process ends because of an error: then nothing may be committed on the way out.
    """

    def __init__(
        self,
        wiring: Wiring,
        service: Service,
        consumer: Consumer,
        checkpoints: Checkpoints,
        commits: Commits,
        recovery: Recovery,
        metrics: Metrics,
        clock: Callable[[], float],
        beat: Callable[[], None],
    ) -> None:
        self.wiring = wiring
        self.service = service
        self.consumer = consumer
        self.checkpoints = checkpoints
        self.commits = commits
        self.recovery = recovery
        self.metrics = metrics
        self.clock = clock
        self.beat = beat
        self.owned = commits.owned
        self.joined = False
        self.dying = False
        self.gone: set[int] = set()
        self._suspended: dict[int, Task] = {}
        self._error: Exception | None = None

    def join(self) -> None:
        """Join the group."""
        self.consumer.subscribe(
            [channel.name for channel in self.wiring.inputs],
            on_assign=self._guarded(self._on_assign),
            on_revoke=self._guarded(self._on_revoke),
            on_lost=self._guarded(self._on_lost),
        )

    @property
    def between(self) -> bool:
        """Whether partitions were given up and it is not known yet which of them come back."""
        return bool(self._suspended)

    def raise_error(self) -> None:
        """Raise what a callback raised: without its state a partition must not be read on."""
        if self._error is not None:
            raise self._error

    def _on_assign(self, partitions: list[TopicPartition]) -> None:
        self.joined = True
        self.commits.counts.check(partitions)
        for found in self.consumer.committed(partitions) if partitions else []:
            self.beat()
            started = self.clock()
            task = self._taken_over(found)
            self.owned[task.partition] = task
            self.metrics.restore.observe(self.clock() - started)
        for partition, task in self._suspended.items():
            if partition not in self.owned:
                task.close_clean()
                self.service.drop(partition)
        self._suspended = {}
        self.consumer.take_over(
            [TopicPartition(tp.topic, tp.partition, self.owned[self._number(tp)].read) for tp in partitions]
        )
        ended = [tp for tp in partitions if self.owned[self._number(tp)].state is State.ENDED]
        if ended:
            self.consumer.pause(ended)
        log.info("assigned", partitions={task.partition: task.read for task in self.owned.values()})

    def _taken_over(self, found: TopicPartition) -> Task:
        """A partition at its committed offset; one that was ours until this rebalance keeps its state if it fits."""
        partition = self._number(found)
        low, high = self.consumer.watermarks(found.topic, found.partition)
        fresh = found.offset < 0
        commitment = Commitment(low, low) if fresh else Commitment.read(found.offset, found.metadata)
        kept = self._suspended.pop(partition, None)
        if kept is not None:
            if kept.resumes(commitment):
                kept.resume()
                return kept
            kept.close_clean()  # Another member went on meanwhile: what it left takes the place of this state.
        where = f"{found.topic}[{found.partition}]"
        if commitment.ended:
            offset, admitted = commitment.offset, commitment.admitted
            return Task(
                partition, where, False, offset, admitted, offset, admitted,
                commitment.place, commitment.begun, committed=commitment, successor=commitment.ended,
            )  # fmt: skip  # what it was, for as long as anybody asks
        follows = bool(self.service.succession.follows) and (fresh or commitment.silent)
        if commitment.silent and not follows:
            raise ContractError(
                f"{where}: {self.wiring.group} only followed another group up to {found.offset}, and nothing says "
                "which one answers it: restore the topic of revisions"
            )
        committed = commitment
        stateful = self.wiring.input(partition)[0].logical in self.service.stateful
        if commitment.offset < low:
            commitment = self.recovery.skip_deleted(where, low, commitment, stateful)
        begin, place = commitment.offset, None
        if stateful:
            place, begin, snapshot = self.recovery.state(self.checkpoints, where, partition, commitment, low, self.beat)
            since = since_of(commitment, low)
            if not self.recovery.taken_over(self.service, where, partition, snapshot, since, high):
                place, begin = None, low
        else:
            self.service.own(partition)
        return Task(
            partition,
            where,
            stateful,
            read=begin,
            admitted=commitment.admitted,
            replay_until=commitment.offset,
            readmit_until=commitment.admitted,
            place=place,
            begun=begin if stateful and place is None else None,
            committed=None if fresh else committed,
            follows=follows,
            told_until=commitment.admitted if commitment.told is None else commitment.told,
            last_checkpoint=self.clock(),
        )

    def _on_revoke(self, partitions: list[TopicPartition]) -> None:
        """Commit what is done, with checkpoints, so that the next owner goes on at once; keep the state for a while."""
        clean = not self.dying
        if clean:
            try:
                self.commits.leave()
            except (TransactionAborted, Transient) as reason:
                # The next owner answers these records; ours must not become visible beside its.
                log.warning("outputs dropped at revocation", reason=str(reason))
                self.commits.delivery.abort()
                clean = False
        self._leave(partitions, clean)

    def _on_lost(self, partitions: list[TopicPartition]) -> None:
        """Another member may own them already: never commit, drop state and outputs."""
        log.warning("partitions lost", partitions=sorted(map(self._number, partitions)))
        self._leave(partitions, clean=False)

    def _leave(self, partitions: list[TopicPartition], clean: bool) -> None:
        """`clean`: all that was answered is committed."""
        gone = {self._number(tp) for tp in partitions}
        self.gone |= gone
        self.commits.forget(gone)
        if not self.dying:
            self.commits.delivery.forget(gone)
        for partition in gone & set(self.owned):
            task = self.owned.pop(partition)
            # What an incremental rebalance takes away moves: it does not come back with the next assignment.
            if clean and task.state is State.RUNNING and not self.consumer.incremental:
                task.suspend()
                self._suspended[partition] = task
                continue
            if clean:
                task.close_clean()
            else:
                task.close_dirty()
            self.service.drop(partition)

    def _number(self, place: TopicPartition) -> int:
        return self.wiring.number(place.topic, place.partition)

    def _guarded(self, callback: Callable[[list[TopicPartition]], None]) -> Callable[[list[TopicPartition]], None]:
        """The callback, with what it raises kept for the loop: librdkafka would go on as if nothing had happened."""

        def guarded(partitions: list[TopicPartition]) -> None:
            try:
                callback(partitions)
            except Exception as error:  # noqa: BLE001 - all of it: `raise_error` ends the process with it
                self._error = error

        return guarded
