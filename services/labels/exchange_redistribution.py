"""Records of the exchange that nobody folded yet, told anew for another number of partitions.

A mark says that all of a source up to it was told. Where records of several partitions are told one after the other
that would be said too soon; so those that carry what they told carry the marks of before, and the new marks come last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.domain.records.exchange import KINDS, MOST_BYTES
from services.labels.join.layout import NEVER, UNSEEN

arrays: Any = pa  # its stubs know too few of the overloads

Ints = npt.NDArray[np.int64]
Partitions = npt.NDArray[np.int32]
Source = tuple[str, int]
"""A topic and its partition."""


@dataclass(frozen=True, slots=True, order=True)
class Marked:
    """How far a source partition is, as records of the exchange say it; the least comes first."""

    time: int
    progress: int
    idle: bool
    next_offset: int = 0


def marks_of(sources: Ints, counts: Mapping[str, int]) -> dict[Source, Marked]:
    """What a join knows of its sources, as records would tell it again; those that it never heard of are left out."""
    names = [(kind, partition) for kind in KINDS for partition in range(counts[kind])]
    return {
        name: Marked(max(idle, heard), UNSEEN if progress == NEVER else progress, idle != NEVER)
        for name, (progress, idle, heard) in zip(names, sources.tolist(), strict=True)
        if heard != NEVER
    }


def marked(columns: pa.RecordBatch) -> dict[Source, Marked]:
    """The last mark of each source among some records."""
    numbers = [columns[name].cast(pa.int64()).to_pylist() for name in ("time", "progress", "next_offset")]
    whose = zip(columns["source"].to_pylist(), columns["source_partition"].to_pylist(), strict=True)
    rows = zip(*numbers, columns["idle"].to_pylist(), strict=True)
    return {
        source: Marked(time, progress, idle, next_offset)
        for source, (time, progress, next_offset, idle) in zip(whose, rows, strict=True)
    }


def told_anew(
    columns: pa.RecordBatch, partitions: int, known: Mapping[Source, Marked]
) -> Iterator[tuple[pa.RecordBatch, Partitions]]:
    """What some records tell as records for so many partitions: (records, partition of each).

    Args:
        columns: of the exchange.
        partitions: that it has now.
        known: the marks that those who will read it know already; they are repeated.
    """
    if columns.nbytes > MOST_BYTES and columns.num_rows > 1:
        half = columns.num_rows // 2
        for part in (columns.slice(0, half), columns.slice(half)):
            yield from told_anew(part, partitions, known)
        return
    whose = list(zip(columns["source"].to_pylist(), columns["source_partition"].to_pylist(), strict=True))
    told = _heads(whose, known, partitions)
    for name in ("predictions", "labels"):
        lists = columns[name]
        items = lists.flatten()
        told[name] = _Spread(_homes(lists, items.field("event_id"), partitions), len(whose) * partitions).lists(items)
    told["events"] = _events(columns["events"], partitions)
    yield _batch(told, columns.schema, partitions)


def marks_anew(schema: pa.Schema, marks: Mapping[Source, Marked], partitions: int) -> tuple[pa.RecordBatch, Partitions]:
    """Records that tell nothing but marks, each to every partition."""
    told = _heads(list(marks), marks, partitions)
    nothing: dict[str, Any] = {"event_ids": [], "times": [], "entities": []}
    records = len(marks) * partitions
    for name, value in (("predictions", []), ("labels", []), ("events", nothing)):
        told[name] = pa.array([value] * records, schema.field(name).type)
    return _batch(told, schema, partitions)


class _Spread:
    """Which of so many lists each item goes into; those of one stay in their order."""

    def __init__(self, which: Ints, lists: int) -> None:
        self._order = pa.array(np.argsort(which, kind="stable"))
        size = np.bincount(which, minlength=lists)
        self._ends = pa.array(np.concatenate([np.zeros(1, np.int64), np.cumsum(size)]).astype(np.int32))

    def lists(self, items: pa.Array) -> pa.ListArray:
        return arrays.ListArray.from_arrays(self._ends, items.take(self._order))


def _homes(lists: pa.ListArray, ids: pa.StringArray, partitions: int) -> Ints:
    """For each item of some lists the record that it goes into: each list becomes one a partition."""
    homes = partitions_of(ids, partitions).astype(np.int64) if len(ids) else np.zeros(0, np.int64)
    found: Ints = np.repeat(np.arange(len(lists)) * partitions, _lengths(lists)) + homes
    return found


def _events(events: pa.StructArray, partitions: int) -> pa.StructArray:
    ids, told = events.field("event_ids"), events.field("entities")
    homes = _homes(ids, ids.flatten(), partitions)
    spread = _Spread(homes, len(events) * partitions)
    parts, parent = told.flatten(), np.repeat(np.arange(len(events)), _lengths(told))
    many, keys = _lengths(ids), parts.field("keys")
    kept = _lengths(keys) == many[parent]  # Of views that fold labels no more nobody reads the others.
    views, keys, parent = parts.field("view").filter(pa.array(kept)), keys.filter(pa.array(kept)), parent[kept]
    number = np.bincount(parent, minlength=len(events))
    before = np.cumsum(number) - number
    local = np.arange(len(parent)) - before[parent]
    # Of each record and partition one list a view: those of record r begin at partitions * before[r].
    first = np.cumsum(many) - many
    item = np.repeat(first[parent] - (np.cumsum(many[parent]) - many[parent]), many[parent])
    home = homes[item + np.arange(len(item))] - np.repeat(parent * partitions, many[parent])
    which = np.repeat(partitions * before[parent] + local, many[parent]) + home * np.repeat(
        number[parent], many[parent]
    )
    whole = partitions * len(parent)
    row = np.repeat(np.arange(len(events)), partitions * number)
    step = np.arange(whole) - partitions * before[row]
    names = views.take(pa.array(before[row] + step % np.maximum(number[row], 1)))
    of_views = pa.StructArray.from_arrays([names, _Spread(which, whole).lists(keys.flatten())], names=["view", "keys"])
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.repeat(number, partitions))]).astype(np.int32)
    entities = arrays.ListArray.from_arrays(pa.array(ends), of_views)
    columns = [spread.lists(ids.flatten()), spread.lists(events.field("times").flatten()), entities]
    return pa.StructArray.from_arrays(columns, names=["event_ids", "times", "entities"])


def _heads(sources: Sequence[Source], marks: Mapping[Source, Marked], partitions: int) -> dict[str, pa.Array]:
    """What records say of their sources, each in every partition."""
    nothing = Marked(0, UNSEEN, False)
    each = [source for source in sources for _ in range(partitions)]
    said = [marks.get(source, nothing) for source in each]
    return {
        "source": pa.array([topic for topic, _ in each], pa.string()),
        "source_partition": pa.array([partition for _, partition in each], pa.int32()),
        "next_offset": pa.array([mark.next_offset for mark in said], pa.int64()),
        "progress": pa.array([mark.progress for mark in said], pa.int64()),
        "idle": pa.array([mark.idle for mark in said], pa.bool_()),
        "time": pa.array([mark.time for mark in said], pa.int64()),
    }


def _lengths(lists: pa.ListArray) -> Ints:
    found: Ints = lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _batch(columns: Mapping[str, pa.Array], schema: pa.Schema, partitions: int) -> tuple[pa.RecordBatch, Partitions]:
    """The records of all partitions, one after the other, and whose each is."""
    each = [columns[field.name].cast(field.type) for field in schema]
    records = arrays.RecordBatch.from_arrays(each, schema=schema)
    return records, np.tile(np.arange(partitions, dtype=np.int32), len(records) // partitions)
