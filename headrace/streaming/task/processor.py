"""From records to answers: which rows are admitted, which are answered, which wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from headrace.errors import Transient
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.decode import Intake
from headrace.streaming.kafka.message import Message, TopicPartition
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.records.batch import Batch, Reject, concat
from headrace.streaming.records.dead_letters import RejectShare
from headrace.streaming.task.outputs import Outbox
from headrace.streaming.task.service import Service
from headrace.streaming.task.task import Pending, Task

log = logger("answering")
RETRY_S = 0.005
STUCK_RETRY_S = 0.2


class Answering:
    """Offers rows to the service in their order, each once, and keeps those that must wait.

    Args:
        owned: the partitions of this member; shared with whoever takes them over and gives them up.
        patience_s: how long a store may stay out of reach.

    Attributes:
        worked_at: when rows of the user's were last answered.
    """

    def __init__(
        self,
        service: Service,
        outbox: Outbox,
        consumer: Consumer,
        owned: dict[int, Task],
        metrics: Metrics,
        share: RejectShare,
        patience_s: float,
    ) -> None:
        self.service = service
        self.outbox = outbox
        self.consumer = consumer
        self.owned = owned
        self.metrics = metrics
        self.share = share
        self.patience_s = patience_s
        self.worked_at = 0.0
        self._retry_at = 0.0

    def take(self, intake: Intake, now: float) -> None:
        """Records answered in an earlier life are folded; admitted ones are answered; new ones are admitted as well."""
        batch = intake.batch
        touched = [self.owned[partition] for partition in intake.ends]
        if all(intake.ends[task.partition][0] >= task.readmit_until for task in touched):
            for remark, count in intake.skipped.items():
                self.metrics.remarks.labels(remark).inc(count)
            self._meet(batch, intake.rejects, intake.records, now)
        else:
            answered, admitted, told = np.zeros((3, len(batch)), bool)
            for partition, rows in batch.runs():
                task = self.owned[partition]
                answered[rows] = batch.offset[rows] < task.replay_until
                admitted[rows] = batch.offset[rows] < task.readmit_until
                told[rows] = batch.offset[rows] < task.told_until
            for past in _nonempty(batch, answered & told, answered & ~told):
                self.service.replay(self._again(past, now))
                self.metrics.replayed.inc(len(past))
            again = admitted & ~answered
            for part in _nonempty(batch, again & told, again & ~told):
                self.share.note(len(part), 0)
                self._answer(self._again(part, now), intake.records, now)
            news = [r for r in intake.rejects if r.offset >= self.owned[r.partition].readmit_until]
            self._meet(batch.take(~admitted), news, intake.records, now)
        for task in touched:
            task.admit()

    def _again(self, batch: Batch, now: float) -> Batch:
        """Admit rows that were admitted before. What this group alone has to write of them is written once, too."""
        admission = self.service.admit(batch, now)
        partition, rows = next(batch.runs())
        if batch.offset[rows.start] >= self.owned[partition].told_until:
            self.outbox.deliver([emit for emit in admission.emits if emit.topic in self.service.prepares])
        return admission.batch

    def retry(self, now: float) -> None:
        """Offer held rows again, in their order, once it is time."""
        if now < self._retry_at:
            return
        waiting = [task for task in self.owned.values() if task.held]
        if self.service.merges:
            self._merge(waiting, now)
        else:
            for task in waiting:
                self._follow_on(task, now)
        if moved := [self._place(task.partition) for task in waiting if not task.held]:
            self.consumer.resume(moved)
        if waiting:
            self._retry_at = now + (STUCK_RETRY_S if any(task.stuck_since for task in waiting) else RETRY_S)

    def _follow_on(self, task: Task, now: float) -> None:
        """Offer what waits of a partition, until something has to wait again."""
        pending = task.release()
        for position, part in enumerate(pending):
            self._answer(part.batch, part.records, now)
            if task.held:
                for behind in pending[position + 1 :]:
                    task.hold(behind)
                break

    def _merge(self, waiting: Sequence[Task], now: float) -> None:
        """Offer what waits of all partitions of an input at once."""
        pending: dict[str, list[Pending]] = {}
        for task in waiting:
            for part in task.release():
                pending.setdefault(part.batch.topic, []).append(part)
        for parts in pending.values():
            lists = {id(part.records): part.records for part in parts}  # Those of one poll are shared.
            records = [record for each in lists.values() for record in each]
            self._answer(concat([part.batch for part in parts]), records, now)

    def waits(self) -> bool:
        """Whether any rows are held."""
        return any(task.held for task in self.owned.values())

    def _meet(self, batch: Batch, rejects: list[Reject], records: list[Message], now: float) -> None:
        """Admit new rows, refuse what must be refused, answer the rest."""
        admission = self.service.admit(batch, now)
        refused = [*rejects, *admission.rejects]
        self.share.note(len(batch) + len(rejects), len(refused))
        for remark, count in admission.remarks.items():
            self.metrics.remarks.labels(remark).inc(count)
        self.outbox.refuse(refused, records, now)
        self.outbox.deliver(admission.emits)
        self._answer(admission.batch, records, now)

    def _answer(self, batch: Batch, records: list[Message], now: float) -> None:
        """Process admitted rows; what must wait is kept, and its partitions paused."""
        waiting = {partition for partition, _ in batch.runs() if self.owned[partition].held}
        if waiting:  # Only when rows admitted in an earlier life are held before new ones of the same partition.
            mask = np.isin(batch.partition, list(waiting))
            self._hold(batch.take(mask), records, waiting)
            batch = batch.take(~mask)
        if not len(batch):
            return
        try:
            with self.metrics.stage("process"):
                output = self.service.process(batch, now)
        except Transient as reason:
            partitions = {partition for partition, _ in batch.runs()}
            self._note_stuck(reason, partitions, now)
            self._hold(batch, records, partitions)
            return
        if not output.housekeeping:
            self.worked_at = now
        self.share.note(0, len(output.rejects))
        if output.facts:
            self.outbox.decide(output.facts)
        self.outbox.refuse(output.rejects, records, now)
        self.outbox.deliver(output.emits)
        held = np.isin(batch.partition, list(output.held)) if output.held else np.zeros(len(batch), bool)
        for partition, first in output.rest.items():
            held |= (batch.partition == partition) & (batch.offset >= first)
        self.outbox.note_answered(batch.timestamp[~held])
        waits = output.held | output.rest.keys()
        for partition, _ in batch.runs():
            if partition not in waits:
                self.owned[partition].note_answered()
        if waits:
            self._hold(batch.take(held), records, waits)

    def _hold(self, batch: Batch, records: list[Message], partitions: Iterable[int]) -> None:
        """Keep rows for later and read no further in their partitions."""
        for partition, rows in batch.runs():
            self.owned[partition].hold(Pending(batch.slice(rows), records))
        self.consumer.pause(map(self._place, partitions))

    def _place(self, partition: int) -> TopicPartition:
        channel, number = self.outbox.wiring.input(partition)
        return TopicPartition(channel.name, number)

    def _note_stuck(self, reason: Transient, partitions: Iterable[int], now: float) -> None:
        """A store is out of reach: bounded patience, then the process ends and says why."""
        for partition in partitions:
            stuck_s = self.owned[partition].note_stuck(now)
            if not stuck_s:
                log.warning("waiting", partition=partition, reason=str(reason))
            elif stuck_s > self.patience_s:
                raise reason


def _nonempty(batch: Batch, *masks: npt.NDArray[np.bool_]) -> Iterator[Batch]:
    """The rows of each mask in turn, where it has any."""
    return (batch.take(mask) for mask in masks if mask.any())
