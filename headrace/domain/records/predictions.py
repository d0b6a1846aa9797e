"""What a score becomes: the columns of the predictions topics, and the identity of each prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.models.model_loader import OpenArm
from headrace.domain.pipeline.classes.decision import decided
from headrace.domain.pipeline.spec import Model
from headrace.domain.plans.plans import Arm
from headrace.errors import ContractError
from headrace.streaming.records.batch import Batch, Emit

arrays: Any = pa  # their stubs know too few of the overloads
kernels: Any = pc

COMPUTED = (
    "prediction_id", "predicted_time", "model", "arm", "plan_version", "score", "decision", "compute_micros",
)  # fmt: skip
"""Columns that scoring makes; all others are the event's features, passed through."""
INTERVAL = ("low", "high")
"""And those of quantities."""
OF_CLASSES = ("class", "scores")
"""And those of several classes."""


class PredictionRecords:
    """Writes scores as records of a predictions topic.

    Args:
        topic: logical name of the topic.
        features: schema of the features topic's columns.
        predictions: schema of the topic's columns; those not in `COMPUTED` are passed through.
        model: of the pipeline; it names the classes, where there are several, and says what errors among them cost.

    Raises:
        ContractError: predictions have columns that neither scoring nor features provide.
    """

    def __init__(self, topic: str, features: pa.Schema, predictions: pa.Schema, model: Model | None = None) -> None:
        _check_passage(features, predictions)
        self.topic = topic
        self._schema = predictions
        self._model = model
        names = () if model is None else model.classes
        if bool(names) != all(name in predictions.names for name in OF_CLASSES):
            raise ContractError(f"predictions are to tell {len(names)} classes, and their schema tells of others")

    def emit(
        self,
        batch: Batch,
        opened: OpenArm,
        plan: int,
        scores: npt.NDArray[np.float64],
        now: float,
        each: float,
        replay: str | None = None,
    ) -> Emit:
        """One prediction a row of the batch, with its record's key.

        Args:
            batch: rows of the features topic.
            opened: the arm that scored them.
            plan: version of the plan that named the arm.
            scores: float64 [rows], or [rows, classes], finite.
            now: when they were computed, seconds since the epoch.
            each: seconds of the processor that a row's score took.
            replay: which replay asked, where one did: the end of its predictions' ids.
        """
        rows, arm = len(batch), opened.arm
        kind = self._schema.field
        computed: dict[str, Any] = {}
        if self._model is not None and self._model.classes:
            scores, computed = self._decided(scores, self._model)
        computed |= {
            "prediction_id": prediction_ids(batch.columns["event_id"], arm, replay),
            "predicted_time": _repeat(int(now * 1000), rows, pa.int64()).cast(kind("predicted_time").type),
            "model": _model_column(arm, rows, kind("model").type),
            "arm": _repeat(arm.arm, rows, kind("arm").type),
            "plan_version": _repeat(plan, rows, kind("plan_version").type),
            "score": pa.array(scores, kind("score").type),
            "decision": pa.array(scores >= opened.threshold).cast(kind("decision").type),
            "compute_micros": arrays.repeat(pa.scalar(each * 1e6, kind("compute_micros").type), rows),
        }
        if all(name in self._schema.names for name in INTERVAL):
            width = opened.half_width
            for name, end in zip(INTERVAL, (-1.0, 1.0), strict=True):
                known = (
                    pa.nulls(rows, kind(name).type)
                    if width is None
                    else pa.array(scores + end * width, kind(name).type)
                )
                computed[name] = known
        columns = [computed[n] if n in computed else batch.columns[n] for n in self._schema.names]
        table = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        return Emit(self.topic, table, batch.keys, batch.partition)

    def _decided(self, scores: npt.NDArray[np.float64], model: Model) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
        """The score of the class decided on, for each row, and the columns that tell of all."""
        place = decided(scores, model.costs)
        names = pa.array(list(model.classes), self._schema.field("class").type)
        fields = list(self._schema.field("scores").type)
        columns = [pa.array(np.ascontiguousarray(scores[:, at])) for at in range(len(fields))]
        told = {"class": names.take(pa.array(place)), "scores": pa.StructArray.from_arrays(columns, fields=fields)}
        return scores[np.arange(len(scores)), place], told


def prediction_ids(event_ids: pa.Array[Any], arm: Arm, replay: str | None = None) -> Any:
    """`event/name@version/arm`, and `/replay` of one: derived from these alone, so a repeat carries the same id."""
    end = arm.place if replay is None else f"{arm.place}/{replay}"
    return kernels.binary_join_element_wise(event_ids, end, "/")


def _check_passage(features: pa.Schema, predictions: pa.Schema) -> None:
    for field in predictions:
        if field.name in COMPUTED or (field.name in (*INTERVAL, *OF_CLASSES) and field.name not in features.names):
            continue
        if field.name not in features.names:
            raise ContractError(f"predictions have {field.name}, which neither scoring makes nor features have")
        given = features.field(field.name).type
        if given != field.type:
            raise ContractError(f"{field.name} is {given} in features, but {field.type} in predictions")
    missing = [name for name in COMPUTED if name not in predictions.names]
    if missing:
        raise ContractError(f"predictions lack what scoring makes: {', '.join(missing)}")


def _repeat(value: str | int, rows: int, kind: pa.DataType) -> Any:
    return arrays.repeat(pa.scalar(value, kind), rows)


def _model_column(arm: Arm, rows: int, kind: pa.StructType) -> Any:
    named = {"name": arm.model, "version": arm.version, "digest": arm.digest}
    fields = list(kind)
    return pa.StructArray.from_arrays([_repeat(named[f.name], rows, f.type) for f in fields], fields=fields)
