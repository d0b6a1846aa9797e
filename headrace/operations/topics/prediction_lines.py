"""Predictions as people watch them: without the features that they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from headrace.operations.topics.tail import documents

COLUMNS = ("event_time", "event_id", "entity", "score", "decision", "model", "arm")
CLASS = "class"
"""And of models of several classes which one was decided on."""


@dataclass(frozen=True, slots=True)
class PredictionLine:
    """A prediction in short; `event_time` in ISO 8601, `score` None where it is no number, `class_` decided on,
    of models of several classes alone.
    """

    event_time: str
    event_id: str
    entity: str
    score: float | None
    decision: bool | None
    model: str
    version: str
    arm: str
    class_: str | None = None


def prediction_lines(rows: pa.RecordBatch | pa.Table) -> Iterator[PredictionLine]:
    """Records of the predictions topic, each in short."""
    columns = (*COLUMNS, CLASS) if CLASS in rows.schema.names else COLUMNS
    for row in documents(rows.select(columns)):
        model, decided = row.pop("model"), row.pop(CLASS, None)
        yield PredictionLine(**row, model=model["name"], version=model["version"], class_=decided)
