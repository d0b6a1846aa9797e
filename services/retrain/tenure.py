"""The topic as its owner sees it: what was said, and the right to say more.

Whoever owns the control topic's partition in the group takes over the one transactional id of the service, reads the
topic from its beginning, and answers what has no answer. Who held the id before can write nothing more, so that nothing
is answered twice, whatever was killed or cut off between an answer and the commit of an offset.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.control.retrain import RetrainAsked, RetrainIgnored
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.plans.plan_log import history, newest
from headrace.domain.plans.plans import Arm
from headrace.domain.retrain.answer import ACTOR, answer
from headrace.domain.retrain.history import TrainingHistory, TrainingRun
from headrace.domain.retrain.packages import RegisteredPackage
from headrace.domain.retrain.policy import refusal
from headrace.domain.retrain.schedule import due
from headrace.domain.retrain.trigger import HARM, Trigger
from headrace.domain.training.job.outcome_topic import offsets_held, partition_count
from headrace.errors import Fenced, InvalidRecord, Transient
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.errors import TransactionAborted
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from services.retrain.metrics import RetrainMetrics
from services.retrain.order import order_of
from services.retrain.outcome_clock import OutcomeClock

log = logger("tenure")
COMMIT_TRIES = 3


class Tenure:
    """What one owner knows and says. Used by one thread at a time; nothing is opened before `open`.

    Args:
        connection: to the cluster.
        pipeline: name of it.
        policy: of the pipeline file.
        control, outcomes, plans: the topics.
        exchange: name of that topic.
        name: the transactional id.
        metrics, counts: what is counted of records, and of answers.
    """

    def __init__(
        self,
        connection: Connection,
        pipeline: str,
        policy: Retrain,
        control: Channel,
        outcomes: Channel,
        plans: Channel,
        exchange: str,
        name: str,
        metrics: Metrics,
        counts: RetrainMetrics,
    ) -> None:
        self.history = TrainingHistory(policy.by_events)
        self.opened = 0
        self._connection = connection
        self._pipeline = pipeline
        self._policy = policy
        self._control = control
        self._outcomes = outcomes
        self._plans = plans
        self._exchange = exchange
        self._name = name
        self._metrics = metrics
        self._counts = counts
        self._producer: Producer | None = None
        self._clock = OutcomeClock(connection, outcomes) if policy.by_events else None

    def open(self) -> None:
        """Take over, read all, and answer what waits. Raises Transient when Kafka does not answer in time."""
        self.close()
        producer = Producer(self._connection, transactional_id=self._name)
        producer.init_transactions()
        self._producer = producer
        self.history = TrainingHistory(self._policy.by_events)
        for intake in read(self._connection, self._control, ranges(self._connection, self._control.name)):
            for bad in intake.rejects:
                self._unreadable(bad.offset, bad.reason, bad.detail)
            for row, offset in zip(intake.batch.columns.to_pylist(), intake.batch.offset.tolist(), strict=True):
                self._fold(row, offset)
        self.opened = self.opened or self.now()
        log.info("took over", trainings=len(self.history.runs), unanswered=len(list(self.history.open())))
        self.answer_all()

    def close(self) -> None:
        """Let go of the producer."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def take(self, offset: int, value: bytes | None) -> None:
        """A record of the topic comes, perhaps again; whatever it asks for is answered when this returns."""
        decoded = self._control.codec.decode([value])
        for bad in decoded.bad:
            self._unreadable(offset, bad.reason, bad.detail)
        for row in decoded.columns.to_pylist():
            self._fold(row, offset)
        self._metrics.records.labels("processed").inc()
        self.answer_all()

    def now(self) -> int:
        """By the clock of the rules, milliseconds; of events 0 before the first outcome. Raises Transient."""
        return now_ms() if self._clock is None else max(self._clock.now(), self.history.newest)

    def at(self) -> int | None:
        """Event time, for what is told beside the wall clock's; None where rules go by that."""
        return None if self._clock is None else self.now()

    def look(self) -> None:
        """Ask for what is due by the schedule, and for incidents whose training came to nothing."""
        harmed = [] if HARM not in self._policy.on else [*self.history.still_harmed()]
        if not self._policy.schedule and not harmed:
            return
        try:
            now = self.now()
        except Transient as reason:
            log.warning("nobody tells how far events have come", reason=str(reason))
            return
        for trigger in harmed:
            self._ask_again(trigger, now)
        if self._policy.schedule:
            self._ask_in_time(now)

    def _ask_again(self, harm: Trigger, now: int) -> None:
        """Ask for an incident that harms still, once no rule is against it: it is told of once, and was answered."""
        run = self.history.incidents[harm.incident][-1]
        event_id, told = f"{ACTOR}/harm/{run}", now_ms()
        again = replace(harm, event_id=event_id, time=told)
        now = max(now, self.history.newest)
        if self.history.known(event_id) or refusal(self._policy, self.history, again, now) is not None:
            return
        why = f"incident {harm.incident} harms {harm.model} still: of training {run}, {self.history.fruitless[run]}"
        about = harm.incident, harm.model, harm.stream, harm.since
        found = RetrainAsked(HARM, why, None if self._clock is None else now, *about)
        self.tell([ControlEvent(event_id, self._pipeline, told, ACTOR, found, harm.event_id)])
        self.answer_all()

    def _ask_in_time(self, now: int) -> None:
        self.opened = self.opened or now  # of events: the first outcome came
        asked = self.history.asked("schedule")
        time = due(self._policy.schedule, self.opened if asked is None else asked, now)
        if time is not None:
            by_events = self._clock is not None
            found = RetrainAsked("schedule", f"due by {self._policy.schedule}", time if by_events else None)
            told = now_ms() if by_events else time
            self.tell([ControlEvent(f"{ACTOR}/schedule/{time}", self._pipeline, told, ACTOR, found)])
            self.answer_all()

    def count(self, outcomes: int, run: TrainingRun | None) -> None:
        """Ask for a training once so many outcomes came since `run` began, and again with every so many more."""
        assert self._policy.volume is not None
        times = outcomes // self._policy.volume
        event_id = f"{ACTOR}/volume/{'' if run is None else run.run}/{times}"
        if times and run == self.history.newest_run and not self.history.known(event_id):
            since = "the first" if run is None else run.run
            found = RetrainAsked("volume", f"{outcomes} outcomes since {since}", self.at())
            self.tell([ControlEvent(event_id, self._pipeline, now_ms(), ACTOR, found)])
            self.answer_all()

    @property
    def active(self) -> TrainingRun | None:
        """The training that is to run now."""
        return self.history.active

    @property
    def unjudged(self) -> RegisteredPackage | None:
        """The package that is to be judged next."""
        return next(iter(self.history.unjudged.values()), None)

    def answer_all(self) -> None:
        """Answer what has no answer, in the order of the topic."""
        for trigger in self.history.open():
            now, order = self.now(), self._order_for(trigger)
            event = answer(self._policy, self.history, trigger, self._pipeline, now, order, now_ms())
            self.tell([event])
            found = event.finding
            rule = found.rule if isinstance(found, RetrainIgnored) else "started"
            self._counts.answers.labels(rule).inc()
            log.info("answered", trigger=trigger.event_id, source=trigger.source, rule=rule)

    def tell(self, events: Sequence[ControlEvent]) -> None:
        """Write events, all or none, and take them in.

        Raises:
            Fenced: another member took over, or what became of them is not known: the process is to begin anew.
        """
        producer = self._producer
        if producer is None:
            raise Fenced("the topic is another member's by now")
        columns = pa.RecordBatch.from_pylist([event.row() for event in events], self._control.codec.reader.arrow)
        try:
            producer.begin()
            producer.send(self._control.name, [self._pipeline] * len(events), self._control.codec.encode(columns))
            _commit(producer)
        except TransactionAborted as aborted:
            raise Fenced(f"what was to be said was not taken: {aborted}") from aborted
        self._metrics.emitted.labels("control").inc(len(events))
        for event in events:
            self.history.fold(event)

    def _order_for(self, trigger: Trigger) -> Callable[[str], str]:
        def order(run: str) -> str:
            since, champion = self.history.since(trigger), self._champion()
            made = order_of(self._pipeline, self._policy, since, champion, run, now_ms(), *self._extent())
            return made.dump()

        return order

    def _champion(self) -> Arm | None:
        """Of the newest plan; None: there is none."""
        held = newest(history(self._connection, self._plans, self._pipeline))
        return None if held is None or held.plan is None else held.plan.champion

    def _extent(self) -> tuple[dict[int, tuple[int, int]], int]:
        """What the outcomes topic holds now, by partition, and the number of partitions of the exchange."""
        held = offsets_held(self._connection, self._outcomes.name)
        return held, partition_count(self._connection, self._exchange)

    def _fold(self, row: dict[str, object], offset: int) -> None:
        if row["pipeline"] != self._pipeline:
            return
        try:
            event = read_event(row)
        except InvalidRecord as bad:
            self._unreadable(offset, bad.reason, bad.detail)
            return
        if event is not None:
            self.history.fold(event)

    def _unreadable(self, offset: int, reason: str, detail: str) -> None:
        log.error("control event left out", offset=offset, reason=reason, detail=detail)
        self._metrics.facts_unreadable.labels("control", reason).inc()


def _commit(producer: Producer) -> None:
    """Commit; Fenced when it is not known whether it did."""
    for last in (False,) * (COMMIT_TRIES - 1) + (True,):
        try:
            producer.commit(10.0)
        except Transient as unknown:
            if last:
                raise Fenced(f"the outcome of a commit is unknown: {unknown}") from unknown
        else:
            return


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)
