"""Outcomes as records: what a join found, with the prediction that it kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.jit import kernel
from headrace.columnar.structs import bytes_in, copy
from headrace.domain.pipeline.classes.columns import CLASS, LABEL_CLASS, SCORES, names_at, told_chances
from headrace.streaming.records.rows import Packed, binary_of
from services.labels.exchange_batch import IDENTITY
from services.labels.join.arena import answer_of, entities_of, event_at, id_of, prediction_at, shared_of, time_of
from services.labels.join.layout import CHANGE, HEADER, LABELLED, MEMORY, NONE, OUTCOME, UNSEEN, Memory
from services.labels.join.state import Join, Structs
from services.labels.packed_rows import PackedRows

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

    def __init__(self, schema: pa.Schema, shared: PackedRows) -> None:
        self._schema = schema
        self._shared = shared

    def of(self, join: Join, found: Structs, presumed: float | None) -> pa.RecordBatch:
        """What a join found (see `Found.outcomes`), before it has settled.

        `presumed`: the label of those for which none came; None: not known.
        """
        ids, payload, numbers, scores = _kept(join, found)
        shared = self._shared.unpack(payload, numbers["first"] & 0x7FFF_FFFF, join.models.identities)
        codes = pa.array(numbers["code"] & 0x7FFF_FFFF)
        model = {
            name: arrays.array([identity[place] for identity in join.models.identities]).take(codes)
            for place, name in enumerate(IDENTITY)
        }
        columns: dict[str, pa.Array] = dict(zip(shared.schema.names, shared.columns, strict=True))
        kind = self._schema.field("model").type
        columns |= {
            "prediction_id": kernels.binary_join_element_wise(ids, model["suffix"], "/"),
            "event_id": ids,
            "event_time": pa.array(numbers["event_time"], _MILLIS),
            "predicted_time": pa.array(numbers["predicted_time"], _MILLIS),
            "model": pa.StructArray.from_arrays([model[field.name] for field in kind], fields=list(kind)),
            "arm": model["arm"],
            "plan_version": model["plan_version"],
            "score": pa.array(scores),
            "decision": pa.array(numbers["code"] >> 31 != 0),
        }
        columns |= _truth(join, found, numbers["event_time"], presumed)
        if classes := join.question.classes:
            answers = _answers(join, found)
            columns[SCORES] = told_chances(answers[:, :-1], self._schema.field(SCORES).type)
            columns[CLASS] = names_at(answers[:, -1], classes)
            label = columns["label"].fill_null(np.nan).to_numpy(zero_copy_only=False)
            columns[LABEL_CLASS] = names_at(label, classes)
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
            "mature_before": pa.array(found[:, 2], _MILLIS),
        }
        names = set(rows.schema.names)
        columns = [
            rows[field.name] if field.name in names else truth.get(field.name, pa.nulls(count, field.type))
            for field in self._schema
        ]
        return arrays.RecordBatch.from_arrays(columns, schema=self._schema)


def _truth(join: Join, found: Structs, event_time: Ints, presumed: float | None) -> dict[str, pa.Array]:
    state, former = found["state"], found["former"]
    said = state == LABELLED
    nothing = np.zeros(len(found), np.bool_) if presumed is not None else ~said
    no_former = (former == NONE) | ((former != LABELLED) & (presumed is None))
    names = arrays.array(join.labellers.names, pa.string())
    return {
        "revision": pa.array(found["revision"]),
        "state": STATES.take(pa.array(state)),
        "label": pa.array(found["value"], mask=nothing),
        "label_time": pa.array(found["time"], mask=~said).cast(_MILLIS),
        "label_delay": pa.array(found["time"] - event_time, mask=~said),
        "label_source": names.take(pa.array(found["source"], mask=~said)),
        "former_state": STATES.take(pa.array(former)),
        "former_label": pa.array(found["former_value"], mask=no_former),
        "reports": pa.array(found["reports"]),
        "conflicting": pa.array(found["conflicting"] != 0),
        "as_of": pa.array(np.maximum(found["as_of"], UNSEEN), _MILLIS),
        "mature_before": pa.array(found["before"], _MILLIS),
    }


def _kept(
    join: Join, found: Structs
) -> tuple[pa.StringArray, pa.BinaryArray, dict[str, Ints], npt.NDArray[np.float64]]:
    """Of each outcome: event id, what its event's predictions share, numbers of the event and the prediction, score."""
    rows = len(found)
    ends = np.zeros((2, rows + 1), np.int32)
    _measure_outcomes(join.memory, found, ends)
    ids, shared = np.empty(int(ends[0, -1]), np.uint8), np.empty(int(ends[1, -1]), np.uint8)
    numbers, scores = np.empty((4, rows), np.int64), np.empty(rows, np.float64)
    _gather_outcomes(join.memory, found, ends, ids, shared, numbers, scores)
    text = binary_of(ends[0], ids).view(pa.string())
    names = ("event_time", "predicted_time", "code", "first")
    return text, binary_of(ends[1], shared), dict(zip(names, numbers, strict=True)), scores


def _answers(join: Join, found: Structs) -> npt.NDArray[np.float64]:
    """Of each outcome the chances of classes and the place of the one decided on, float64 [outcomes, classes + 1]."""
    width = join.question.answer
    data = np.empty(8 * width * len(found), np.uint8)
    _gather_answers(join.memory, found, data)
    return data.view(np.float64).reshape(len(found), width)


def whose(join: Join, changes: Structs, packed: Packed) -> tuple[pa.RecordBatch, Ints]:
    """Of each label for views (see `Found.changes`): whom its event belongs to, a column a view, and its event time."""
    rows = len(changes)
    ends, times = np.zeros(rows + 1, np.int32), np.empty(rows, np.int64)
    _measure_changes(join.memory, changes, ends)
    data = np.empty(int(ends[-1]), np.uint8)
    _gather_changes(join.memory, changes, ends, data, times)
    return packed.unpack(binary_of(ends, data)), times


Bytes = npt.NDArray[np.uint8]
Ends = npt.NDArray[np.int32]


@kernel("memory found[::1] i4[:,::1]", memory=MEMORY, found=OUTCOME)
def _measure_outcomes(join: Memory, found: Structs, ends: Ends) -> None:
    """Where ids (first row) and what is shared (second), each behind a header, end: `ends` [2, outcomes + 1]."""
    ids, shared = 0, 0
    for row in range(len(found)):
        address = found[row].event
        ids += id_of(join, address).size
        shared += HEADER + shared_of(join, event_at(join, address).first).size
        ends[0, row + 1] = ids
        ends[1, row + 1] = shared


@kernel("memory found[::1] i4[:,::1] u1[::1] u1[::1] i8[:,::1] f8[::1]", memory=MEMORY, found=OUTCOME)
def _gather_outcomes(
    join: Memory, found: Structs, ends: Ends, ids: Bytes, shared: Bytes, numbers: Ints,
    scores: npt.NDArray[np.float64],
) -> None:  # fmt: skip  # what, where to
    for row in range(len(found)):
        address = found[row].event
        event, prediction = event_at(join, address), prediction_at(join, found[row].prediction)
        copy(id_of(join, address), bytes_in(ids, ends[0, row], ends[0, row + 1]))
        _set_header(shared, ends[1, row])
        copy(shared_of(join, event.first), bytes_in(shared, ends[1, row] + HEADER, ends[1, row + 1]))
        numbers[0, row] = time_of(event)
        numbers[1, row] = time_of(prediction)
        numbers[2, row] = prediction.code
        numbers[3, row] = prediction_at(join, event.first).code
        scores[row] = prediction.score


@kernel("memory found[::1] u1[::1]", memory=MEMORY, found=OUTCOME)
def _gather_answers(join: Memory, found: Structs, data: Bytes) -> None:
    size = join.answer
    for row in range(len(found)):
        copy(answer_of(join, found[row].prediction), bytes_in(data, row * size, (row + 1) * size))


@kernel
def _set_header(data: Bytes, start: int) -> None:
    """Put back the header that a value was kept without."""
    for step in range(HEADER):
        data[start + step] = 0


@kernel("memory changes[::1] i4[::1]", memory=MEMORY, changes=CHANGE)
def _measure_changes(join: Memory, changes: Structs, ends: Ends) -> None:
    size = 0
    for row in range(len(changes)):
        size += HEADER + entities_of(join, event_at(join, changes[row].event).entities).size
        ends[row + 1] = size


@kernel("memory changes[::1] i4[::1] u1[::1] i8[::1]", memory=MEMORY, changes=CHANGE)
def _gather_changes(join: Memory, changes: Structs, ends: Ends, data: Bytes, times: Ints) -> None:
    for row in range(len(changes)):
        event = event_at(join, changes[row].event)
        _set_header(data, ends[row])
        copy(entities_of(join, event.entities), bytes_in(data, ends[row] + HEADER, ends[row + 1]))
        times[row] = time_of(event)
