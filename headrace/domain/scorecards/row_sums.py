"""Rows of predictions and outcomes as sums: a batch's columns, tallied for any part of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.classes.columns import CLASS, chances_of, places_of
from headrace.domain.quality import regression, score_table
from headrace.domain.quality.classes.class_sums import NO_CLASSES, ClassSums, decided_sums, less, outcome_sums
from headrace.domain.quality.regression import Errors, measured
from headrace.domain.quality.score_table import ScoreTable, tabulated
from headrace.domain.quality.statistics import quantiles
from headrace.domain.quality.statistics.exact_sum import ExactSum
from headrace.domain.quality.statistics.quantiles import bucketed
from headrace.domain.scorecards.backfills import backfilled
from headrace.domain.scorecards.partial_aggregate import UNREAD, Tally, counted

kernels: Any = pc  # its stubs know too few of the overloads
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DAY = 86_400_000
_STATES = ("labelled", "presumed")


class PredictionSums:
    """Predictions as sums. `sampled`: whether a sample was drawn from them. `classes`: of the pipeline's model."""

    def __init__(
        self, columns: pa.RecordBatch, sizes: Ints, lateness: int, sampled: bool, classes: tuple[str, ...] = ()
    ) -> None:
        self.sampled = sampled
        self.classes = classes
        self.decided = places_of(columns.column(CLASS), classes) if classes else None
        self.scores = columns.column("score").to_numpy()
        self.flagged = columns.column("decision").to_numpy(zero_copy_only=False)
        predicted, ingested, happened = (
            columns.column(name).cast(pa.int64()).to_numpy() for name in ("predicted_time", "ingest_time", "event_time")
        )
        self.backfilled = backfilled(happened, ingested, lateness)
        self.latency = np.maximum(predicted - ingested, 0).astype(np.float64)
        self.nanos = np.rint(columns.column("compute_micros").to_numpy() * 1000.0).astype(np.int64)
        self.sizes = sizes

    def tally(self, mask: npt.NDArray[np.bool_] | None, cap: int) -> Tally:
        """Sums of the rows of a mask (None: all), with `cap` distinct scores at most."""
        at = slice(None) if mask is None else mask
        scores, flagged, sizes = self.scores[at], self.flagged[at], self.sizes[at]
        latency, waited = self.latency[at], self.backfilled[at]
        counts = counted(
            predictions=len(scores),
            flagged=int(flagged.sum()),
            sampled=int((sizes > 0).sum()),
            bytes=int(sizes.sum()),
            compute_nanos=int(self.nanos[at].sum()),
            backfilled=int(waited.sum()),
            offered=len(scores) if self.sampled else 0,
        )
        return Tally(
            counts,
            predicted=tabulated(scores, np.full(len(scores), np.nan), cap),
            latency=bucketed(latency[~waited]),
            backfill=bucketed(latency[waited]),
            least_flagged=float(scores[flagged].min(initial=np.inf)),
            classes=NO_CLASSES if self.decided is None else decided_sums(self.decided[at], self.classes),
        )


class RepeatSums:
    """Predictions that were published again as sums: they take back what they were counted as."""

    def __init__(self, columns: pa.RecordBatch, classes: tuple[str, ...] = ()) -> None:
        self.scores = columns.column("score").to_numpy()
        self.flagged = columns.column("decision").to_numpy(zero_copy_only=False)
        self.classes = classes
        self.decided = places_of(columns.column(CLASS), classes) if classes else None

    def tally(self, mask: npt.NDArray[np.bool_] | None, cap: int) -> Tally:
        """Sums of the rows of a mask (None: all), with `cap` distinct scores at most."""
        at = slice(None) if mask is None else mask
        scores, flagged = self.scores[at], self.flagged[at]
        count = len(scores)
        gone = tabulated(scores, np.full(count, np.nan), cap)
        return Tally(
            counted(predictions=-count, flagged=-int(flagged.sum()), repeats=count),
            predicted=score_table.replaced(score_table.EMPTY, gone, score_table.EMPTY, cap),
            classes=NO_CLASSES if self.decided is None else decided_sums(self.decided[at], self.classes, -1),
        )


class OutcomeSums:
    """Outcomes as sums; a correction takes back what it corrects.

    Of several classes a label is whether the class was right that was decided on, and the score its chance.
    """

    def __init__(self, columns: pa.RecordBatch, probability: bool, classes: tuple[str, ...] = ()) -> None:
        self.columns = columns
        self.probability = probability
        self.classes = classes
        self.scores = columns.column("score").to_numpy()
        self.flagged = columns.column("decision").to_numpy(zero_copy_only=False)
        self.first = columns.column("revision").to_numpy() == 0
        self.label = _numbers(columns.column("label"))
        self.former = _numbers(columns.column("former_label"))
        if classes:
            self.chances, self.decided = chances_of(columns), places_of(columns.column(CLASS), classes)
            self.truth, self.former_truth = self.label, self.former
            self.label, self.former = self._right(self.truth), self._right(self.former_truth)
        self.states = _flags(columns.column("state"), ("labelled", "presumed"))
        self.former_states = _flags(columns.column("former_state"), ("labelled", "presumed"))
        self.conflicting = columns.column("conflicting").to_numpy(zero_copy_only=False)
        self.delay = _numbers(columns.column("label_delay"))
        self.as_of = columns.column("as_of").cast(pa.int64()).to_numpy()

    def tally(self, mask: npt.NDArray[np.bool_] | None, cap: int) -> Tally:
        """Sums of the rows of a mask (None: all), with `cap` distinct scores at most."""
        at = np.ones(len(self.scores), np.bool_) if mask is None else mask
        corrected = at & ~self.first
        now, before = self._decided(at, self.label), self._decided(corrected, self.former)
        counts = counted(outcomes=int((at & self.first).sum()), corrected=int(corrected.sum()))
        counts += counted(
            conflicting=int((at & self.conflicting & self.first).sum()),
            **{name: int(self.states[name][at].sum() - self.former_states[name][corrected].sum()) for name in _STATES},
            **{name: now[name] - before[name] for name in now},
        )
        known = self._table(at, self.label, cap)
        errors = self._errors(at, self.label)
        classes = self._classes(at, cap)
        if corrected.any():
            known = score_table.replaced(known, self._table(corrected, self.former, cap), score_table.EMPTY, cap)
            errors = _less(errors, self._errors(corrected, self.former))
            classes = self._corrected(classes, corrected, cap)
        delay = self.delay[at]
        return Tally(
            counts,
            known=known,
            errors=errors,
            delay=bucketed(np.maximum(delay[~np.isnan(delay)], 0)),
            as_of=int(self.as_of[at].max(initial=UNREAD)),
            least_flagged=float(self.scores[at & self.flagged].min(initial=np.inf)),
            classes=classes,
        )

    def entities(self) -> pa.Table:
        """For each row its day, its entity, its score, and what it adds to the entity's positives of that day."""
        gained = (self.label > 0).astype(np.int64) - (self.former > 0).astype(np.int64)
        days = self.columns.column("event_time").cast(pa.int64()).to_numpy() // DAY
        return pa.table(
            {"day": days, "entity": self.columns.column("entity"), "score": self.scores, "positives": gained}
        )

    def _decided(self, at: npt.NDArray[np.bool_], labels: Floats) -> dict[str, int]:
        yes, no = at & (labels > 0), at & (labels <= 0)
        return {
            "true_positive": int((yes & self.flagged).sum()),
            "false_positive": int((no & self.flagged).sum()),
            "true_negative": int((no & ~self.flagged).sum()),
            "false_negative": int((yes & ~self.flagged).sum()),
        }

    def _table(self, at: npt.NDArray[np.bool_], labels: Floats, cap: int) -> ScoreTable:
        chances = self.probability or bool(self.classes)
        return tabulated(self.scores[at], labels[at], cap) if chances else score_table.EMPTY

    def _errors(self, at: npt.NDArray[np.bool_], labels: Floats) -> Errors:
        return Errors() if self.probability or self.classes else measured(self.scores[at], labels[at])

    def _right(self, truths: Floats) -> Floats:
        return np.where(np.isnan(truths), np.nan, (truths == self.decided).astype(np.float64))

    def _classes(self, at: npt.NDArray[np.bool_], cap: int) -> ClassSums:
        if not self.classes:
            return NO_CLASSES
        return outcome_sums(self.chances[at], self.decided[at], self.truth[at], self.classes, cap)

    def _corrected(self, sums: ClassSums, at: npt.NDArray[np.bool_], cap: int) -> ClassSums:
        if not self.classes:
            return sums
        former = outcome_sums(self.chances[at], self.decided[at], self.former_truth[at], self.classes, cap)
        return less(sums, former, cap)


def _less(errors: Errors, gone: Errors) -> Errors:
    """Sums without those rows."""
    zero = ExactSum()
    back = Errors(
        -gone.rows,
        zero - gone.error,
        zero - gone.absolute,
        zero - gone.squared,
        zero - gone.label,
        zero - gone.label_squared,
        quantiles.Buckets(gone.sizes.numbers, -gone.sizes.counts, -gone.sizes.zeros),
    )
    return regression.merged([errors, back])


def _numbers(column: Any) -> Floats:
    """float64, NaN for null."""
    found: Floats = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return found


def _flags(column: Any, names: tuple[str, ...]) -> dict[str, npt.NDArray[np.bool_]]:
    return {n: kernels.equal(column, n).fill_null(False).to_numpy(zero_copy_only=False) for n in names}
