"""A small pipeline and records of its exchange for the tests of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import exchange, outcomes, predictions
from headrace.domain.pipeline.language.aggregation import Aggregation
from headrace.domain.pipeline.spec import Labels, Pipeline
from headrace.domain.pipeline.workspace import Workspace
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch, slot
from services.labels.metrics import LabelsMetrics
from services.labels.row_fields import entities, shared
from services.labels.service import Labelling

ROOT = Path(__file__).parents[2]
FILE = ROOT / "pipelines/card_fraud.yaml"
MATURES, EXPIRES = 100, 400
SOURCES = ("bank", "police")
COUNTS = {"labels": 2, "predictions": 2, "shadow-predictions": 1, "events": 2}
EXCHANGE = 3
"""Place of the exchange among the service's inputs."""


def pipeline(unlabelled: float | None = 0.0, matures: int = MATURES, expires: int = EXPIRES) -> Pipeline:
    """Card fraud with short times, and a view that folds labels."""
    found = load(FILE)
    labels = Labels("transaction_id", "fraud", matures, unlabelled, expires, SOURCES)
    risk = {"nb_tx": Aggregation("count"), "risk": Aggregation("mean", of_label=True)}
    terminal = replace(found.views["terminal"], features=risk, delay=50)
    return replace(found, labels=labels, views={**found.views, "terminal": terminal})


class Case:
    """The service for a pipeline, with what is needed to make its records."""

    def __init__(self, case: Pipeline) -> None:
        self.pipeline = case
        workspace = Workspace.of(FILE)
        self.exchange_definition = exchange(case, workspace)
        self.exchange = load_schema(self.exchange_definition).arrow
        self.outcomes = load_schema(outcomes(case)).arrow
        self.predictions = load_schema(predictions(case)).arrow
        self.registry = CollectorRegistry()

    def service(self) -> Labelling:
        """A fresh member."""
        self.registry = CollectorRegistry()
        schemas = {"exchange": self.exchange, "outcomes": self.outcomes}
        parts = shared(self.pipeline), entities([view.name for view in self.pipeline.label_views])
        made = Labelling(self.pipeline, schemas, *parts, LabelsMetrics(self.registry), 10.0)
        views = {f"view.{view.name}": 3 for view in self.pipeline.label_views}
        made.start({**COUNTS, "exchange": 4, **views})
        return made

    def prediction(self, event: str, time: int, model: str = "m@1/champion", score: float = 0.5) -> dict[str, Any]:
        """A prediction with features that follow from its event's time."""
        name, _, rest = model.partition("@")
        version, _, arm = rest.partition("/")
        row = {field.name: made_up(field.type, time) for field in self.predictions}
        if names := self.pipeline.model.classes:
            place = (time + len(model)) % len(names)
            chances = [score / 2 ** (place + number) for number in range(len(names))]
            fields = [field.name for field in self.predictions.field("scores").type]
            row |= {"class": names[place], "scores": dict(zip(fields, chances, strict=True))}
        return row | {
            "prediction_id": f"{event}/{model}",
            "event_id": event,
            "entity": f"c{time % 7}",
            "event_time": time,
            "predicted_time": time + 5,
            "model": {"name": name, "version": version, "digest": f"digest of {model}"},
            "arm": arm,
            "plan_version": 3,
            "score": score,
            "decision": score >= 0.5,
        }

    def record(
        self,
        source: str,
        partition: int,
        progress: int,
        time: int,
        predictions: Sequence[Mapping[str, Any]] = (),
        labels: Sequence[tuple[str, float, int, str]] = (),
        events: Sequence[tuple[str, int, str | None]] = (),
        idle: bool = False,
    ) -> dict[str, Any]:
        """A record of the exchange. Labels are (event, value, label time, source), events (id, time, terminal)."""
        names = ("event_id", "value", "label_time", "source")
        return {
            "source": source,
            "source_partition": partition,
            "next_offset": 0,
            "progress": progress,
            "idle": idle,
            "time": time,
            "events": {
                "event_ids": [event for event, _, _ in events],
                "times": [at for _, at, _ in events],
                "entities": [{"view": "terminal", "keys": [who for _, _, who in events]}] if events else [],
            },
            "predictions": list(predictions),
            "labels": [dict(zip(names, label, strict=True)) for label in labels],
        }

    def batch(self, records: Sequence[Mapping[str, Any]], first: int = 0, partition: int = 0) -> Batch:
        """Records of one partition of the exchange at consecutive offsets."""
        columns = pa.RecordBatch.from_pylist(list(records), schema=self.exchange)
        rows = len(records)
        numbers = np.full(rows, slot(EXCHANGE, partition), np.int32)
        offsets = np.arange(first, first + rows)
        return Batch("exchange", columns, pa.nulls(rows, pa.binary()), numbers, offsets, offsets)


def made_up(kind: pa.DataType, number: int) -> Any:
    """A value of an Arrow type that follows from a number."""
    if pa.types.is_struct(kind):
        return {field.name: made_up(field.type, number + place) for place, field in enumerate(kind)}
    if pa.types.is_string(kind):
        return str(number)
    if pa.types.is_floating(kind):
        return number / 4
    return number % 2 == 0 if pa.types.is_boolean(kind) else number % 1_000
