"""view_update records: what the events of a source partition mean to a view that another entity keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.domain.features.window_kernels import Flags, Floats, Ints
from headrace.domain.pipeline.spec import View
from headrace.errors import ContractError
from headrace.streaming.records.batch import Emit

MILLIS = pa.timestamp("ms", tz="UTC")
EXCHANGE = "exchange"
"""Source of the updates that tell labels; all others come from events."""
NOTHING = -(1 << 60)
"""A time before all that events may have, which a floor may be; see `soundness`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a source partition is.

    Attributes:
        source: the partition.
        next_offset: all its records below this offset are told.
        progress: how far its event time has credibly come (see `event_time`); the year 1 when there was none.
        floor: nothing at or before this time will be asked for by its events; NOTHING while any time may be.
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


class Spread:
    """How entries fall to records: one record for every mark and every partition of a topic.

    Parameters:
        keys: what decides on the partition of each entry; its mark stands in `mark`.
        marks: of the sources.
        partitions: of the topic.

    Attributes:
        source, target: int32, by record: source partition, and partition of the topic.
        size: entries of each record.
        order: the entries, those of a record together, in their own order.
    """

    def __init__(self, keys: pa.StringArray, mark: Ints, marks: Sequence[Mark], partitions: int) -> None:
        records = len(marks) * partitions
        record = mark * partitions + partitions_of(keys, partitions)
        self.size: Ints = np.bincount(record, minlength=records)
        self.order: Ints = np.argsort(record, kind="stable")
        self._each = np.repeat(np.arange(len(marks)), partitions)
        self._marks = marks
        self.source = np.array([mark.source for mark in marks], np.int32)[self._each]
        self.target = np.tile(np.arange(partitions, dtype=np.int32), len(marks))

    def __len__(self) -> int:
        return len(self.size)

    def lists(self, entries: pa.Array | Ints) -> pa.ListArray:
        """For every record the list of its entries."""
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.size)]).astype(np.int32)
        ordered = (
            pa.array(entries[self.order]) if isinstance(entries, np.ndarray) else entries.take(pa.array(self.order))
        )
        return pa.ListArray.from_arrays(pa.array(ends), ordered)

    def none(self, kind: pa.DataType) -> pa.ListArray:
        """For every record an empty list."""
        return pa.ListArray.from_arrays(pa.array(np.zeros(len(self) + 1, np.int32)), pa.nulls(0, kind))

    def same(self, word: str) -> pa.StringArray:
        """The same word for every record."""
        return pa.array([word] * len(self), pa.string())

    def place(self) -> dict[str, pa.Array]:
        """What a record says of its mark, but for the floor."""
        marks = self._marks
        return {
            "source_partition": pa.array(self.source),
            "next_offset": self.of_marks([mark.next_offset for mark in marks]),
            "progress": self.of_marks([mark.progress for mark in marks], MILLIS),
            "idle": self.of_marks([mark.idle for mark in marks]),
            "time": self.of_marks([mark.time for mark in marks], MILLIS),
        }

    def of_marks(self, numbers: Sequence[int | bool], kind: pa.DataType | None = None) -> pa.Array:
        """For every record the number of its mark."""
        return pa.array(np.asarray(numbers)[self._each], kind)


def updates(view: View, partitions: int, marks: Sequence[Mark], entries: Entries | None = None) -> Emit:
    """One record for every mark and every partition of the view's topic, with the entries that belong there."""
    if entries is None:
        nothing = np.zeros(0, np.int64)
        entries = Entries(pa.array([], pa.string()), nothing, nothing, np.zeros((0, len(view.fields))), nothing)
    spread = Spread(entries.entities, entries.mark, marks, partitions)
    columns = spread.place() | {
        "view": spread.same(view.name),
        "source": spread.same("events"),
        "floor": spread.of_marks([mark.floor for mark in marks], MILLIS),
        "keys": spread.lists(entries.entities),
        "times": spread.lists(entries.times),
        "offsets": spread.lists(entries.offsets),
        "known": spread.none(pa.int64()),
        "values": _value_columns(view, spread.size, entries.values[spread.order]),
    }
    return Emit(f"view.{view.name}", pa.RecordBatch.from_pydict(columns), None, spread.source, spread.target)


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


@dataclass(frozen=True, slots=True)
class Told:
    """Entries that updates tell: entity, time (ms), values, and of labels from when on each is known (ms)."""

    entities: pa.StringArray
    times: Ints
    known: Ints
    values: Floats


def read(columns: pa.RecordBatch, since: Ints, names: Sequence[str]) -> Told:
    """The entries of updates that are new: at or beyond the source offset that `since` says for each update.

    Raises ContractError when an update has not the value columns of these names.
    """
    lengths = columns.column("keys").value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    entities, times, known = columns.column("keys").flatten(), _flat(columns, "times"), _flat(columns, "known")
    values = _values(columns, lengths, names)
    new = _flat(columns, "offsets") >= np.repeat(since, lengths)
    if new.all():
        return Told(entities, times, known, values)
    at = np.flatnonzero(new)
    return Told(entities.take(pa.array(at)), times[at], known[at] if len(known) else known, values[at])


def _flat(columns: pa.RecordBatch, name: str) -> Ints:
    return columns.column(name).flatten().to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]  # pyarrow says Any


def _values(columns: pa.RecordBatch, lengths: Ints, names: Sequence[str]) -> Floats:
    """Value columns of all entries, (entries, names)."""
    values = np.empty((int(lengths.sum()), len(names)))
    if not names:
        return values
    parts = columns.column("values").flatten()
    told, wanted = parts.field("name"), pa.array(list(names) * len(lengths), pa.string())
    if not told.equals(wanted):
        raise ContractError(f"a view update tells {told.unique().to_pylist()}, the view needs {list(names)}")
    numbers = parts.field("values").flatten().to_numpy(zero_copy_only=False)
    column = np.repeat(np.tile(np.arange(len(names)), len(lengths)), np.repeat(lengths, len(names)))
    for at in range(len(names)):
        values[:, at] = numbers[column == at]
    return values
