"""Labels and predictions on their way to the partition of the exchange where those of one event meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.spec import Labels
from headrace.domain.pipeline.truth import said_of, truths
from headrace.streaming.records.batch import Batch, Emit, Reject, unslot
from services.labels.exchange_batch import headed
from services.labels.join.layout import LEAST_TIME, MOST_TIME

arrays: Any = pa  # its stubs know too few of the overloads
kernels: Any = pc

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
DAY = 86_400_000
MOST_ID = 1_000
"""Bytes of an event id."""
MOST_BYTES = 4_000_000
"""Of columns that go into records together: half of what a record may have."""
TIMES = {"labels": "label_time", "predictions": "event_time", "shadow-predictions": "event_time"}
"""By source topic: the column that its progress is told by."""
_MILLIS = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a source partition is: `slot` names it among the service's inputs; the rest as in the exchange schema."""

    slot: int
    next_offset: int
    progress: int
    time: int
    idle: bool = False


def checked(batch: Batch, rule: Labels) -> tuple[Batch, list[Reject]]:
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
    bad: Flags = np.any([rows for _, _, rows in faults], axis=0)
    if not bad.any():
        return batch, []
    rejects = []
    for row in np.flatnonzero(bad).tolist():
        reason, detail = next((slug, why) for slug, why, rows in faults if rows[row])
        rejects.append(Reject(int(batch.partition[row]), int(batch.offset[row]), reason, detail))
    return batch.take(~bad), rejects


class Router:
    """Writes exchange records: for each batch and source partition one to every partition of the exchange.

    So each of them hears how far every source is.

    Parameters:
        schema: of the exchange's columns.
        partitions: of the exchange.
    """

    def __init__(self, schema: pa.Schema, partitions: int) -> None:
        self._schema = schema
        self._partitions = partitions

    def marks(self, topic: str, marks: Sequence[Mark]) -> Emit:
        """Records that tell nothing but marks."""
        return self._emit(topic, marks, None, np.zeros(len(marks) * self._partitions, np.int64))

    def route(self, batch: Batch, marks: Sequence[Mark]) -> Iterator[Emit]:
        """Rows with the marks of their source partitions, one for each of `batch.runs()`; large batches in parts."""
        if batch.columns.nbytes > MOST_BYTES and len(batch) > 1:
            half = len(batch) // 2
            for part in (batch.slice(slice(0, half)), batch.slice(slice(half, len(batch)))):
                present = {partition for partition, _ in part.runs()}
                yield from self.route(part, [mark for mark in marks if mark.slot in present])
            return
        group = np.zeros(len(batch), np.int64)
        for place, (_, rows) in enumerate(batch.runs()):
            group[rows] = place
        record = group * self._partitions + partitions_of(batch.columns["event_id"], self._partitions)
        order = np.argsort(record, kind="stable")
        size = np.bincount(record, minlength=len(marks) * self._partitions)
        yield self._emit(batch.topic, marks, batch.columns.take(pa.array(order)), size)

    def _emit(self, topic: str, marks: Sequence[Mark], rows: pa.RecordBatch | None, size: Ints) -> Emit:
        count, each = len(size), np.repeat(np.arange(len(marks)), self._partitions)
        ends = pa.array(np.concatenate([np.zeros(1, np.int64), np.cumsum(size)]).astype(np.int32))
        none = pa.array(np.zeros(count + 1, np.int32))
        slots = np.array([mark.slot for mark in marks], np.int32)[each]
        field = "labels" if topic == "labels" else "predictions"
        columns: dict[str, pa.Array] = {
            "source": pa.array([topic] * count, pa.string()),
            "source_partition": pa.array(np.array([unslot(mark.slot)[1] for mark in marks], np.int32)[each]),
            "next_offset": pa.array(np.array([mark.next_offset for mark in marks])[each]),
            "progress": pa.array(np.array([mark.progress for mark in marks])[each], _MILLIS),
            "idle": pa.array(np.array([mark.idle for mark in marks])[each]),
            "time": pa.array(np.array([mark.time for mark in marks])[each], _MILLIS),
        }
        for name in ("predictions", "labels"):
            kind = self._schema.field(name).type
            if name == field and rows is not None:
                told = arrays.StructArray.from_arrays(
                    [rows[part.name] for part in kind.value_type], fields=list(kind.value_type)
                )
                columns[name] = arrays.ListArray.from_arrays(ends, told, type=kind)
            else:
                columns[name] = arrays.ListArray.from_arrays(none, arrays.array([], kind.value_type), type=kind)
        kind = self._schema.field("events").type
        lists = [arrays.ListArray.from_arrays(none, arrays.array([], f.type.value_type), type=f.type) for f in kind]
        columns["events"] = arrays.StructArray.from_arrays(lists, fields=list(kind))
        target = np.tile(np.arange(self._partitions, dtype=np.int32), len(marks))
        return Emit("exchange", pa.RecordBatch.from_pydict(columns), None, slots, target)
