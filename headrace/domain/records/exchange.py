"""exchange records: what belongs to one event, told to the partition where it meets.

Labels, predictions, and which events views fold labels of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.features.window_pool import Flags, Ints
from headrace.streaming.records.batch import Batch, Emit
from headrace.streaming.watermarks.marks import Mark
from headrace.streaming.watermarks.repartition import Spread

arrays: Any = pa  # its stubs know too few of the overloads

KINDS = ("labels", "predictions", "shadow-predictions", "events")
"""Sources of exchange records, in the order in which a join numbers their partitions."""
MOST_BYTES = 4_000_000
"""Of columns that go into records together: half of what a record may have."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Events of several sources that labels are wanted of.

    Attributes:
        ids: as text; murmur2 of it chooses the partition, so that an event and its labels meet.
        times: ms.
        entities: by view, whom it belongs to; null where that is not known.
        mark: which mark it belongs to.
    """

    ids: pa.StringArray
    times: Ints
    entities: dict[str, pa.StringArray]
    mark: Ints

    def take(self, rows: Flags) -> Labelled:
        """The rows of a mask."""
        at = np.flatnonzero(rows)
        index = pa.array(at)
        entities = {view: column.take(index) for view, column in self.entities.items()}
        return Labelled(self.ids.take(index), self.times[at], entities, self.mark[at])


def exchanges(topic: str, partitions: int, marks: Sequence[Mark], events: Labelled) -> Emit:
    """One record for every mark and every partition of an exchange topic, with the events that belong there."""
    spread = Spread(events.ids, events.mark, marks, partitions)
    views = len(events.entities)
    keys = [spread.lists(column) for column in events.entities.values()]
    # For every record the list of its views, each with the list of its events' entities.
    each = pa.array(np.arange(len(spread) * views).reshape(views, -1).T.ravel())
    names = pa.array(list(events.entities) * len(spread), pa.string())
    of_view = pa.StructArray.from_arrays([names, pa.concat_arrays(keys).take(each)], names=["view", "keys"])
    ends = pa.array((np.arange(len(spread) + 1) * views).astype(np.int32))
    told = {
        "event_ids": spread.lists(events.ids),
        "times": spread.lists(events.times),
        "entities": pa.ListArray.from_arrays(ends, of_view),
    }
    columns = spread.place() | {
        "source": spread.same("events"),
        "events": pa.StructArray.from_arrays(list(told.values()), names=list(told)),
        "predictions": spread.none(pa.list_(pa.null())),
        "labels": spread.none(pa.list_(pa.null())),
    }
    return Emit(topic, pa.RecordBatch.from_pydict(columns), None, spread.source, spread.target)


class Router:
    """Writes labels and predictions: for each batch and source partition one record to every partition of the exchange.

    So each of them hears how far every source is.

    Parameters:
        topic: logical name of the exchange.
        schema: of its columns.
        partitions: that it has.
    """

    def __init__(self, topic: str, schema: pa.Schema, partitions: int) -> None:
        self._topic = topic
        self._schema = schema
        self._partitions = partitions

    def marks(self, topic: str, marks: Sequence[Mark]) -> Emit:
        """Records that tell nothing but marks."""
        nobody = Spread(pa.array([], pa.string()), np.zeros(0, np.int64), marks, self._partitions)
        return self._emit(topic, nobody, None)

    def route(self, batch: Batch, marks: Sequence[Mark]) -> Iterator[Emit]:
        """Rows with the marks of their source partitions, one for each of `batch.runs()`; large batches in parts."""
        if batch.columns.nbytes > MOST_BYTES and len(batch) > 1:
            half = len(batch) // 2
            for part in (batch.slice(slice(0, half)), batch.slice(slice(half, len(batch)))):
                present = {partition for partition, _ in part.runs()}
                yield from self.route(part, [mark for mark in marks if mark.source in present])
            return
        mark = np.zeros(len(batch), np.int64)
        for place, (_, rows) in enumerate(batch.runs()):
            mark[rows] = place
        spread = Spread(batch.columns["event_id"], mark, marks, self._partitions)
        yield self._emit(batch.topic, spread, batch.columns)

    def _emit(self, topic: str, spread: Spread, rows: pa.RecordBatch | None) -> Emit:
        columns = {"source": spread.same(topic)} | spread.place()
        field = "labels" if topic == "labels" else "predictions"
        for name in ("predictions", "labels"):
            kind = self._schema.field(name).type
            if name == field and rows is not None:
                parts = [rows[part.name] for part in kind.value_type]
                told = arrays.StructArray.from_arrays(parts, fields=list(kind.value_type))
                columns[name] = spread.lists(told, kind)
            else:
                columns[name] = spread.none(kind)
        kind = self._schema.field("events").type
        columns["events"] = arrays.StructArray.from_arrays([spread.none(f.type) for f in kind], fields=list(kind))
        return Emit(self._topic, pa.RecordBatch.from_pydict(columns), None, spread.source, spread.target)
