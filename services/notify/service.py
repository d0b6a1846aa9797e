"""Control events in, messages to people out, and what came of each.

Stage one writes down whom each event is to be told; stage two has that in one order, sends, and writes down what came
of it in the same topic. So what was told is known wherever a member goes on. A member that dies between sending and
committing leaves one message a channel that is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.domain.control.events import read_event
from headrace.domain.notification.kpi_texts import named_channels
from headrace.domain.notification.texts import message_of
from headrace.domain.pipeline.notification.spec import Notify
from headrace.domain.records.notifications import NOTIFICATIONS, STEPS, UNDELIVERED, record_due, record_outcome
from headrace.errors import InvalidRecord
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Admission, Batch, Emit, Output, Reject, slot
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import Quiet
from services.notify.courier import Courier, RetryPolicy, Trial
from services.notify.letters import Letter
from services.notify.mailbox import Mailbox
from services.notify.metrics import NotifyMetrics

log = logger("notify")
LONGEST_KIND = 60
Begin = Callable[[str, Mapping[str, Any]], Trial]
"""Begins to give a channel a message, as records have it, and comes back at once."""


class Notifications(Service):
    """The service `notify` for one pipeline.

    Args:
        pipeline: its name.
        section: who is told of what.
        begin: how a channel is given a message.
        policy: how long is tried.
        within_s: events that are older when they are read are told together.
        schema: of the topic of notifications.
        figures: metrics.
    """

    inputs = ("control", NOTIFICATIONS)
    stateful = (NOTIFICATIONS,)
    answers = (NOTIFICATIONS,)

    def __init__(
        self,
        pipeline: str,
        section: Notify,
        begin: Begin,
        policy: RetryPolicy,
        within_s: float,
        schema: pa.Schema,
        figures: NotifyMetrics,
    ) -> None:
        self._pipeline = pipeline
        self._section = section
        self._begin = begin
        self._policy = policy
        self._within = int(within_s * 1000)
        self._schema = schema
        self._figures = figures
        self._mailbox: Mailbox | None = None
        self._couriers: dict[str, Courier] = {}
        self._whole = False

    @property
    def _here(self) -> int:
        """The partition of notifications, as batches number it."""
        return slot(self.inputs.index(NOTIFICATIONS), 0)

    # ---- rows come in --------------------------------------------------------------------------------------------

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse what says nothing that we know."""
        good, rejects = np.ones(len(batch), bool), []
        for at, row in enumerate(_rows(batch)):
            try:
                if batch.topic == NOTIFICATIONS and row["step"] not in STEPS:
                    raise InvalidRecord("payload", f"no step is called {row['step']}")
                if batch.topic != NOTIFICATIONS and read_event(row) is None:
                    good[at] = False
                    self._figures.unknown.labels(row["type"][:LONGEST_KIND]).inc()
                    log.warning("nobody is told", kind=row["type"], reason="this version does not know the kind")
            except InvalidRecord as error:
                good[at] = False
                rejects.append(Reject(int(batch.partition[at]), int(batch.offset[at]), error.reason, error.detail))
        return Admission(batch.take(good), rejects=tuple(rejects))

    def process(self, batch: Batch, now: float) -> Output:
        """Write down whom events are to be told, or take up what was written."""
        if batch.topic != NOTIFICATIONS:
            rows = [due for row in _rows(batch) for due in self._due(row, now)]
            return Output(self._written(rows, int(batch.partition[0])))
        self.replay(batch)
        return Output(
            rejects=tuple(
                Reject(self._here, offset, UNDELIVERED, f"{row['channel']}: {row['problem']}")
                for row, offset in zip(_rows(batch), batch.offset.tolist(), strict=True)
                if row["step"] == UNDELIVERED
            )
        )

    def replay(self, batch: Batch) -> None:
        """Fold without telling anything."""
        if batch.topic == NOTIFICATIONS:
            assert self._mailbox is not None, "rows come after `restore`"
            for row in _rows(batch):
                self._mailbox.take(row)

    def _due(self, row: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
        """Whom an event is to be told."""
        event = read_event(row)
        message = None if event is None else message_of(event)
        if event is None or message is None:
            return []
        kind, body = event.finding.type, message.body(event.event_id)
        # One that is in the file no more is told to be so, in `_attempt`.
        wanted = named_channels(event.finding) or self._section.wanting(kind, message.severity)
        return [
            record_due(name, event.event_id, kind, event.time, message.severity, message.title, body, now)
            for name in wanted
        ]

    def _written(self, rows: list[dict[str, Any]], source: int) -> tuple[Emit, ...]:
        if not rows:
            return ()
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schema)
        count = len(rows)
        return (
            Emit(
                NOTIFICATIONS, columns, columns["channel"], np.full(count, source, np.int32), np.zeros(count, np.int32)
            ),
        )

    # ---- messages go out -----------------------------------------------------------------------------------------

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Send, try again and give up; write down what came of it."""
        mailbox = self._mailbox
        if mailbox is None:
            return Output()
        # Before that, what was sent may not be known yet.
        self._whole = self._whole or self._here in at_end
        if not self._whole:
            return Output(unfinished=True)
        rows, waiting = [], 0
        for channel, queue in mailbox.queues.items():
            offers = [*queue.offers(int(now * 1000))]
            rows += self._turn(channel, offers, now)
            self._figures.waiting.labels(channel).set(len(offers))
            waiting += len(offers)
        return Output(self._written(rows, self._here), unfinished=waiting > 0)

    def _turn(self, channel: str, offers: list[Letter], now: float) -> list[dict[str, Any]]:
        courier = self._couriers.get(channel)
        if courier is None:
            courier = self._couriers[channel] = Courier(
                channel, lambda letter: self._attempt(channel, letter), self._policy, self._note(channel)
            )
        rows = []
        for delivery in courier.turn(offers, now):
            told = delivery.letter.told(channel, self._pipeline)
            row = record_outcome(told, delivery.problem, delivery.attempts, now)
            rows.append(row)
            self._figures.messages.labels(channel, row["step"]).inc()
            if delivery.problem is not None:
                log.error("nobody took a message", channel=channel, of=row["event_id"], reason=delivery.problem)
        return rows

    def _attempt(self, channel: str, letter: Letter) -> Trial:
        if channel not in self._section.channels:
            return NoChannel()
        return self._begin(channel, letter.told(channel, self._pipeline))

    def _note(self, channel: str) -> Callable[[str], None]:
        def failed(problem: str) -> None:
            self._figures.failures.labels(channel).inc()
            log.warning("a message was not taken", channel=channel, reason=problem)

        return failed

    # ---- state comes and goes ------------------------------------------------------------------------------------

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """See `Service`."""
        self._mailbox, self._couriers, self._whole = Mailbox(self._section.fold, self._within), {}, False
        if snapshot is not None:
            self._mailbox.restore(packing.json_of(packing.unpack(snapshot)["said"]))

    def snapshot(self, partition: int) -> bytes:
        """See `Service`."""
        assert self._mailbox is not None
        return packing.pack({"said": packing.json_column(self._mailbox.plain())})

    def drop(self, partition: int) -> None:
        """See `Service`."""
        if partition == self._here:
            self._mailbox, self._couriers, self._whole = None, {}, False


class NoChannel:
    """What comes of a message to a channel that the pipeline file names no more."""

    over = True
    problem = "the pipeline file names no such channel any more"


def _rows(batch: Batch) -> list[dict[str, Any]]:
    """Records with times in milliseconds, for calendars do not know all of them."""
    columns = batch.columns
    for name in ("time", "happened"):
        if (place := columns.schema.get_field_index(name)) >= 0:
            columns = columns.set_column(place, name, columns[name].cast(pa.int64()))
    rows: list[dict[str, Any]] = columns.to_pylist()
    return rows
