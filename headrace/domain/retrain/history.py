"""What the control topic says of trainings, folded in its order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from headrace.domain.control.drift import DriftClosed
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import ReleaseFinding, ReleaseRejected, ReleaseRolledBack
from headrace.domain.control.retrain import (
    ModelEvaluated,
    ModelRegistered,
    RetrainAsked,
    RetrainFailed,
    RetrainFinished,
    RetrainIgnored,
    RetrainProgress,
    RetrainStarted,
)
from headrace.domain.retrain.gate_waits import GateWaits
from headrace.domain.retrain.packages import RegisteredPackage
from headrace.domain.retrain.trigger import HARM, Trigger, trigger_of

PASSED_OVER = frozenset({"off", "dark", "refused", "incident", "debounce"})
"""Rules that say that a trigger was none: what came of the same source before them counts as the last."""

ELSEWHERE = frozenset({"shadow-predictions", "dead-letters"})
"""Streams whose incidents say nothing of what the champion meets."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A training.

    Attributes:
        run: its identity.
        trigger: the event that started it.
        order: JSON, what its job is told.
        began, ended: milliseconds since the epoch; `ended` None while it has no end.
        chain: as of `RetrainStarted`.
        begin, end: the same moments by the clock that rules go by.
    """

    run: str
    trigger: str
    order: str
    began: int
    ended: int | None
    chain: int
    begin: int
    end: int | None


class TrainingHistory:
    """A fold of control events, the same whoever folds them, and the same when one comes twice.

    All times of rules are by one clock, in milliseconds since the epoch: the wall clock, or that of events. What was
    answered by the wall clock alone has no time by the other, and counts there as long ago.

    Args:
        by_events: rules go by event time.

    Attributes:
        newest: time of the newest answer or end.
        runs: trainings by identity, in their order.
        last: by source, when its last trigger was answered that was not passed over.
        incidents: those that started a training, and which, in their order.
        fruitless: trainings that came to nothing, and what became of each: it failed, or its model was rejected or
            put back.
        made: by `name@version`, the run that made it and when it was registered.
        stages: (run, stage) that were told.
        unjudged: packages without a verdict, by the event that registered them, in their order.
        gates: packages whose verdict is that nobody knows yet.
    """

    def __init__(self, by_events: bool = False) -> None:
        self.by_events = by_events
        self.newest = 0
        self.runs: dict[str, TrainingRun] = {}
        self.last: dict[str, int] = {}
        self.incidents: dict[str, tuple[str, ...]] = {}
        self.fruitless: dict[str, str] = {}
        self.made: dict[str, tuple[str, int]] = {}
        self.stages: set[tuple[str, str]] = set()
        self.unjudged: dict[str, RegisteredPackage] = {}
        self.gates = GateWaits()
        self._registered: set[str] = set()
        self._triggers: dict[str, Trigger] = {}
        self._answered: set[str] = set()
        self._open: dict[str, Trigger] = {}
        self._asked: dict[str, int] = {}
        self._incidents: dict[str, int] = {}
        self._closed: set[str] = set()
        self._harms: dict[str, Trigger] = {}

    def fold(self, event: ControlEvent) -> None:
        """Take an event in."""
        found = event.finding
        if isinstance(found, ReleaseFinding):
            self._decide(found, event)
        elif (trigger := trigger_of(event)) is not None:
            self._take(trigger, self._moment(event.time, found.at if isinstance(found, RetrainAsked) else None))
        elif isinstance(found, RetrainStarted | RetrainIgnored):
            self._answer(found, event.time)
        elif isinstance(found, DriftClosed):
            self._closed.add(found.incident)
            self._incidents.pop(found.incident, None)
            self._harms.pop(found.incident, None)
        elif isinstance(found, RetrainProgress):
            self.stages.add((found.run, found.stage))
        elif isinstance(found, RetrainFinished | RetrainFailed):
            self._end(found, event.time)
        elif isinstance(found, ModelRegistered):
            self._register(found, event)
        elif isinstance(found, ModelEvaluated) and event.cause is not None:
            self._registered.add(event.cause)
            self.unjudged.pop(event.cause, None)
            self.gates.judge(event.cause, found)

    def open(self) -> Iterator[Trigger]:
        """Triggers without an answer, in the order of the topic."""
        return iter(list(self._open.values()))

    def answered(self, trigger: str) -> bool:
        """Whether an event has its answer."""
        return trigger in self._answered

    def known(self, event_id: str) -> bool:
        """Whether a trigger of this identity is on the topic."""
        return event_id in self._triggers

    def asked(self, source: str) -> int | None:
        """When a source was last heard, answered or not; None: never, or by the other clock alone."""
        return self._asked.get(source)

    @property
    def active(self) -> TrainingRun | None:
        """The training that began and has no end; there is one at most."""
        return next((run for run in reversed(self.runs.values()) if run.ended is None), None)

    @property
    def newest_run(self) -> TrainingRun | None:
        """The training that began last."""
        return next(reversed(self.runs.values()), None)

    def asker(self, run: TrainingRun) -> str:
        """The person who asked for a training; empty: none did."""
        trigger = self._triggers.get(run.trigger)
        return "" if trigger is None else trigger.person

    def chain(self, trigger: Trigger) -> int:
        """How many trainings in a row a training for this trigger would be, each about the model of the one before."""
        if trigger.model not in self.made:
            return 0
        run, _ = self.made[trigger.model]
        return self.runs[run].chain + 1 if run in self.runs else 1

    def since(self, trigger: Trigger) -> int | None:
        """Event time since when things are other than they were, milliseconds: as the trigger says, else by the open
        incident that was told last; None: nobody found that they are.
        """
        if trigger.since is not None:
            return trigger.since
        return next(reversed(self._incidents.values()), None)

    def still_harmed(self) -> Iterator[Trigger]:
        """Of every open incident that harms, and whose last training came to nothing, what told of the harm first."""
        for incident, trigger in self._harms.items():
            runs = self.incidents.get(incident)
            if runs and runs[-1] in self.fruitless:
                yield trigger

    def used(self, now: int) -> int:
        """Trainings that began in the calendar month (UTC) of `now`."""
        month = month_of(now)
        return sum(month_of(run.begin) == month for run in self.runs.values())

    def _moment(self, time: int, at: int | None) -> int:
        """When something was by the clock of the rules: 0 where that clock's time was not noted."""
        return (at or 0) if self.by_events else time

    def _take(self, trigger: Trigger, moment: int) -> None:
        if trigger.event_id in self._triggers:
            return
        self._triggers[trigger.event_id] = trigger
        if moment:
            self._asked[trigger.source] = max(self._asked.get(trigger.source, 0), moment)
        if trigger.incident and trigger.stream not in ELSEWHERE and trigger.incident not in self._closed:
            if trigger.since is not None:
                self._incidents.setdefault(trigger.incident, trigger.since)
            if trigger.source == HARM:
                self._harms.setdefault(trigger.incident, trigger)
        if trigger.event_id not in self._answered:
            self._open[trigger.event_id] = trigger

    def _answer(self, answer: RetrainStarted | RetrainIgnored, time: int) -> None:
        if answer.trigger in self._answered:
            return
        self._answered.add(answer.trigger)
        self._open.pop(answer.trigger, None)
        moment = self._moment(time, answer.at)
        self.newest = max(self.newest, moment)
        if isinstance(answer, RetrainStarted) or answer.rule not in PASSED_OVER:
            self.last[answer.source] = moment
        if isinstance(answer, RetrainStarted):
            run, begun = answer.run, answer.trigger
            self.runs[run] = TrainingRun(run, begun, answer.order, time, None, answer.chain, moment, None)
            trigger = self._triggers.get(answer.trigger)
            if trigger is not None and trigger.incident:
                self.incidents[trigger.incident] = (*self.incidents.get(trigger.incident, ()), answer.run)

    def _register(self, found: ModelRegistered, event: ControlEvent) -> None:
        if found.run:
            self.made.setdefault(found.model, (found.run, self._moment(event.time, found.at)))
        if event.event_id not in self._registered:
            self._registered.add(event.event_id)
            package = RegisteredPackage(event.event_id, found.model, found.digest, found.uri, found.run)
            self.unjudged[event.event_id] = package
            self.gates.register(package)

    def _decide(self, found: ReleaseFinding, event: ControlEvent) -> None:
        self.gates.decide(event, found)
        if isinstance(found, ReleaseRejected | ReleaseRolledBack) and found.model in self.made:
            became = "rejected" if isinstance(found, ReleaseRejected) else "rolled back"
            self.fruitless.setdefault(self.made[found.model][0], f"its model {found.model} was {became}")

    def _end(self, said: RetrainFinished | RetrainFailed, time: int) -> None:
        found = self.runs.get(said.run)
        if found is not None and found.ended is None:
            moment = self._moment(time, said.at)
            self.runs[said.run] = replace(found, ended=time, end=moment)
            self.newest = max(self.newest, moment)
            if isinstance(said, RetrainFailed):
                self.fruitless.setdefault(said.run, "it failed")


def month_of(time: int) -> tuple[int, int]:
    """(year, month) in UTC of a time in milliseconds since the epoch."""
    there = datetime.fromtimestamp(time / 1000, UTC)
    return there.year, there.month


def next_month(time: int) -> int:
    """When the month after the one of `time` begins, both in milliseconds since the epoch.

    >>> next_month(1_735_600_000_000) == int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000)
    True
    """
    year, month = month_of(time)
    begins = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return int(begins.timestamp() * 1000)
