"""Features in, predictions out: the champion of the latest plan, or its canary, scores every event once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import structlog

from headrace.domain.control.breach import DOES_NOT_RUN, NON_FINITE, OUT_OF_MEMORY
from headrace.domain.control.events import ControlEvents
from headrace.domain.models.model_loader import OpenArm, Opener, Pass
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.canary_split import shares
from headrace.domain.plans.plans import Plan, latest
from headrace.domain.records.predictions import PredictionRecords
from headrace.errors import ConfigurationError, ContractError, Transient
from headrace.streaming.records.batch import Batch, Emit, Output, Reject
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import Quiet
from services.score.breaches import ArmBreaches
from services.score.metrics import ScoreMetrics

_log = structlog.get_logger()  # a proxy: configured by the time it is first used

RETRY_AFTER = 5.0  # seconds between two tries to take up a plan whose models cannot be had


class Score(Service):
    """The score service.

    Its state is the plan alone, which it reads whole at every start, so members need no checkpoints. A plan whose
    champion or canary cannot be loaded changes nothing: the one before it goes on, the failure is logged and counted,
    and tried again.

    A row for which the canary gives no finite score is the champion's, and a canary that does not run answers nothing
    more under its plan: no event suffers from a trial. Both are said on the control topic, so that who releases puts it
    back. A champion that does not run ends the process.

    Args:
        pipeline: name of the pipeline whose plans it follows.
        features: schema of the features topic's columns; a model that wants others is refused when it is loaded.
        predictions: schema of the predictions topic's columns.
        events: gathers what this member says on the control topic.
        store: where plans' packages lie.
        settings: how models are run.
        figures: metrics.
        clock: seconds, monotonic; measures what a score costs.

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
    ) -> None:
        self._pipeline = pipeline
        self._answers = PredictionRecords("predictions", features, predictions)
        self._breaches = ArmBreaches(events)
        self._opener = Opener(store, settings, features)
        self._figures = figures
        self._clock = clock
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
        return Output()

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
            emit, why = answer(opened, part, now)
            emits.append(emit)
            rejects += why
        return Output((*emits, *self._breaches.emit()), tuple(rejects))

    def _answered(self, opened: OpenArm, part: Batch, now: float) -> tuple[Emit, list[Reject]]:
        """Predictions of an arm, and why rows without a finite score have none."""
        scores, each = self._scores(opened, part)
        finite = np.isfinite(scores)
        if finite.all():
            return self._emit(opened, part, scores, each, now), []
        emit = self._emit(opened, part.take(finite), scores[finite], each, now)
        return emit, list(_rejects(opened, part, scores, ~finite))

    def _tried(self, canary: OpenArm, part: Batch, now: float) -> tuple[Emit, list[Reject]]:
        """Predictions of the canary, and the champion's for rows that it fails at; in the order of the rows."""
        assert self._live is not None
        champion, version = self._live.champion, self._live.plan.version
        try:
            scores, each = self._scores(canary, part)
        except (ContractError, MemoryError) as error:
            breaker = OUT_OF_MEMORY if isinstance(error, MemoryError) else DOES_NOT_RUN
            self._breaches.say(canary.arm, version, breaker, str(error), part, now)
            self._live = replace(self._live, canary=None)
            self._figures.share.set(0.0)
            return self._answered(champion, part, now)
        finite = np.isfinite(scores)
        if finite.all():
            return self._emit(canary, part, scores, each, now), []
        lost = np.flatnonzero(~finite)
        instead, cost = self._scores(champion, part.take(lost))
        saved = lost[np.isfinite(instead)]
        own = self._emit(canary, part.take(finite), scores[finite], each, now)
        hopeless = ~finite
        hopeless[saved] = False
        why = list(_rejects(canary, part, scores, hopeless))
        if not len(saved):
            return own, why
        detail = f"{len(saved)} of {len(part)} rows have a score by {champion.arm.title} and none by it"
        self._breaches.say(canary.arm, version, NON_FINITE, detail, part.take(saved), now)
        others = self._emit(champion, part.take(saved), instead[np.isfinite(instead)], cost, now)
        return _together(own, others, np.argsort(np.append(np.flatnonzero(finite), saved))), why

    def _scores(self, opened: OpenArm, part: Batch) -> tuple[npt.NDArray[np.float64], float]:
        """Scores, and seconds of the processor that each took."""
        through, begin = Pass(part.columns, self._clock), self._clock()
        scores = opened.score(through)
        return scores, (self._clock() - begin + through.beside) / max(len(part), 1)

    def _emit(self, opened: OpenArm, part: Batch, scores: npt.NDArray[np.float64], each: float, now: float) -> Emit:
        assert self._live is not None
        self._figures.answers.labels(opened.arm.arm).inc(len(part))
        return self._answers.emit(part, opened, self._live.plan.version, scores, now, each)

    def _take_up(self, now: float) -> None:
        assert self._wanted is not None
        plan = self._wanted
        try:
            champion = self._opener.open(plan.champion)
            canary = self._opener.open(plan.canary) if plan.canary else None
        except (ContractError, Transient, ConfigurationError) as error:
            self.problem = f"plan {plan.version} of {self._pipeline}: {error}"
            self._retry_at = now + RETRY_AFTER
            self._figures.plan_failures.labels(type(error).__name__).inc()
            _log.warning("plan not taken up", plan=plan.version, problem=str(error))
            return
        live = self._live = _Live(plan, champion, canary)
        self._wanted = self.problem = None
        self._opener.keep(live.arms)
        self._figures.plan.set(plan.version)
        self._figures.share.set(plan.canary.share if plan.canary else 0.0)
        self._figures.inner_batch.set(champion.models[0].session.batch.rows)
        self._figures.row_seconds.set(champion.seconds_per_row)
        for opened in live.arms:
            arm = opened.arm
            _log.info("plan taken up", plan=plan.version, arm=arm.arm, model=arm.title, digest=arm.digest)


@dataclass(frozen=True, slots=True)
class _Live:
    """All that a batch is scored with; replaced whole, so that no batch sees half of a switch."""

    plan: Plan
    champion: OpenArm
    canary: OpenArm | None

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


def _rejects(
    opened: OpenArm, batch: Batch, scores: npt.NDArray[np.float64], rows: npt.NDArray[np.bool_]
) -> Iterator[Reject]:
    for partition, offset, score in zip(batch.partition[rows], batch.offset[rows], scores[rows], strict=True):
        detail = f"{opened.arm.title} gave {score} for these features"
        yield Reject(int(partition), int(offset), "non_finite_score", detail)


def _together(first: Emit, second: Emit, order: npt.NDArray[np.int64]) -> Emit:
    """The records of two emits of one topic, in an order of all of them: an entity's follow one another."""
    assert first.key is not None
    assert second.key is not None
    columns = pa.Table.from_batches([first.columns, second.columns]).take(pa.array(order)).combine_chunks()
    keys = pa.chunked_array([first.key, second.key]).take(pa.array(order)).combine_chunks()
    source = np.append(first.source, second.source)[order].astype(np.int32)
    return Emit(first.topic, columns.to_batches()[0], keys, source)
