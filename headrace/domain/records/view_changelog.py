"""view_update records: what a source partition's events, or their labels, mean to a view that another entity keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pyarrow as pa

from headrace.domain.features.label_aggregates import LABEL, LABELLED
from headrace.domain.features.value_columns import names_of
from headrace.domain.features.window_pool import Flags, Floats, Ints
from headrace.domain.pipeline.spec import View
from headrace.errors import ContractError
from headrace.streaming.records.batch import Emit
from headrace.streaming.watermarks.marks import Mark
from headrace.streaming.watermarks.repartition import Spread

arrays: Any = pa  # its stubs know too few of the overloads

EXCHANGE = "exchange"
"""Source of the updates that tell labels; all others come from events."""
OF_LABELS = (LABELLED, LABEL)
"""Value columns of updates that tell labels: change of the number of an entry's labels (1, 0, -1), and of their sum."""


def _nothing() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of several sources, or changes of their labels.

    Attributes:
        entities: whose, as text; null for nobody's, who is told nothing.
        times: of the entries, ms.
        offsets: of the records of the source that led to them.
        values: (entries, value columns).
        mark: which mark each belongs to.
        known: of labels, from when on each is known, ms; empty for entries.
    """

    entities: pa.StringArray
    times: Ints
    offsets: Ints
    values: Floats
    mark: Ints = field(default_factory=_nothing)
    known: Ints = field(default_factory=_nothing)

    def take(self, rows: Flags) -> Entries:
        """The rows of a mask."""
        at = np.flatnonzero(rows)
        entities, known = self.entities.take(pa.array(at)), self.known[at] if len(self.known) else self.known
        return Entries(entities, self.times[at], self.offsets[at], self.values[at], self.mark[at], known)

    def marked(self, mark: int) -> Entries:
        """The same, all of one mark."""
        return replace(self, mark=np.full(len(self.times), mark))


def joined(parts: Sequence[Entries]) -> Entries:
    """All of them, one after the other; at least one."""
    columns = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("times", "offsets", "values", "mark", "known")
    )
    return Entries(arrays.concat_arrays([part.entities for part in parts]), *columns)


def updates(view: View, partitions: int, marks: Sequence[Mark], entries: Entries | None = None) -> Emit:
    """One record for every mark and every partition of the view's topic, with the entries that belong there."""
    if entries is None:
        entries = Entries(
            pa.array([], pa.string()), _nothing(), _nothing(), np.zeros((0, len(view.values))), _nothing()
        )
    return _told(view, "events", names_of(view), partitions, marks, entries)


def label_updates(view: View, partitions: int, marks: Sequence[Mark], changes: Entries) -> Emit:
    """The same of changes of labels, as the exchange knows them."""
    known = changes.entities.is_valid().to_numpy(zero_copy_only=False)
    return _told(view, EXCHANGE, OF_LABELS, partitions, marks, changes if known.all() else changes.take(known))


def _told(
    view: View, source: str, fields: Sequence[str], partitions: int, marks: Sequence[Mark], entries: Entries
) -> Emit:
    spread = Spread(entries.entities, entries.mark, marks, partitions)
    columns = (
        spread.place()
        | spread.bounds()
        | {
            "view": spread.same(view.name),
            "source": spread.same(source),
            "keys": spread.lists(entries.entities),
            "times": spread.lists(entries.times),
            "offsets": spread.lists(entries.offsets),
            "known": spread.lists(entries.known) if source == EXCHANGE else spread.none(pa.list_(pa.int64())),
            "values": _value_columns(fields, spread.size, entries.values[spread.order]),
        }
    )
    return Emit(view.topic, pa.RecordBatch.from_pydict(columns), None, spread.source, spread.target)


def _value_columns(names: Sequence[str], size: Ints, values: Floats) -> pa.Array:
    """For every record a list of value columns, each a name and the values of the record's entries."""
    records, fields = len(size), len(names)
    record = np.repeat(np.arange(records), size)
    column = (record[:, None] * fields + np.arange(fields)).ravel()
    numbers = values.ravel()[np.argsort(column, kind="stable")]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.repeat(size, fields))]).astype(np.int32)
    inner = pa.ListArray.from_arrays(pa.array(ends), pa.array(numbers, pa.float64()))
    named = pa.array(list(names) * records, pa.string())
    structs = pa.StructArray.from_arrays([named, inner], names=["name", "values"])
    outer = pa.array((np.arange(records + 1) * fields).astype(np.int32))
    return cast(pa.Array, pa.ListArray.from_arrays(outer, structs))


@dataclass(frozen=True, slots=True)
class Told:
    """Entries that updates tell: of which update each is, entity, time (ms), values, and of labels from when on each is
    known (ms).
    """

    record: Ints
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
    record = np.repeat(np.arange(len(lengths)), lengths)
    new = _flat(columns, "offsets") >= since[record]
    if new.all():
        return Told(record, entities, times, known, values)
    at = np.flatnonzero(new)
    return Told(record[at], entities.take(pa.array(at)), times[at], known[at] if len(known) else known, values[at])


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
