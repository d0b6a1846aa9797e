"""Records of the exchange that nobody folded yet, told anew for another number of partitions.

A mark says that all of a source up to it was told. Where records of several partitions are told one after the other
that would be said too soon; so those that carry what they told carry the marks of before, and the new marks come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.domain.records.exchange import KINDS, MOST_BYTES
from headrace.streaming.watermarks.marks import Mark
from headrace.streaming.watermarks.repartition import Lists, Spread
from services.labels.join.layout import ADDED, NEVER, UNSEEN

arrays: Any = pa  # its stubs know too few of the overloads

Ints = npt.NDArray[np.int64]
Partitions = npt.NDArray[np.int32]
Source = tuple[str, int]
"""A topic and its partition."""


def least(marks: Iterable[Mark]) -> Mark:
    """Of marks of one source the one that says least."""
    return min(marks, key=lambda mark: (mark.time, mark.progress, mark.idle, mark.next_offset))


def marks_of(sources: Ints, counts: Mapping[str, int]) -> dict[Source, Mark]:
    """What a join knows of its sources, as records would tell it again; those that it never heard of are left out."""
    names = [(kind, partition) for kind in KINDS for partition in range(counts[kind])]
    return {
        name: Mark(name[1], 0, UNSEEN if progress == NEVER else progress, max(idle, heard), idle != NEVER)
        for name, (progress, idle, heard) in zip(names, sources.tolist(), strict=True)
        if heard > ADDED
    }


def marked(columns: pa.RecordBatch) -> dict[Source, Mark]:
    """The last mark of each source among some records."""
    numbers = [columns[name].cast(pa.int64()).to_pylist() for name in ("next_offset", "progress", "time")]
    whose = zip(columns["source"].to_pylist(), columns["source_partition"].to_pylist(), strict=True)
    rows = zip(*numbers, columns["idle"].to_pylist(), strict=True)
    return {
        source: Mark(source[1], next_offset, progress, time, idle)
        for source, (next_offset, progress, time, idle) in zip(whose, rows, strict=True)
    }


def told_anew(
    columns: pa.RecordBatch, partitions: int, known: Mapping[Source, Mark]
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
    marks = [known.get(source, Mark(source[1], 0, UNSEEN, 0)) for source in whose]
    told = _heads(whose, marks, partitions)
    for name in ("predictions", "labels"):
        lists = columns[name]
        items = lists.flatten()
        record = np.repeat(np.arange(len(lists)), _lengths(lists))
        told[name] = Spread(items.field("event_id"), record, marks, partitions).lists(items)
    told["events"] = _events(columns["events"], partitions)
    yield _batch(told, columns.schema, partitions)


def marks_anew(schema: pa.Schema, marks: Mapping[Source, Mark], partitions: int) -> tuple[pa.RecordBatch, Partitions]:
    """Records that tell nothing but marks, each to every partition."""
    told = _heads(list(marks), list(marks.values()), partitions)
    nothing: dict[str, Any] = {"event_ids": [], "times": [], "entities": []}
    records = len(marks) * partitions
    for name, value in (("predictions", []), ("labels", []), ("events", nothing)):
        told[name] = pa.array([value] * records, schema.field(name).type)
    return _batch(told, schema, partitions)


def _homes(lists: pa.ListArray, ids: pa.StringArray, partitions: int) -> Ints:
    """For each item of some lists the record that it goes into: each list becomes one a partition."""
    homes = partitions_of(ids, partitions).astype(np.int64) if len(ids) else np.zeros(0, np.int64)
    found: Ints = np.repeat(np.arange(len(lists)) * partitions, _lengths(lists)) + homes
    return found


def _events(events: pa.StructArray, partitions: int) -> pa.StructArray:
    ids, told = events.field("event_ids"), events.field("entities")
    homes = _homes(ids, ids.flatten(), partitions)
    spread = Lists(homes, len(events) * partitions)
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
    of_views = pa.StructArray.from_arrays([names, Lists(which, whole).lists(keys.flatten())], names=["view", "keys"])
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.repeat(number, partitions))]).astype(np.int32)
    entities = arrays.ListArray.from_arrays(pa.array(ends), of_views)
    columns = [spread.lists(ids.flatten()), spread.lists(events.field("times").flatten()), entities]
    return pa.StructArray.from_arrays(columns, names=["event_ids", "times", "entities"])


def _heads(sources: Sequence[Source], marks: Sequence[Mark], partitions: int) -> dict[str, pa.Array]:
    """What records say of their sources, each in every partition."""
    place = Spread(pa.array([], pa.string()), np.zeros(0, np.int64), marks, partitions).place()
    return place | {"source": pa.array([topic for topic, _ in sources for _ in range(partitions)], pa.string())}


def _lengths(lists: pa.ListArray) -> Ints:
    found: Ints = lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _batch(columns: Mapping[str, pa.Array], schema: pa.Schema, partitions: int) -> tuple[pa.RecordBatch, Partitions]:
    """The records of all partitions, one after the other, and whose each is."""
    each = [columns[field.name].cast(field.type) for field in schema]
    records = arrays.RecordBatch.from_arrays(each, schema=schema)
    return records, np.tile(np.arange(partitions, dtype=np.int32), len(records) // partitions)
