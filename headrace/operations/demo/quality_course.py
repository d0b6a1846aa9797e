"""How good each model is over the time of the stream, from outcomes as they come."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.plans.plans import CANARY, CHAMPION
from headrace.domain.quality.ranking import auc_roc, average_precision
from headrace.domain.quality.score_table import LEAST_CAP, tabulated
from headrace.domain.training.dataset import milliseconds

kernels: Any = pc
KEPT = ("event_id", "event_time", "arm", "score", "revision", "label")
PUBLISHED = (CHAMPION, CANARY)
"""Arms whose answers are read by others."""
LEAST_POSITIVES = 10
"""With fewer a figure says nothing."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Of labelled events whose times lie in [start, stop), milliseconds.

    Attributes:
        events, positives: how many.
        answered: the share of them whose published answer is this model's.
        average_precision, auc_roc, brier: None with fewer than `LEAST_POSITIVES` of either class.
    """

    start: int
    stop: int
    events: int
    positives: int
    answered: float
    average_precision: float | None
    auc_roc: float | None
    brier: float | None


@dataclass(frozen=True, slots=True)
class _Rows:
    times: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    labels: npt.NDArray[np.float64]
    published: npt.NDArray[np.bool_]
    titles: pa.ChunkedArray

    def quality(self, mask: npt.NDArray[np.bool_], start: int, stop: int) -> Quality:
        rows = mask & (self.times >= start) & (self.times < stop)
        labels, scores = self.labels[rows], self.scores[rows]
        events, positives = len(labels), int((labels > 0).sum())
        answered = float(self.published[rows].mean()) if events else 0.0
        if min(positives, events - positives) < LEAST_POSITIVES:
            return Quality(start, stop, events, positives, answered, None, None, None)
        table = tabulated(scores, labels, max(LEAST_CAP, events))
        brier = float(np.mean((scores - labels) ** 2))
        return Quality(start, stop, events, positives, answered, average_precision(table), auc_roc(table), brier)


class QualityCourse:
    """Keeps labelled outcomes of all models and answers of them. `take` may be called by another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches: list[pa.RecordBatch] = []

    def take(self, outcomes: pa.RecordBatch) -> None:
        """Take outcomes in; those that tell of a repeat alone, or have no label yet, are left out."""
        titles = kernels.binary_join_element_wise(
            kernels.struct_field(outcomes["model"], "name"), kernels.struct_field(outcomes["model"], "version"), "@"
        )
        columns: list[Any] = [*(outcomes[name] for name in KEPT), titles]
        batch = pa.RecordBatch.from_arrays(columns, names=[*KEPT, "title"])
        known = kernels.and_(kernels.greater_equal(batch["revision"], 0), kernels.is_valid(batch["label"]))
        with self._lock:
            self._batches.append(batch.filter(known))

    def course(self, window: int, origin: int = 0) -> dict[str, list[Quality]]:
        """Of each model, by its title, the windows (milliseconds, from `origin` on) with labelled events of its."""
        rows = self._rows()
        if rows is None:
            return {}
        found: dict[str, list[Quality]] = {}
        for title in dict.fromkeys(rows.titles.to_pylist()):
            own = _flags(kernels.equal(rows.titles, title))
            places = np.unique((rows.times[own & (rows.times >= origin)] - origin) // window).tolist()
            starts = [origin + place * window for place in places]
            found[title] = [rows.quality(own, start, start + window) for start in starts]
        return found

    def published(self, start: int, stop: int) -> Quality:
        """Of the answers that others read, whoever gave them."""
        rows = self._rows()
        if rows is None:
            return Quality(start, stop, 0, 0, 0.0, None, None, None)
        return rows.quality(rows.published, start, stop)

    def of_model(self, title: str, start: int, stop: int) -> Quality:
        """Of one model, in whatever arm."""
        rows = self._rows()
        if rows is None:
            return Quality(start, stop, 0, 0, 0.0, None, None, None)
        return rows.quality(_flags(kernels.equal(rows.titles, title)), start, stop)

    def _rows(self) -> _Rows | None:
        """Each event once for each model, as it was told last."""
        with self._lock:
            batches: Sequence[pa.RecordBatch] = tuple(self._batches)
        if not any(batch.num_rows for batch in batches):
            return None
        table = pa.Table.from_batches(batches)
        revisions = table["revision"].to_numpy()
        if revisions.any():
            # Corrections are few: where there are none, nothing has to be put in order.
            keys = kernels.binary_join_element_wise(table["event_id"], table["title"], " ")
            codes = keys.combine_chunks().dictionary_encode().indices.to_numpy()
            order = np.lexsort((revisions, codes))
            last = np.append(codes[order][1:] != codes[order][:-1], True)
            table = table.take(pa.array(order[last]))
        published = kernels.is_in(table["arm"], value_set=pa.array(PUBLISHED))
        return _Rows(
            milliseconds(table["event_time"]),
            table["score"].to_numpy(),
            table["label"].to_numpy(),
            _flags(published),
            table["title"],
        )


def _flags(column: Any) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.asarray(column.to_numpy(), np.bool_)
    return found
