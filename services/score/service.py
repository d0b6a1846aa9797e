"""Features in, predictions out: the champion of the latest plan, or its canary, scores every event once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import structlog

from headrace.domain.control.breach import DOES_NOT_RUN, ERROR_RATE, LATENCY, NON_FINITE, OUT_OF_MEMORY
from headrace.domain.control.events import ControlEvents
from headrace.domain.models.checks.score_range import finite, outside
from headrace.domain.models.model_loader import OpenArm, Opener, Pass
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.spec import Model
from headrace.domain.plans.canary_split import shares
from headrace.domain.plans.plans import CHALLENGER, Arm, Plan, latest
from headrace.domain.records.predictions import PredictionRecords
from headrace.domain.release.breakers import MOST_TARGETS
from headrace.errors import ConfigurationError, ContractError, OutOfMemory, Transient
from headrace.streaming.records.batch import Batch, Emit, Output, Reject
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import Quiet
from services.score.arms_output import rejects_of, together
from services.score.breaches import ArmBreaches
from services.score.canary_watch import CanaryWatch
from services.score.metrics import ScoreMetrics

_log = structlog.get_logger()  # a proxy: configured by the time it is first used

RETRY_AFTER = 5.0  # seconds between two tries to take up a plan whose models cannot be had


class Score(Service):
    """The score service.

    Its state is the plan alone, which it reads whole at every start, so members need no checkpoints. A plan whose
    champion or canary cannot be loaded changes nothing: the one before it goes on, the failure is logged and counted,
    and tried again.

    A row for which the canary gives no finite score is the champion's. A canary that does not run, takes longer for its
    batches than the pipeline's target, or errs oftener than the champion answers nothing more under its plan: no event
    suffers from a trial. All of that is said on the control topic, so that who releases puts it back. A champion that
    does not run ends the process, unless a challenger runs: then that is said, and rows wait for a plan.

    Args:
        pipeline: name of the pipeline whose plans it follows.
        features: schema of the features topic's columns; a model that wants others is refused when it is loaded.
        predictions: schema of the predictions topic's columns.
        events: gathers what this member says on the control topic.
        store: where plans' packages lie.
        settings: how models are run.
        figures: metrics.
        clock: seconds, monotonic; measures what a score costs.
        target: seconds in which an event should have its prediction (`latency.target` of the pipeline file).
        chances: whether scores are chances, 0 to 1.
        model: of the pipeline; its classes, where it has several, are those of the settings.
        processor: seconds of the processor that this process has used.

    Raises:
        ContractError: predictions have columns that neither score nor features provide.
    """

    inputs = ("features",)
    answers = ("predictions",)
    facts = ("plans",)

    def __init__(
        self,
        pipeline: str,
        features: pa.Schema,
        predictions: pa.Schema,
        events: ControlEvents,
        store: ModelStore,
        settings: SessionSettings,
        figures: ScoreMetrics,
        clock: Callable[[], float],
        target: float = 0.05,
        chances: bool = True,
        processor: Callable[[], float] = time.process_time,
        model: Model | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._answers = PredictionRecords("predictions", features, predictions, model)
        self._breaches = ArmBreaches(events)
        self._opener = Opener(store, settings, features)
        self._figures = figures
        self._clock = clock
        self._target = target
        self._chances = chances
        self._processor = processor
        self._live: _Live | None = None
        self._wanted: Plan | None = None
        self._retry_at = 0.0
        self.problem: str | None = None
        """Why the newest plan is not played; None when it is."""

    def learn(self, facts: Batch, now: float) -> None:
        """Take up the newest plan, when there is a newer one; the next batch is scored by it, whole."""
        newest = self._wanted or (self._live.plan if self._live else None)
        plan, faults = latest(facts.columns, self._pipeline, newest.version if newest else 0)
        for fault in faults:
            _log.warning("plan refused", reason=fault.reason, detail=fault.detail)
            self._figures.plan_failures.labels(fault.reason).inc()
        if plan is not None:
            self._wanted = plan
            self._take_up(now)

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Try again a plan whose models could not be had."""
        if self._wanted is not None and now >= self._retry_at:
            self._take_up(now)
        return Output(self._breaches.emit())

    def ready(self) -> str | None:
        """None while any plan is played: an older model that answers is better than none."""
        if self._live is not None:
            return None
        return self.problem or f"no plan for {self._pipeline}"

    def process(self, batch: Batch, now: float) -> Output:
        """One prediction a row, or a reject where neither the row's arm nor the champion gives a finite number."""
        if self._live is None:
            raise Transient(f"no plan for {self._pipeline}")
        emits, rejects = list[Emit](), list[Reject]()
        for opened, part in self._live.parts(batch):
            answer = self._answered if opened is self._live.champion else self._tried
            said, why = answer(opened, part, now)
            emits += said
            rejects += why
        return Output((*emits, *self._breaches.emit()), tuple(rejects))

    def _answered(self, opened: OpenArm, part: Batch, now: float) -> tuple[list[Emit], list[Reject]]:
        """Predictions of the champion, and why rows without a finite score have none."""
        found = self._run(opened, part, now)
        self._look(opened, part, found.scores, now)
        known = finite(found.scores)
        if known.all():
            return [self._emit(opened, part, found.scores, found.each, now)], []
        self._blame(opened, part.take(~known), NON_FINITE, "", now)
        emit = self._emit(opened, part.take(known), found.scores[known], found.each, now)
        return [emit], list(rejects_of(opened, part, found.scores, ~known))

    def _run(self, champion: OpenArm, part: Batch, now: float) -> _Scored:
        """The champion's scores. Where it does not run and a challenger does, rows wait: there is who can be put back.

        Raises:
            Transient: they wait for another plan.
            ContractError, MemoryError: nobody can.
        """
        try:
            return self._scores(champion, part)
        except (ContractError, MemoryError) as error:
            breaker = OUT_OF_MEMORY if isinstance(error, (MemoryError, OutOfMemory)) else DOES_NOT_RUN
            if not self._blame(champion, part, breaker, str(error), now):
                raise
            raise Transient(f"{error}; a challenger runs: waiting for a plan in which another one answers") from error

    def _blame(self, champion: OpenArm, rows: Batch, breaker: str, why: str, now: float) -> bool:
        """Say that the champion broke at rows that a challenger scores: a new one has the old one beside it."""
        assert self._live is not None
        other = self._challenger()
        try:
            scored = np.empty(0) if other is None else self._scores(other, rows).scores
        except (ContractError, MemoryError):
            return False
        able = np.flatnonzero(finite(scored))
        if other is None or not len(able):
            return False
        detail = f"{len(able)} of {len(rows)} rows have a score by {other.arm.title}" + (f": {why}" if why else "")
        self._breaches.say(champion.arm, self._live.plan.version, breaker, detail, rows.take(able), now)
        return True

    def _challenger(self) -> OpenArm | None:
        """Who is asked whether a row that the champion fails at has a score at all; opened when first asked."""
        assert self._live is not None
        for arm in () if self._live.alone else self._live.challengers:
            try:
                other = self._opener.open(arm)
            except (ContractError, Transient, ConfigurationError) as error:
                _log.warning("challenger not opened", model=arm.title, problem=str(error))
                continue
            return other
        self._live = replace(self._live, alone=True)
        return None

    def _tried(self, canary: OpenArm, part: Batch, now: float) -> tuple[list[Emit], list[Reject]]:
        """Predictions of the canary, and the champion's for rows that it fails at or does not come to; in the order of
        the rows.
        """
        assert self._live is not None
        champion = self._live.champion
        found = self._in_slices(canary, part, now)
        count = len(found.scores)
        emits, why = list[Emit](), list[Reject]()
        if count:
            emit, why = self._checked(canary, part.slice(slice(0, count)), found, now)
            emits.append(emit)
        if count < len(part):
            others, more = self._answered(champion, part.slice(slice(count, None)), now)
            emits += others
            why += more
        return emits, why

    def _in_slices(self, canary: OpenArm, part: Batch, now: float) -> _Scored:
        """The canary's scores, a slice at a time, so that it is known soon if it breaks: then of the first rows alone.

        Slices are of so many rows as it should score within the target, as fast as it was so far.
        """
        assert self._live is not None
        watch = self._live.watch
        assert watch is not None
        done, at, took, due = list[_Scored](), 0, 0.0, MOST_TARGETS * self._target
        while at < len(part):
            rows = part.slice(slice(at, at + watch.rows(canary)))
            try:
                found = self._scores(canary, rows)
            except (ContractError, MemoryError) as error:
                breaker = OUT_OF_MEMORY if isinstance(error, (MemoryError, OutOfMemory)) else DOES_NOT_RUN
                self._withdraw(canary, breaker, str(error), rows, now)
                break
            done.append(found)
            at, took = at + len(rows), took + found.took
            watch.paced(len(rows), found.took)
            if at == len(part) or took >= due:
                self._time(canary, part.slice(slice(0, at)), took, now)
                due = 2 * took  # the champion is as slow: asked again, but not at every slice
                if self._live.canary is None:
                    break
        scores = np.concatenate([each.scores for each in done]) if done else np.empty(0)
        whole = sum(each.each * len(each.scores) for each in done)
        return _Scored(scores, whole / max(len(scores), 1), took)

    def _checked(self, canary: OpenArm, part: Batch, found: _Scored, now: float) -> tuple[Emit, list[Reject]]:
        """Predictions of rows that the canary came to: its own, and the champion's where it has no finite score."""
        assert self._live is not None
        champion, version = self._live.champion, self._live.plan.version
        self._look(canary, part, found.scores, now)
        scores, each = found.scores, found.each
        known = finite(scores)
        if known.all():
            return self._emit(canary, part, scores, each, now), []
        lost = np.flatnonzero(~known)
        instead = self._scores(champion, part.take(lost))
        able = finite(instead.scores)
        saved = lost[able]
        own = self._emit(canary, part.take(known), scores[known], each, now)
        hopeless = ~known
        hopeless[saved] = False
        why = list(rejects_of(canary, part, scores, hopeless))
        if not len(saved):
            return own, why
        detail = f"{len(saved)} of {len(part)} rows have a score by {champion.arm.title} and none by it"
        self._breaches.say(canary.arm, version, NON_FINITE, detail, part.take(saved), now)
        others = self._emit(champion, part.take(saved), instead.scores[able], instead.each, now)
        return together(own, others, np.argsort(np.append(np.flatnonzero(known), saved))), why

    def _time(self, canary: OpenArm, part: Batch, took: float, now: float) -> None:
        """Say that the canary is too slow, where the champion is in time for the same rows."""
        assert self._live is not None
        champion, watch = self._live.champion, self._live.watch

        def needs() -> float | None:
            try:
                return self._scores(champion, part).took
            except (ContractError, MemoryError):
                return None  # it answers its own rows, and ends the process where it cannot

        if watch is not None and (detail := watch.took(took, needs)):
            self._withdraw(canary, LATENCY, detail, part, now)

    def _withdraw(self, canary: OpenArm, breaker: str, detail: str, rows: Batch, now: float) -> None:
        """Say that the canary broke; it answers nothing more until there is another plan."""
        assert self._live is not None
        self._breaches.say(canary.arm, self._live.plan.version, breaker, detail, rows, now)
        self._live = replace(self._live, canary=None, watch=None)
        self._figures.share.set(0.0)

    def _look(self, opened: OpenArm, part: Batch, scores: npt.NDArray[np.float64], now: float) -> None:
        """Count answers that cannot be, and say where they are so many that the canary is to blame."""
        if not self._chances or not (strange := outside(scores)).any():
            return
        assert self._live is not None
        self._figures.impossible.labels(opened.arm.arm).inc(int(strange.sum()))
        watch, rows = self._live.watch, part.take(strange)
        detail = watch.erred(rows.columns["entity"], opened is self._live.canary) if watch is not None else None
        if watch is not None and detail is not None:
            self._withdraw(opened, ERROR_RATE, f"scores outside 0 and 1: {detail}", rows, now)

    def _scores(self, opened: OpenArm, part: Batch) -> _Scored:
        through, begin, used = Pass(part.columns, self._clock), self._clock(), self._processor()
        scores = opened.score(through)
        took = self._clock() - begin
        each = (took + through.beside) / max(len(part), 1)
        # Time that goes by while others have the processor is none of the model's.
        return _Scored(scores, each, min(took, self._processor() - used))

    def _emit(self, opened: OpenArm, part: Batch, scores: npt.NDArray[np.float64], each: float, now: float) -> Emit:
        assert self._live is not None
        self._figures.answers.labels(opened.arm.arm).inc(len(part))
        return self._answers.emit(part, opened, self._live.plan.version, scores, now, each)

    def _canary(self, plan: Plan, now: float) -> OpenArm | None:
        """Open a plan's canary. Raises what `Opener.open` does, and says so of a package that is not what it was."""
        if plan.canary is None:
            return None
        try:
            return self._opener.open(plan.canary)
        except ContractError as error:
            self._breaches.say(plan.canary, plan.version, DOES_NOT_RUN, str(error), None, now)
            raise

    def _take_up(self, now: float) -> None:
        assert self._wanted is not None
        plan = self._wanted
        try:
            champion = self._opener.open(plan.champion)
            canary = self._canary(plan, now)
        except (ContractError, Transient, ConfigurationError) as error:
            self.problem = f"plan {plan.version} of {self._pipeline}: {error}"
            self._retry_at = now + RETRY_AFTER
            self._figures.plan_failures.labels(type(error).__name__).inc()
            _log.warning("plan not taken up", plan=plan.version, problem=str(error))
            return
        before = self._live
        watch = CanaryWatch.of(plan, self._target, before.watch if before else None)
        live = self._live = _Live(plan, champion, canary, watch, _challengers(plan, before))
        self._wanted = self.problem = None
        rivals = {arm.digest for arm in live.challengers}
        # An old champion that stays beside the new one is open, and the first to be asked about it.
        self._opener.keep([*live.arms, *(arm for arm in (before.arms if before else ()) if arm.arm.digest in rivals)])
        self._figures.plan.set(plan.version)
        self._figures.share.set(plan.canary.share if plan.canary else 0.0)
        self._figures.inner_batch.set(champion.models[0].session.batch.rows)
        self._figures.row_seconds.set(champion.seconds_per_row)
        for opened in live.arms:
            arm = opened.arm
            _log.info("plan taken up", plan=plan.version, arm=arm.arm, model=arm.title, digest=arm.digest)


def _challengers(plan: Plan, before: _Live | None) -> tuple[Arm, ...]:
    """Challengers of a plan, who was champion before it first."""
    last = before.champion.arm.digest if before is not None else ""
    rivals = (arm for arm in plan.arms if arm.arm == CHALLENGER and arm.digest != plan.champion.digest)
    return tuple(sorted(rivals, key=lambda arm: arm.digest != last))


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """What an arm said of a batch; `each`: seconds of a row; `took`: those of the batch, no more than were worked."""

    scores: npt.NDArray[np.float64]
    each: float
    took: float


@dataclass(frozen=True, slots=True)
class _Live:
    """All that a batch is scored with; replaced whole, so that no batch sees half of a switch."""

    plan: Plan
    champion: OpenArm
    canary: OpenArm | None
    watch: CanaryWatch | None
    challengers: tuple[Arm, ...] = ()
    alone: bool = False  # none of them can be opened, or there is none

    @property
    def arms(self) -> tuple[OpenArm, ...]:
        return (self.champion,) if self.canary is None else (self.champion, self.canary)

    def parts(self, batch: Batch) -> Iterator[tuple[OpenArm, Batch]]:
        """The batch, cut by who answers; an arm without rows is left out, but a batch is never left without an arm."""
        if self.canary is None or not len(batch):
            yield self.champion, batch
            return
        salt = self.plan.salt or self.plan.pipeline
        tried = shares(batch.columns["entity"], salt) < self.canary.arm.share
        for opened, rows in ((self.champion, ~tried), (self.canary, tried)):
            if rows.any():
                yield opened, batch.take(rows)
