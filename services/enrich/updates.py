"""view_update records: what the events of a source partition mean to a view that another entity keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from services.enrich.entries import Flags, Floats, Ints
from services.enrich.index import partitions_of
from services.kit.batch import Emit
from services.pipeline.spec import View

_MILLIS = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a source partition is.

    Attributes:
        source: the partition.
        next_offset: all its records below this offset are told.
        progress: largest event time seen; 0 when there was none.
        floor: nothing at or before this time will be asked for by its events.
        time: milliseconds of the clock, not of events: when the newest of its records was written or, if it is idle,
            when it was last seen at its end.
        idle: it stayed at its end for so long that nobody should wait for it.
    """

    source: int
    next_offset: int
    progress: int
    floor: int
    time: int
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of several sources: entity (text), time (ms), offset and values of each, and which mark it belongs to."""

    entities: pa.StringArray
    times: Ints
    offsets: Ints
    values: Floats
    mark: Ints

    def take(self, rows: Flags) -> Entries:
        """The rows of a mask."""
        at = np.flatnonzero(rows)
        entities = self.entities.take(pa.array(at))
        return Entries(entities, self.times[at], self.offsets[at], self.values[at], self.mark[at])


def updates(view: View, partitions: int, marks: Sequence[Mark], entries: Entries | None = None) -> Emit:
    """One record for every mark and every partition of the view's topic, with the entries that belong there."""
    records = len(marks) * partitions
    if entries is None or not len(entries.times):
        size = np.zeros(records, np.int64)
        order = np.zeros(0, np.int64)
        lists = [pa.array([], pa.string()), np.zeros(0, np.int64), np.zeros(0, np.int64)]
        values = np.zeros((0, len(view.fields)))
    else:
        record = entries.mark * partitions + partitions_of(entries.entities, partitions)
        size = np.bincount(record, minlength=records)
        order = np.argsort(record, kind="stable")
        lists = [entries.entities.take(pa.array(order)), entries.times[order], entries.offsets[order]]
        values = entries.values[order]
    ends = pa.array(np.concatenate([np.zeros(1, np.int64), np.cumsum(size)]).astype(np.int32))
    each = np.repeat(np.arange(len(marks)), partitions)
    target = np.tile(np.arange(partitions, dtype=np.int32), len(marks))
    source = np.array([mark.source for mark in marks], np.int32)[each]

    def of_marks(numbers: Sequence[int | bool], kind: pa.DataType | None = None) -> pa.Array:
        return pa.array(np.asarray(numbers)[each], kind)

    columns = {
        "view": pa.array([view.name] * records, pa.string()),
        "source": pa.array(["events"] * records, pa.string()),
        "source_partition": pa.array(source),
        "next_offset": of_marks([mark.next_offset for mark in marks]),
        "progress": of_marks([mark.progress for mark in marks], _MILLIS),
        "floor": of_marks([mark.floor for mark in marks], _MILLIS),
        "idle": of_marks([mark.idle for mark in marks]),
        "time": of_marks([mark.time for mark in marks], _MILLIS),
        "keys": pa.ListArray.from_arrays(ends, lists[0]),
        "times": pa.ListArray.from_arrays(ends, pa.array(lists[1])),
        "offsets": pa.ListArray.from_arrays(ends, pa.array(lists[2])),
        "known": pa.ListArray.from_arrays(pa.array(np.zeros(records + 1, np.int32)), pa.array([], pa.int64())),
        "values": _value_columns(view, size, values),
    }
    return Emit(f"view.{view.name}", pa.RecordBatch.from_pydict(columns), None, source, target)


def _value_columns(view: View, size: Ints, values: Floats) -> pa.Array:
    """For every record a list of the view's value columns, each a name and the values of the record's entries."""
    records, fields = len(size), len(view.fields)
    record = np.repeat(np.arange(records), size)
    column = (record[:, None] * fields + np.arange(fields)).ravel()
    numbers = values.ravel()[np.argsort(column, kind="stable")]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.repeat(size, fields))]).astype(np.int32)
    inner = pa.ListArray.from_arrays(pa.array(ends), pa.array(numbers, pa.float64()))
    names = pa.array(list(view.fields) * records, pa.string())
    structs = pa.StructArray.from_arrays([names, inner], names=["name", "values"])
    outer = pa.array((np.arange(records + 1) * fields).astype(np.int32))
    return cast(pa.Array, pa.ListArray.from_arrays(outer, structs))
