"""Predictions as people watch them: without the features that they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from headrace.operations.topics.tail import documents

COLUMNS = ("event_time", "event_id", "entity", "score", "decision", "model", "arm")


@dataclass(frozen=True, slots=True)
class PredictionLine:
    """A prediction in short; `event_time` in ISO 8601, `score` None where it is no number."""

    event_time: str
    event_id: str
    entity: str
    score: float | None
    decision: bool | None
    model: str
    version: str
    arm: str


def prediction_lines(rows: pa.RecordBatch | pa.Table) -> Iterator[PredictionLine]:
    """Records of the predictions topic, each in short."""
    for row in documents(rows.select(COLUMNS)):
        model = row.pop("model")
        yield PredictionLine(**row, model=model["name"], version=model["version"])
