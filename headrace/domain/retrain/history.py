"""What the control topic says of trainings, folded in its order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from headrace.domain.control.events import ControlEvent
from headrace.domain.control.retrain import (
    ModelEvaluated,
    ModelRegistered,
    RetrainFailed,
    RetrainFinished,
    RetrainIgnored,
    RetrainProgress,
    RetrainStarted,
)
from headrace.domain.retrain.trigger import Trigger, trigger_of

PASSED_OVER = frozenset({"off", "dark", "refused", "incident", "debounce"})
"""Rules that say that a trigger was none: what came of the same source before them counts as the last."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A training.

    Attributes:
        run: its identity.
        trigger: the event that started it.
        order: JSON, what its job is told.
        began, ended: milliseconds since the epoch; `ended` None while it has no end.
        chain: as of `RetrainStarted`.
    """

    run: str
    trigger: str
    order: str
    began: int
    ended: int | None
    chain: int


@dataclass(frozen=True, slots=True)
class RegisteredPackage:
    """A package that is to be judged.

    Attributes:
        event: that registered it.
        model: `name@version`.
        digest, uri: its identity, and where it is.
        run: the training that made it; empty where a person did.
    """

    event: str
    model: str
    digest: str
    uri: str
    run: str


class TrainingHistory:
    """A fold of control events, the same whoever folds them, and the same when one comes twice.

    Attributes:
        newest: time of the newest answer or end, milliseconds since the epoch.
        runs: trainings by identity, in their order.
        last: by source, when its last trigger was answered that was not passed over.
        incidents: those that started a training, and which.
        made: by `name@version`, the run that made it and when it was registered.
        stages: (run, stage) that were told.
        unjudged: packages without a verdict, by the event that registered them, in their order.
    """

    def __init__(self) -> None:
        self.newest = 0
        self.runs: dict[str, TrainingRun] = {}
        self.last: dict[str, int] = {}
        self.incidents: dict[str, str] = {}
        self.made: dict[str, tuple[str, int]] = {}
        self.stages: set[tuple[str, str]] = set()
        self.unjudged: dict[str, RegisteredPackage] = {}
        self._registered: set[str] = set()
        self._triggers: dict[str, Trigger] = {}
        self._answered: set[str] = set()
        self._open: dict[str, Trigger] = {}
        self._asked: dict[str, int] = {}

    def fold(self, event: ControlEvent) -> None:
        """Take an event in."""
        found = event.finding
        if (trigger := trigger_of(event)) is not None:
            self._take(trigger)
        elif isinstance(found, RetrainStarted | RetrainIgnored):
            self._answer(found, event.time)
        elif isinstance(found, RetrainProgress):
            self.stages.add((found.run, found.stage))
        elif isinstance(found, RetrainFinished | RetrainFailed):
            self._end(found.run, event.time)
        elif isinstance(found, ModelRegistered):
            self._register(found, event)
        elif isinstance(found, ModelEvaluated) and event.cause is not None:
            self._registered.add(event.cause)
            self.unjudged.pop(event.cause, None)

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
        """When a source was last heard, answered or not, milliseconds since the epoch."""
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

    def used(self, now: int) -> int:
        """Trainings that began in the calendar month (UTC) of `now`."""
        month = month_of(now)
        return sum(month_of(run.began) == month for run in self.runs.values())

    def _take(self, trigger: Trigger) -> None:
        if trigger.event_id in self._triggers:
            return
        self._triggers[trigger.event_id] = trigger
        self._asked[trigger.source] = max(self._asked.get(trigger.source, 0), trigger.time)
        if trigger.event_id not in self._answered:
            self._open[trigger.event_id] = trigger

    def _answer(self, answer: RetrainStarted | RetrainIgnored, time: int) -> None:
        if answer.trigger in self._answered:
            return
        self._answered.add(answer.trigger)
        self._open.pop(answer.trigger, None)
        self.newest = max(self.newest, time)
        if isinstance(answer, RetrainStarted) or answer.rule not in PASSED_OVER:
            self.last[answer.source] = time
        if isinstance(answer, RetrainStarted):
            self.runs[answer.run] = TrainingRun(answer.run, answer.trigger, answer.order, time, None, answer.chain)
            trigger = self._triggers.get(answer.trigger)
            if trigger is not None and trigger.incident:
                self.incidents[trigger.incident] = answer.run

    def _register(self, found: ModelRegistered, event: ControlEvent) -> None:
        if found.run:
            self.made.setdefault(found.model, (found.run, event.time))
        if event.event_id not in self._registered:
            self._registered.add(event.event_id)
            self.unjudged[event.event_id] = RegisteredPackage(
                event.event_id, found.model, found.digest, found.uri, found.run
            )

    def _end(self, run: str, time: int) -> None:
        found = self.runs.get(run)
        if found is not None and found.ended is None:
            self.runs[run] = TrainingRun(run, found.trigger, found.order, found.began, time, found.chain)
            self.newest = max(self.newest, time)


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
