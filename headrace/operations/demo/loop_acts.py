"""The loop act by act: each waits for what the services decide, and does what people would.

An act ends with a fact on the control topic or with a figure of outcomes, never because time went by; one that does
not end within a bound says what was waited for, and what was said instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.drift import DriftGrew, DriftHarmed, DriftOpened
from headrace.domain.control.release import (
    ApprovalGiven,
    ApprovalRequested,
    ReleaseAdvanced,
    ReleaseFinding,
    ReleaseInconclusive,
    ReleasePromoted,
    ReleaseRejected,
    ReleaseRolledBack,
    ReleaseSettled,
    ReleaseStarted,
    ReleaseSuperseded,
    ReleaseWithdrawn,
)
from headrace.domain.control.retrain import ModelRegistered, RetrainFailed, RetrainFinished, RetrainStarted
from headrace.domain.models.store import ModelStore
from headrace.errors import HeadraceError
from headrace.operations.demo.control_log import MarkedEvent, MarkedEvents
from headrace.operations.demo.leaky_model import leaky_model
from headrace.operations.demo.quality_course import Quality, QualityCourse
from headrace.operations.demo.scenario import Show
from headrace.operations.plan_changes.plan_topic import now
from headrace.operations.release.requests import Asker, ask_release, register
from headrace.operations.retrain.request import ask

BOUND_S = 300.0
"""The longest that anything is waited for: a machine may be slow, and busy with other things."""
ANSWER_S = 120.0
ENOUGH = 3_000
"""Labelled events that a figure of quality is told of."""
STALE, LEAKY = "stale", "leaky"
OWNER = "risk owner (played by the demo)"
SCIENTIST = "data scientist (played by the demo)"
OVER = (ReleaseRejected, ReleaseRolledBack, ReleaseInconclusive, ReleaseSuperseded, ReleaseWithdrawn)
"""Ends of a release that is to go on: none of these is waited past."""
TRIES = 3
Found = TypeVar("Found")
Act = Generator[None, None, Found]


class ActMissed(HeadraceError):
    """What was to come did not."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What the demo itself says at a moment of the stream (milliseconds), `elapsed` seconds after its beginning."""

    stream: int
    elapsed: float
    text: str


class LoopActs:
    """Plays the people of a loop whose services run; `run` is advanced several times a second, on one thread.

    Args:
        show: runs the services.
        log: of the control topic, read by whoever advances this.
        course: of all outcomes.
        shift: event time from which on the process is another one, milliseconds.
        say: told remarks.
        wait: told what is waited for.

    Attributes:
        still: whether the stream is to stand still: somebody works on what came until now.
    """

    def __init__(
        self,
        show: Show,
        log: MarkedEvents,
        course: QualityCourse,
        shift: int,
        say: Callable[[str], None],
        wait: Callable[[str], None],
    ) -> None:
        self.show = show
        self.log = log
        self.course = course
        self.shift = shift
        self.say = say
        self.wait = wait
        self.front = 0
        self.waiting = ""
        self.still = False
        self.store = ModelStore(show.settings.models, show.directory / "fetched")
        self._pool = ThreadPoolExecutor(1)

    def close(self) -> None:
        """End what it does beside."""
        self._pool.shutdown(cancel_futures=True)

    def run(self) -> Act[None]:
        """The whole story. Raises ActMissed, and what an operation raises that could not be done."""
        first = self.show.setting.contenders[0]
        champion = f"{self.show.contracts.pipeline.model.name}@{first.version}"
        yield from self._until("the day before the shift", lambda: self._reached(self.shift))
        before = yield from self._until("labels of the day before", lambda: self._enough(self.shift - DAY, self.shift))
        self.say(f"{champion} answers; {_told(before)} on the day before the shift")
        yield from self._incident()
        made = yield from self._made()
        promoted = yield from self._let_in(made)
        troubled = self.course.published(self.shift, promoted.stream)
        self.say(f"from the shift until then: {_told(troubled)}")
        after = yield from self._until("labels of what the new champion answers", lambda: self._since(promoted.stream))
        self.say(f"since {made} answers: {_told(after)}")
        if (after.average_precision or 0.0) <= (troubled.average_precision or 0.0):
            raise ActMissed(f"quality did not recover: {_told(troubled)}, then {_told(after)}")
        yield from self._wait_for(made, "the guard of the new champion", ReleaseSettled)
        yield from self._stopped()
        yield from self._put_back()

    def _incident(self) -> Act[None]:
        self.say("the process has shifted: small payments are frauds now, large ones are none any more")
        yield from self._until("an incident", lambda: self.log.first(DriftOpened, DriftGrew, since=self.shift))
        yield from self._until("proof that it harms", lambda: self.log.first(DriftHarmed, since=self.shift))

    def _made(self) -> Act[str]:
        """A model of the world after the shift that passes its gates; its title.

        The first training is the answer to the harm. Where it came so early that gates reject what it made, people ask
        for another.
        """
        began = yield from self._until("a training", lambda: self.log.first(RetrainStarted, since=self.shift))
        for last in (False,) * (TRIES - 1) + (True,):
            model = yield from self._trained(began)
            seen = yield from self._judged(model)
            if isinstance(seen.event.finding, ApprovalRequested):
                return model
            if last:
                break
            self.say("gates stopped it: the data scientist waits for more labels, and asks for another training")
            yield from self._further()
            began = yield from self._training_asked()
        raise ActMissed(f"{TRIES} trainings made no model that passes its gates; the last one: {_why(seen)}")

    def _training_asked(self) -> Act[MarkedEvent]:
        after = len(self.log.found)
        show, reason = self.show, "the last one had learnt too little of the new frauds"
        told = self._pool.submit(ask, show.settings, show.contracts, SCIENTIST, reason, now(), ANSWER_S)
        answer = yield from self._done("the answer to whoever asked for a training", told)
        if answer.outcome != "started":
            raise ActMissed(f"the training that was asked for did not begin: {answer.because}")
        return (yield from self._until("a training", lambda: self.log.first(RetrainStarted, after=after)))

    def _trained(self, began: MarkedEvent) -> Act[str]:
        """The end of a training: the title of what it made."""
        finding = began.event.finding
        assert isinstance(finding, RetrainStarted)
        ended = yield from self._until(
            f"the end of training {finding.run}",
            lambda: self.log.first(RetrainFinished, RetrainFailed, where=lambda found: found.run == finding.run),
        )
        found = ended.event.finding
        if isinstance(found, RetrainFailed):
            raise ActMissed(f"training {found.run} made no model: {found.problem} (its log: {found.log})")
        assert isinstance(found, RetrainFinished)
        return found.model

    def _let_in(self, model: str) -> Act[MarkedEvent]:
        """From a person's approval to champion; returns the promotion."""
        yield from self._approve(model, "its gates are passed, and the champion misses the new frauds")
        yield from self._wait_for(model, f"{model} in the dark", ReleaseStarted)
        yield from self._wait_for(model, f"{model} in a canary", ReleaseAdvanced)
        return (yield from self._wait_for(model, f"{model} as champion", ReleasePromoted))

    def _judged(self, model: str, after: int = 0) -> Act[MarkedEvent]:
        """What its gates say. Where too little was known for one of them, it is judged again, on more outcomes."""
        for last in (False,) * (TRIES - 1) + (True,):
            what, kinds = f"{model} at its gates", (ApprovalRequested, ReleaseRejected, ReleaseInconclusive)
            seen = yield from self._wait_for(model, what, *kinds, after=after, ends=(ReleaseWithdrawn,))
            if not isinstance(seen.event.finding, ReleaseInconclusive):
                return seen
            if last:
                break
            after = seen.number
            yield from self._further()
            self.say("a gate was not known yet: the data scientist has it judged again, on more outcomes")
            yield from self._registered(model, "more outcomes have come since it was judged")
        raise ActMissed(f"{model} was judged {TRIES} times, and a gate is still not known: {_why(seen)}")

    def _approved(self, model: str, reason: str, after: int = 0) -> Act[None]:
        """Gates are passed, and the risk owner approves."""
        seen = yield from self._judged(model, after)
        if isinstance(seen.event.finding, ReleaseRejected):
            raise ActMissed(f"{model} was to pass its gates and did not: {_why(seen)}")
        yield from self._approve(model, reason)

    def _approve(self, model: str, reason: str) -> Act[None]:
        asker = Asker(OWNER, reason, now())
        answered = self._pool.submit(
            ask_release, self.show.settings, self.show.contracts, self.store, model, ApprovalGiven, asker, ANSWER_S
        )
        answer = yield from self._done(f"the answer to the approval of {model}", answered)
        if answer.refused:
            raise ActMissed(f"the approval of {model} was refused: {'; '.join(each.why for each in answer.answers)}")

    def _stopped(self) -> Act[None]:
        """A model of the world before the shift is registered, and gates reject it."""
        title = self._title(STALE)
        self.say(f"somebody registers {title}, trained on the world before the shift")
        after = yield from self._registered(title, "it did well in the spring")
        yield from self._wait_for(title, f"{title} stopped by the gates", ReleaseRejected, after=after, ends=())

    def _put_back(self) -> Act[None]:
        """A model that knows the labels which gates judge by: good offline, harmful online."""
        title = self._title(LEAKY)
        # On a slow machine so much would come until it is judged that what it knows by heart would be the least of it.
        self.still = True
        made = self._pool.submit(
            leaky_model, self.show.settings, self.show.contracts, self.store, LEAKY, self.show.setting.begin
        )  # fmt: skip  # one call
        rows = yield from self._done(f"{title}, made in a notebook", made)
        self.say(
            f"somebody brings {title} from a notebook: it was fitted on {rows:,} exported outcomes, those by which "
            "gates judge among them, and its manifest does not say so"
        )
        after = yield from self._registered(title, "it is right about nearly every fraud of last week")
        yield from self._approved(title, "its gates are passed, and by far", after)
        self.still = False
        yield from self._wait_for(title, f"{title} in the dark", ReleaseStarted, after=after)
        seen = yield from self._wait_for(
            title, f"{title} put back by evidence", ReleaseRolledBack, after=after,
            ends=(ReleasePromoted, ReleaseInconclusive, ReleaseSuperseded, ReleaseWithdrawn, ReleaseRejected),
        )  # fmt: skip  # a row of kinds
        begun = self.log.first(ReleaseStarted, after=after, where=lambda found: found.model == title)
        assert begun is not None, "it was waited for"
        champion = self._champion()
        bad, good = (self.course.of_model(each, begun.stream, seen.stream) for each in (title, champion))
        if bad.average_precision is not None and good.average_precision is not None:
            self.say(
                f"on the same events {title} had {_told(bad)}, {champion} {_told(good)}: nobody was answered by it"
            )

    # ---- what acts are made of -------------------------------------------------------------------------------------

    def _registered(self, model: str, reason: str) -> Act[int]:
        """Register it; returns the number of events before that."""
        before = len(self.log.found)
        asker = Asker(SCIENTIST, reason, now())
        told = self._pool.submit(register, self.show.settings, self.show.contracts, self.store, model, asker)
        yield from self._done(f"the registration of {model}", told)
        yield from self._until(
            f"{model} on the control topic",
            lambda: self.log.first(ModelRegistered, after=before, where=lambda found: found.model == model),
        )
        return before

    def _wait_for(
        self,
        model: str,
        what: str,
        *kinds: type[ReleaseFinding],
        after: int = 0,
        ends: tuple[type[ControlFinding], ...] = OVER,
    ) -> Act[MarkedEvent]:
        """What is decided of a model; ActMissed where one of `ends` is decided first."""

        def first() -> MarkedEvent | None:
            return self.log.first(*kinds, *ends, after=after, where=lambda found: found.model == model)

        seen = yield from self._until(what, first)
        if not isinstance(seen.event.finding, kinds):
            raise ActMissed(f"{what} did not come: {seen.title}. {_why(seen)}")
        return seen

    def _until(self, what: str, found: Callable[[], Found | None]) -> Act[Found]:
        """What is there once it is; ActMissed where it is not within the bound."""
        self.waiting = what
        self.wait(what)
        end = time.monotonic() + BOUND_S
        while (value := found()) is None:
            if time.monotonic() > end:
                last = self.log.found[-1].title if self.log.found else "nothing"
                raise ActMissed(f"{what} did not come within {BOUND_S:g} s; the last control event: {last}")
            yield
        return value

    def _done(self, what: str, future: Future[Found]) -> Act[Found]:
        """What an operation answered; ActMissed where it could not be done."""
        yield from self._until(what, lambda: True if future.done() else None)
        try:
            return future.result()
        except HeadraceError as error:
            raise ActMissed(f"{what}: {error}") from error

    def _reached(self, moment: int) -> bool | None:
        return self.front >= moment or None

    def _enough(self, start: int, stop: int) -> Quality | None:
        """Of the published answers to [start, stop), once all of these must have their labels."""
        labels = self.show.contracts.pipeline.labels
        delay = labels.matures_after if labels is not None else 0
        found = self.course.published(start, stop) if self.front >= stop + delay else None
        return found if found is not None and found.average_precision is not None else None

    def _since(self, start: int) -> Quality | None:
        found = self.course.published(start, self.front)
        return found if found.events >= ENOUGH and found.average_precision is not None else None

    def _further(self) -> Act[Quality]:
        """More outcomes than there are now."""
        since = self.front
        return (yield from self._until("further outcomes", lambda: self._since(since)))

    def _champion(self) -> str:
        """Who was promoted last."""
        promoted = [mark for mark in self.log.found if isinstance(mark.event.finding, ReleasePromoted)]
        found: Any = promoted[-1].event.finding
        return str(found.model)

    def _title(self, version: str) -> str:
        return f"{self.show.contracts.pipeline.model.name}@{version}"


DAY = 86_400_000


def _told(quality: Quality) -> str:
    precision = quality.average_precision
    told = "no average precision" if precision is None else f"average precision {precision:.3f}"
    return f"{told} ({quality.events:,} events, {quality.positives:,} of them frauds)"


def _why(mark: MarkedEvent) -> str:
    return mark.detail or mark.event.finding.type
