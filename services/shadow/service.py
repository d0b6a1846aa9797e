"""Features in, shadow predictions out: every dark model of the newest plan scores every event, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from headrace.domain.control.breach import DOES_NOT_RUN, NON_FINITE, OUT_OF_MEMORY
from headrace.domain.models.checks.score_range import finite
from headrace.domain.models.model_loader import Pass
from headrace.domain.records.predictions import PredictionRecords
from headrace.errors import ContractError, OutOfMemory, Transient
from headrace.streaming.records.batch import Batch, Emit, Output
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import Quiet
from services.shadow.load import LoadMeter
from services.shadow.metrics import ShadowMetrics
from services.shadow.shadow_models import Dark, ShadowModel

IDLE_AFTER = 1.0  # seconds without a batch


class Shadow(Service):
    """The shadow service.

    Its state is the plan alone, which it reads whole at every start, and what it has shed, which is forgotten: a new
    life begins with all models. So two runs over the same records may differ in which models they left out, never in
    what a model said.

    A row for which a model gives no finite number gets no prediction of that model; the event is fine, so it is no dead
    letter, and the model is counted and stays: a feature may be missing for a while. A model that does not load or run
    is left out, counted, said, and tried again. Where the champion has a score, the model broke: that is said as well
    (`arm_breached`), so that who releases lets it go no further.

    Args:
        answers: writes shadow predictions.
        dark: the models.
        figures: metrics.
        clock: seconds, monotonic; measures what models cost.
        longest_batch: seconds that one batch may take: a loop that hangs for longer counts as dead.
    """

    inputs = ("features",)
    answers = ("shadow-predictions",)
    facts = ("plans",)

    def __init__(
        self,
        answers: PredictionRecords,
        dark: Dark,
        figures: ShadowMetrics,
        clock: Callable[[], float],
        longest_batch: float,
    ) -> None:
        self._answers = answers
        self._dark = dark
        self._figures = figures
        self._clock = clock
        self._longest_batch = longest_batch
        self._pace = LoadMeter()
        self._worked_at = 0.0

    def learn(self, facts: Batch, now: float) -> None:
        """Take up the newest plan, when there is a newer one; the next batch is scored by it, whole."""
        self._dark.learn(facts, now)

    def ready(self) -> str | None:
        """None once there is a plan. Before it rows wait, as they do for the champion, so that none is left out."""
        return None if self._dark.plan is not None else "no plan"

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Try failed models again; with nothing to do, take shed ones back."""
        self._dark.retry(now)
        if now - self._worked_at >= IDLE_AFTER and self._dark.at.keys() <= at_end.keys():
            self._dark.turn(self._pace.idle(), now)
        return Output(self._dark.news())

    def process(self, batch: Batch, now: float) -> Output:
        """One shadow prediction for each row and model that is scored."""
        if self._dark.plan is None:
            raise Transient("no plan, so nobody knows yet whom to score in the dark")
        if not len(batch):
            return Output()
        self._worked_at = now
        self._dark.meet(batch, now)
        load = self._pace.note(batch, now)
        if load is not None:
            self._dark.turn(load, now)
        emits: list[Emit | None] = []
        if playing := self._dark.playing:
            through, begin = Pass(batch.columns, self._clock), self._clock()
            emits = [self._scored(model, batch, through, begin, now) for model in playing]
        self._dark.passed(batch)
        return Output((*(emit for emit in emits if emit is not None), *self._dark.news()))

    def drop(self, partition: int) -> None:
        """Forget a partition that now belongs to another member."""
        self._dark.drop(partition)
        self._pace.drop(partition)

    def _scored(self, model: ShadowModel, batch: Batch, through: Pass, begin: float, now: float) -> Emit | None:
        assert model.opened is not None
        rows, start, beside = len(batch), self._clock(), through.beside
        needs = model.seconds_per_row * rows
        if start - begin + needs > self._longest_batch:
            problem = f"a batch of {rows} rows would take {start - begin + needs:.0f} s, of which {needs:.0f} s are its"
            self._dark.fail(model, f"{problem} own; set a smaller HEADRACE_BATCH_ROWS", now)
            return None
        try:
            scores = model.opened.score(through)
        except (ContractError, MemoryError) as error:
            self._dark.fail(model, str(error), now)
            if self._champions(batch).all():
                breaker = OUT_OF_MEMORY if isinstance(error, (MemoryError, OutOfMemory)) else DOES_NOT_RUN
                self._dark.breach(model, breaker, str(error), batch, now)
            return None
        seconds = self._clock() - start + through.beside - beside
        known = finite(scores)
        if not known.all() and NON_FINITE not in model.breached:
            lost = batch.take(~known)
            saved = lost.take(self._champions(lost))
            if len(saved):
                detail = f"{len(saved)} of {rows} rows have a score by the champion and none by it"
                self._dark.breach(model, NON_FINITE, detail, saved, now)
        part, kept = (batch, scores) if known.all() else (batch.take(known), scores[known])
        emit = self._answers.emit(part, model.opened, self._dark.version, kept, now, seconds / rows)
        self._dark.scored(model, rows, len(part), seconds, now)
        return emit if len(part) else None

    def _champions(self, rows: Batch) -> npt.NDArray[np.bool_]:
        """Which rows the champion has a finite score for, bool [rows]; none where it cannot be asked."""
        champion = self._dark.champion()
        try:
            found = np.full(len(rows), np.nan) if champion is None else champion.score(Pass(rows.columns, self._clock))
        except (ContractError, MemoryError):
            found = np.full(len(rows), np.nan)
        return finite(found)
