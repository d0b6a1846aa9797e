"""exchange records: which events views fold labels of, told to the partitions where their labels come by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.domain.features.window_kernels import Flags, Ints
from headrace.domain.records.view_changelog import EXCHANGE, Mark, Spread
from headrace.streaming.records.batch import Emit


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


def exchanges(partitions: int, marks: Sequence[Mark], events: Labelled) -> Emit:
    """One record for every mark and every partition of the exchange topic, with the events that belong there."""
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
        "predictions": spread.none(pa.null()),
        "labels": spread.none(pa.null()),
    }
    return Emit(EXCHANGE, pa.RecordBatch.from_pydict(columns), None, spread.source, spread.target)
