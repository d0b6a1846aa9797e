"""Outcomes as records: what a join found, with the prediction that it kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.kit.avro_memory import load64, store8, store32, store64
from services.kit.compiled import kernel
from services.labels.joining import Join
from services.labels.layout import (
    E_ENTITIES,
    E_FIRST,
    E_KEY,
    E_SIZE,
    E_TIME,
    HEADER,
    LABELLED,
    NONE,
    O_AS_OF,
    O_EVENT,
    O_FORMER,
    O_FORMER_VALUE,
    O_PREDICTION,
    O_REPORTS,
    O_REVISION,
    O_SOURCE,
    O_STATE,
    O_TIME,
    O_VALUE,
    P_CODE,
    P_SCORE,
    P_SIZE,
    P_TIME,
    UNSEEN,
    V_EVENT,
    V_FIELDS,
)  # fmt: skip  # one name a line would fill a page
from services.labels.packed import Packed, binary_of
from services.labels.records import copy, time_at, u16, u32, where
from services.labels.told import IDENTITY

arrays: Any = pa  # its stubs know too few of the overloads
kernels: Any = pc

Ints = npt.NDArray[np.int64]
STATES = pa.array([None, "labelled", "presumed", "unlabelled"])
"""By their numbers in `layout`."""
AGAIN_STATE, AGAIN_REVISION = "repeated", -1
"""Of a prediction that was there before: whoever takes the newest revision of a prediction never takes this one."""
_MILLIS = pa.timestamp("ms", tz="UTC")


class Outcomes:
    """Writes outcomes.

    Parameters:
        schema: of the outcomes topic's columns.
        shared: what a join keeps of an event's predictions.
    """

    def __init__(self, schema: pa.Schema, shared: Packed) -> None:
        self._schema = schema
        self._shared = shared

    def of(self, join: Join, found: Ints, presumed: float | None) -> pa.RecordBatch:
        """What a join found (rows, O_FIELDS), before it has settled.

        `presumed`: the label of those for which none came; None: not known.
        """
        ids, payload, numbers = _kept(join, found)
        shared = self._shared.unpack(payload)
        codes = pa.array(numbers["code"] & 0x7FFF_FFFF)
        model = {
            name: arrays.array([identity[place] for identity in join.models.identities]).take(codes)
            for place, name in enumerate(IDENTITY)
        }
        columns: dict[str, pa.Array] = dict(zip(self._shared.fields, shared.columns, strict=True))
        kind = self._schema.field("model").type
        columns |= {
            "prediction_id": kernels.binary_join_element_wise(ids, model["suffix"], "/"),
            "event_id": ids,
            "event_time": pa.array(numbers["event_time"], _MILLIS),
            "predicted_time": pa.array(numbers["predicted_time"], _MILLIS),
            "model": pa.StructArray.from_arrays([model[field.name] for field in kind], fields=list(kind)),
            "arm": model["arm"],
            "plan_version": model["plan_version"],
            "score": pa.array(numbers["score"].view(np.float64)),
            "decision": pa.array(numbers["code"] >> 31 != 0),
        }
        columns |= _truth(join, found, numbers["event_time"], presumed)
        return arrays.RecordBatch.from_arrays([columns[name] for name in self._schema.names], schema=self._schema)

    def again(self, predictions: pa.ListArray, found: Ints) -> pa.RecordBatch:
        """Predictions that were there before, as records of their own: what they say, and nothing of the truth.

        Args:
            predictions: as in the records of the exchange that were folded.
            found: see `Found.again`.
        """
        rows = arrays.RecordBatch.from_struct_array(predictions.flatten()).take(pa.array(found[:, 0]))
        count = len(found)
        truth = {
            "revision": pa.array(np.full(count, AGAIN_REVISION, np.int32)),
            "state": pa.array([AGAIN_STATE] * count, pa.string()),
            "reports": pa.array(np.zeros(count, np.int32)),
            "conflicting": pa.array(np.zeros(count, np.bool_)),
            "as_of": pa.array(np.maximum(found[:, 1], UNSEEN), _MILLIS),
        }
        names = set(rows.schema.names)
        columns = [
            rows[field.name] if field.name in names else truth.get(field.name, pa.nulls(count, field.type))
            for field in self._schema
        ]
        return arrays.RecordBatch.from_arrays(columns, schema=self._schema)


def _truth(join: Join, found: Ints, event_time: Ints, presumed: float | None) -> dict[str, pa.Array]:
    state, former = found[:, O_STATE], found[:, O_FORMER]
    said = state == LABELLED
    value = np.ascontiguousarray(found[:, O_VALUE]).view(np.float64)
    former_value = np.ascontiguousarray(found[:, O_FORMER_VALUE]).view(np.float64)
    nothing = np.zeros(len(found), np.bool_) if presumed is not None else ~said
    no_former = (former == NONE) | ((former != LABELLED) & (presumed is None))
    names = arrays.array(join.labellers.names, pa.string())
    return {
        "revision": pa.array(found[:, O_REVISION].astype(np.int32)),
        "state": STATES.take(pa.array(state)),
        "label": pa.array(value, mask=nothing),
        "label_time": pa.array(found[:, O_TIME], mask=~said).cast(_MILLIS),
        "label_delay": pa.array(found[:, O_TIME] - event_time, mask=~said),
        "label_source": names.take(pa.array(found[:, O_SOURCE], mask=~said)),
        "former_state": STATES.take(pa.array(former)),
        "former_label": pa.array(former_value, mask=no_former),
        "reports": pa.array((found[:, O_REPORTS] >> 1).astype(np.int32)),
        "conflicting": pa.array(found[:, O_REPORTS] & 1 != 0),
        "as_of": pa.array(np.maximum(found[:, O_AS_OF], UNSEEN), _MILLIS),
    }


def _kept(join: Join, found: Ints) -> tuple[pa.StringArray, pa.BinaryArray, dict[str, Ints]]:
    """Of each outcome: event id, what its event's predictions share, and numbers of the event and the prediction."""
    rows = len(found)
    ends = np.zeros((2, rows + 1), np.int32)
    r, addresses = join.registers.ctypes.data, np.ascontiguousarray(found[:, : O_PREDICTION + 1])
    _measure_outcomes(r, addresses.ctypes.data, rows, ends[0].ctypes.data, ends[1].ctypes.data)
    ids, shared = np.empty(int(ends[0, -1]), np.uint8), np.empty(int(ends[1, -1]), np.uint8)
    numbers = np.empty((4, rows), np.int64)
    _gather_outcomes(
        r, addresses.ctypes.data, rows, ends[0].ctypes.data, ids.ctypes.data, ends[1].ctypes.data, shared.ctypes.data,
        numbers.ctypes.data,
    )  # fmt: skip  # where from, where to
    names = ("event_time", "predicted_time", "code", "score")
    text = binary_of(ends[0], ids).view(pa.string())
    return text, binary_of(ends[1], shared), dict(zip(names, numbers, strict=True))


def entities_of(join: Join, entries: Ints, packed: Packed) -> tuple[pa.RecordBatch, Ints]:
    """Of each label for views (rows, V_FIELDS): whom its event belongs to, a column a view, and its event time."""
    rows = len(entries)
    ends, times = np.zeros(rows + 1, np.int32), np.empty(rows, np.int64)
    r, addresses = join.registers.ctypes.data, np.ascontiguousarray(entries)
    _measure_entries(r, addresses.ctypes.data, rows, ends.ctypes.data)
    data = np.empty(int(ends[-1]), np.uint8)
    _gather_entries(r, addresses.ctypes.data, rows, ends.ctypes.data, data.ctypes.data, times.ctypes.data)
    return packed.unpack(binary_of(ends, data)), times


_HEAD = 8 * (O_PREDICTION + 1)


@kernel("i8 i8 i8 i8 i8")
def _measure_outcomes(r: int, found: int, rows: int, id_ends: int, shared_ends: int) -> None:
    ids, shared = 0, 0
    for row in range(rows):
        event = where(r, load64(found + _HEAD * row + 8 * O_EVENT))
        ids += u16(event + E_KEY)
        shared += HEADER + (u32(where(r, u32(event + E_FIRST))) >> 2) - P_SIZE
        store32(id_ends + 4 * row + 4, ids)
        store32(shared_ends + 4 * row + 4, shared)


@kernel("i8 i8 i8 i8 i8 i8 i8 i8")
def _gather_outcomes(
    r: int, found: int, rows: int, id_ends: int, ids: int, shared_ends: int, shared: int, numbers: int
) -> None:
    for row in range(rows):
        event = where(r, load64(found + _HEAD * row + 8 * O_EVENT))
        made = where(r, load64(found + _HEAD * row + 8 * O_PREDICTION))
        first = where(r, u32(event + E_FIRST))
        copy(event + E_SIZE, u16(event + E_KEY), ids + u32(id_ends + 4 * row))
        _headed_copy(first + P_SIZE, (u32(first) >> 2) - P_SIZE, shared + u32(shared_ends + 4 * row))
        store64(numbers + 8 * row, time_at(event + E_TIME))
        store64(numbers + 8 * (rows + row), time_at(made + P_TIME))
        store64(numbers + 8 * (2 * rows + row), u32(made + P_CODE))
        store64(numbers + 8 * (3 * rows + row), load64(made + P_SCORE))


@kernel
def _headed_copy(source: int, size: int, target: int) -> None:
    """Copy a value behind the header that it was kept without."""
    for step in range(HEADER):
        store8(target + step, 0)
    copy(source, size, target + HEADER)


@kernel("i8 i8 i8 i8")
def _measure_entries(r: int, entries: int, rows: int, ends: int) -> None:
    size = 0
    for row in range(rows):
        event = where(r, load64(entries + 8 * (V_FIELDS * row + V_EVENT)))
        size += HEADER + (u32(where(r, u32(event + E_ENTITIES))) >> 2) - 4
        store32(ends + 4 * row + 4, size)


@kernel("i8 i8 i8 i8 i8 i8")
def _gather_entries(r: int, entries: int, rows: int, ends: int, data: int, times: int) -> None:
    for row in range(rows):
        event = where(r, load64(entries + 8 * (V_FIELDS * row + V_EVENT)))
        told = where(r, u32(event + E_ENTITIES))
        _headed_copy(told + 4, (u32(told) >> 2) - 4, data + u32(ends + 4 * row))
        store64(times + 8 * row, time_at(event + E_TIME))
