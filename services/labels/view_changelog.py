"""view_update records: what turned out to be true of the entries of a view that another entity keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.spec import View
from headrace.streaming.records.batch import Emit, unslot
from services.labels.join.layout import NEVER, UNSEEN

arrays: Any = pa  # its stubs know too few of the overloads

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
VALUES = ("labelled", "label")
"""Value columns: change of the number of labels of an entry (1, 0, -1), and of their sum."""
_MILLIS = pa.timestamp("ms", tz="UTC")
_PROGRESS, _IDLE, _HEARD = range(3)


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of labels: whose (null: nobody's), of an event at `times`, known from `known` on; values (rows, 2).

    `offsets`: of the exchange records that led to them; `mark`: which mark each belongs to.
    """

    entities: pa.StringArray
    times: Ints
    known: Ints
    values: Floats
    offsets: Ints
    mark: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def marked(self, mark: int) -> Changes:
        """The same, all of one mark."""
        return replace(self, mark=np.full(len(self.times), mark))


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a partition of the exchange is, for one view; `progress` and the rest as in the view update's schema.

    `sure`: all labels up to this label time are told, whoever is idle.
    """

    slot: int
    next_offset: int
    progress: int
    time: int
    idle: bool
    sure: int


def joined(parts: Sequence[Changes]) -> Changes:
    """All of them, one after the other; at least one."""
    names = ("times", "known", "values", "offsets", "mark")
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return Changes(arrays.concat_arrays([part.entities for part in parts]), *columns)


def reached(view: View, lateness: int, labels: Ints, events: Ints) -> tuple[int, int, bool, int]:
    """Progress, clock, idleness and what is sure that follow from sources (rows as `Join.sources`).

    Labels up to `progress` are told, of events that may be as late as `lateness`, as far as sources are awake. When
    some are idle, the clock says when the one longest out of sight was last seen at its end; else when the source that
    was heard of least lately was.
    """
    slack = view.delay - min(lateness + 1, view.delay)
    known = np.concatenate(
        [labels[:, _PROGRESS], np.where(events[:, _PROGRESS] == NEVER, NEVER, events[:, _PROGRESS] + slack)]
    )
    seen = np.concatenate([labels, events])
    idle = seen[:, _IDLE] != NEVER
    sure = max(int(known.min()), UNSEEN)
    if not idle.any():
        return sure, max(int(seen[:, _HEARD].min()), 0), False, sure
    time = int(seen[idle, _IDLE].min())
    return (time if idle.all() else max(int(known[~idle].min()), UNSEEN)), time, True, sure


def updates(view: View, partitions: int, marks: Sequence[Mark], changes: Changes) -> Emit:
    """One record for every mark and every partition of the view's topic, with the changes that belong there."""
    whose = changes.entities
    rows = np.flatnonzero(whose.is_valid().to_numpy(zero_copy_only=False))
    records = len(marks) * partitions
    kept = whose.take(pa.array(rows))
    record = changes.mark[rows] * partitions + partitions_of(kept, partitions)
    order = np.argsort(record, kind="stable")
    rows, size = rows[order], np.bincount(record, minlength=records)
    ends = pa.array(np.concatenate([np.zeros(1, np.int64), np.cumsum(size)]).astype(np.int32))
    each = np.repeat(np.arange(len(marks)), partitions)

    def of_marks(numbers: Sequence[int | bool], kind: pa.DataType | None = None) -> pa.Array:
        return pa.array(np.asarray(numbers)[each], kind)

    def lists(numbers: Ints) -> pa.Array:
        return pa.ListArray.from_arrays(ends, pa.array(numbers[rows]))

    columns = {
        "view": pa.array([view.name] * records, pa.string()),
        "source": pa.array(["exchange"] * records, pa.string()),
        "source_partition": of_marks([unslot(mark.slot)[1] for mark in marks]).cast(pa.int32()),
        "next_offset": of_marks([mark.next_offset for mark in marks]),
        "progress": of_marks([mark.progress for mark in marks], _MILLIS),
        "floor": of_marks([mark.sure for mark in marks], _MILLIS),
        "idle": of_marks([mark.idle for mark in marks]),
        "time": of_marks([mark.time for mark in marks], _MILLIS),
        "keys": pa.ListArray.from_arrays(ends, kept.take(pa.array(order))),
        "times": lists(changes.times),
        "offsets": lists(changes.offsets),
        "known": lists(changes.known),
        "values": _value_columns(size, changes.values[rows]),
    }
    slots = np.array([mark.slot for mark in marks], np.int32)[each]
    target = np.tile(np.arange(partitions, dtype=np.int32), len(marks))
    return Emit(f"view.{view.name}", pa.RecordBatch.from_pydict(columns), None, slots, target)


def _value_columns(size: Ints, values: Floats) -> pa.Array:
    """For every record a list of the value columns, each a name and the values of the record's changes, in order."""
    records, fields = len(size), len(VALUES)
    record = np.repeat(np.arange(records), size)
    column = (record[:, None] * fields + np.arange(fields)).ravel()
    numbers = values.ravel()[np.argsort(column, kind="stable")]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.repeat(size, fields))]).astype(np.int32)
    inner = pa.ListArray.from_arrays(pa.array(ends), pa.array(numbers, pa.float64()))
    names = pa.array(list(VALUES) * records, pa.string())
    structs = pa.StructArray.from_arrays([names, inner], names=["name", "values"])
    return pa.ListArray.from_arrays(pa.array((np.arange(records + 1) * fields).astype(np.int32)), structs)
