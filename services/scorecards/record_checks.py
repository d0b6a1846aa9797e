"""Which records can be counted, and why others cannot: sums hold no infinity, and calendars end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.pipeline.classes.columns import CLASS, NO_CLASS, chances_of, places_of
from headrace.domain.scorecards.partial_aggregate import unpack
from headrace.errors import ContractError
from headrace.streaming.records.batch import Batch, Reject, set_apart
from headrace.streaming.watermarks.event_time import EARLIEST, LATEST

Flags = npt.NDArray[np.bool_]
FURTHEST = 1 << 60
"""Milliseconds: windows may begin before the first year, and end after the last."""
LARGEST = 1e300
"""Of scores and labels: the distance between two of them, too, is a number."""
LONGEST_MICROS = 1e9
"""Of one score: sums of more would end with the integers."""


def sound(batch: Batch, parts: str, classes: Sequence[str] = ()) -> tuple[Batch, tuple[Reject, ...]]:
    """The rows of a batch that can be folded, and the others.

    Args:
        batch: predictions, outcomes or, where the topic is `parts`, sums of them.
        parts: name of that topic.
        classes: of the pipeline's model.
    """
    if batch.topic == parts:
        return set_apart(batch, _of_parts(batch.columns))
    faults = list(_of_answers(batch.columns))
    return set_apart(batch, [*faults, *_of_classes(batch.columns, classes)] if classes else faults)


def _of_answers(columns: pa.RecordBatch) -> Iterator[tuple[str, str, Flags]]:
    yield "event_time", "an event happened between the years 1 and 9999", _strange(columns["event_time"])
    names = ["score", *(name for name in ("label", "former_label") if name in columns.schema.names)]
    for name in names:
        rows = _numbers(columns[name], 0.0)
        yield name, f"{name} is no number up to {LARGEST:g}", ~(np.abs(rows) <= LARGEST)
    if "compute_micros" in columns.schema.names:
        cost = _numbers(columns["compute_micros"], 0.0)
        yield "compute_micros", "what a score cost is 0 to 1,000 seconds", ~((cost >= 0) & (cost <= LONGEST_MICROS))


def _of_classes(columns: pa.RecordBatch, classes: Sequence[str]) -> Iterator[tuple[str, str, Flags]]:
    known = f"one of {', '.join(classes)}"
    yield CLASS, f"the class decided on is {known}", places_of(columns[CLASS], classes) == NO_CLASS
    chances = chances_of(columns)
    yield "scores", "the chance of each class is 0 to 1", ~np.all((chances >= 0) & (chances <= 1), axis=1)
    for name in (name for name in ("label", "former_label") if name in columns.schema.names):
        place = _numbers(columns[name], 0.0)
        strange = (place < 0) | (place >= len(classes)) | (place != np.floor(place))
        yield name, f"{name} is the place of {known}", strange


def _of_parts(columns: pa.RecordBatch) -> Iterator[tuple[str, str, Flags]]:
    starts = columns["window_start"].cast(pa.int64()).to_numpy(zero_copy_only=False)
    yield "window_start", "its window is beyond all times", (starts < -FURTHEST) | (starts > FURTHEST)
    broken = np.zeros(columns.num_rows, np.bool_)
    for row, payload in enumerate(columns["payload"].to_pylist()):  # a row stands for thousands of predictions
        try:
            unpack(payload)
        except ContractError:
            broken[row] = True
    yield "payload", "its sums are none of ours, or damaged", broken


def _strange(times: Any) -> Flags:
    found = times.cast(pa.int64()).to_numpy(zero_copy_only=False)
    strange: Flags = (found < EARLIEST) | (found > LATEST)
    return strange


def _numbers(column: Any, missing: float) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64]
    found = column.cast(pa.float64()).fill_null(missing).to_numpy(zero_copy_only=False)
    return found
