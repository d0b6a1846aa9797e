"""Which labels and predictions can be joined, and which records of the exchange can be folded: columns of one length,
numbers and texts that can be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.classes.columns import CLASS, NO_CLASS, places_of
from headrace.domain.pipeline.spec import Labels
from headrace.domain.pipeline.truth import said_of, truths
from headrace.domain.records.exchange import KINDS
from headrace.streaming.records.batch import PARTITION_BITS, Batch, Reject, set_apart
from services.labels.exchange_batch import headed
from services.labels.join.layout import LEAST_TIME, MOST_TIME

arrays: Any = pa  # its stubs know too few of the overloads
kernels: Any = pc

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
DAY = 86_400_000
MOST_ID = 1_000
"""Bytes of an event id."""
TIMES = {"labels": "label_time", "predictions": "event_time", "shadow-predictions": "event_time"}
"""By source topic: the column that its progress is told by."""
FURTHEST = 1 << 60
"""Of marks, in milliseconds: far enough from the ends of int64 to add durations."""


def checked(batch: Batch, rule: Labels, classes: Sequence[str] = ()) -> tuple[Batch, tuple[Reject, ...]]:
    """The rows that can be joined, labels as what they say, and the others: those that no event could ever have."""
    columns = batch.columns
    size = kernels.binary_length(columns["event_id"]).to_numpy()
    faults = [("event_id", f"an event id has 1 to {MOST_ID} bytes", (size < 1) | (size > MOST_ID))]
    time = columns[TIMES[batch.topic]].cast(pa.int64()).to_numpy()
    strange = (time < LEAST_TIME) | (time > MOST_TIME)
    if batch.topic == "labels":
        value = columns["value"].to_numpy()
        said, nothing = truths(value, rule)
        if said is not value:
            place = columns.schema.get_field_index("value")
            batch = replace(batch, columns=columns.set_column(place, columns.schema.field(place), arrays.array(said)))
        faults += [
            ("not_finite", "a label is a finite number", ~np.isfinite(value)),
            ("no_class", f"the label {said_of(rule)}", nothing),
            (
                "label_time",
                "a label was known when it was written, or a day later at most, and after the year 1",
                (time > batch.timestamp + DAY) | strange,
            ),
        ]
    else:
        own = headed(columns["event_id"], columns["prediction_id"])
        faults.append(("prediction_id", "a prediction's id begins with its event's and a slash", ~own))
        faults.append(("event_time", "an event happened between the years 1 and 4199", strange))
        made = columns["predicted_time"].cast(pa.int64()).to_numpy()
        made = (made < LEAST_TIME) | (made > MOST_TIME)
        faults.append(("predicted_time", "a prediction was made between the years 1 and 4199", made))
        if classes:
            none = places_of(columns[CLASS], classes) == NO_CLASS
            faults.append((CLASS, f"the class decided on is one of {', '.join(classes)}", none))
    return set_apart(batch, faults)


def sound(batch: Batch, views: Iterable[str], classes: Sequence[str] = ()) -> tuple[Batch, tuple[Reject, ...]]:
    """The records of a batch of the exchange that can be folded, and the others, with what is wrong with them.

    Args:
        batch: of the exchange.
        views: those that fold labels; what is said of others is not looked at.
        classes: of the pipeline's model.
    """
    return set_apart(batch, (("not_foldable", why, rows) for why, rows in _faults(batch.columns, views, classes)))


def _faults(columns: pa.RecordBatch, views: Iterable[str], classes: Sequence[str]) -> Iterator[tuple[str, Flags]]:
    known = kernels.is_in(columns["source"], arrays.array(KINDS)).to_numpy(zero_copy_only=False)
    yield f"its source is none of {', '.join(KINDS)}", ~known
    partition = columns["source_partition"].to_numpy()
    yield "it tells of a partition that no topic has", (partition < 0) | (partition >= 1 << PARTITION_BITS)
    for name in ("progress", "time"):
        mark = _times(columns[name])
        yield f"its {name} is beyond all times", (mark < -FURTHEST) | (mark > FURTHEST)
    lists = columns["predictions"]
    rows = arrays.RecordBatch.from_struct_array(lists.flatten())
    strange = _strange(rows["event_time"]) | _strange(rows["predicted_time"]) | _of_size(rows["event_id"], 1)
    strange |= ~headed(rows["event_id"], rows["prediction_id"])
    yield "a prediction has an id or a time that cannot be kept", _any(lists, strange)
    if classes:
        yield "a prediction decided on no class", _any(lists, places_of(rows[CLASS], classes) == NO_CLASS)
    lists = columns["labels"]
    rows = arrays.RecordBatch.from_struct_array(lists.flatten())
    value = rows["value"].to_numpy()
    strange = _strange(rows["label_time"]) | _of_size(rows["event_id"], 1) | ~np.isfinite(value)
    if classes:
        strange |= (value < 0) | (value >= len(classes)) | (value != np.floor(value))
    yield "a label has an id, a time or a value that cannot be kept", _any(lists, strange)
    yield from _of_events(columns["events"], views)


def _of_events(events: pa.StructArray, views: Iterable[str]) -> Iterator[tuple[str, Flags]]:
    ids, told = events.field("event_ids"), events.field("entities")
    yield "an event has an id that cannot be kept", _any(ids, _of_size(ids.flatten(), 0))
    many = _lengths(ids)
    yield "its events have not as many times as ids", _lengths(events.field("times")) != many
    parts = told.flatten()
    parent = kernels.list_parent_indices(told).to_numpy(zero_copy_only=False)
    sizes = _lengths(parts.field("keys"))
    for view in views:
        of_view = kernels.equal(parts.field("view"), view).to_numpy(zero_copy_only=False)
        whose = parent[of_view]
        uneven = np.bincount(whose, minlength=len(events)) > 1
        uneven[whose[sizes[of_view] != many[whose]]] = True
        yield f"its events have not as many entities of {view} as ids", uneven


def _any(lists: pa.ListArray, items: Flags) -> Flags:
    """Lists with an item that is marked."""
    counted = np.concatenate([np.zeros(1, np.int64), np.cumsum(items)])
    ends = lists.offsets.to_numpy()
    ends = ends - ends[0]
    found: Flags = counted[ends[1:]] > counted[ends[:-1]]
    return found


def _lengths(lists: pa.ListArray) -> Ints:
    found: Ints = lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _of_size(texts: pa.StringArray, least: int) -> Flags:
    size = kernels.binary_length(texts).to_numpy(zero_copy_only=False)
    found: Flags = (size < least) | (size > MOST_ID)
    return found


def _strange(times: pa.Array) -> Flags:
    found = _times(times)
    strange: Flags = (found < LEAST_TIME) | (found > MOST_TIME)
    return strange


def _times(column: pa.Array) -> Ints:
    found: Ints = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found
