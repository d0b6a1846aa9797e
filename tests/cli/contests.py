"""Predictions of several models and what became of them, on a real broker, for the tests of duels and scorecards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.quality.score_table import CAP
from headrace.domain.scorecards.grouped_tallies import CARDS, PARTS
from headrace.domain.scorecards.shift_rows import PackagedRows
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.records.batch import Batch, slot
from services.scorecards.metrics import ScorecardsMetrics
from services.scorecards.service import Scorecards

DAY = 86_400_000
START = 1_527_811_200_000  # 2018-06-01


@dataclass(frozen=True)
class Contest:
    """Events that models score; columns of one length.

    `scores` and `flagged` by model, `truth` with NaN for what nobody reported and nobody presumes.
    """

    ids: list[str]
    times: np.ndarray
    amounts: np.ndarray
    truth: np.ndarray
    scores: tuple[np.ndarray, np.ndarray]
    thresholds: tuple[float, float] = (0.3, 0.25)

    def at(self, rows: Any) -> Contest:
        """Some of the events."""
        index = np.arange(len(self.ids))[rows]
        taken = [column[index] for column in (self.times, self.amounts, self.truth)]
        return Contest(
            [self.ids[row] for row in index], *taken, (self.scores[0][index], self.scores[1][index]), self.thresholds
        )


def contest(rows: int, seed: int = 0, days: int = 10, noise: tuple[float, float] = (0.02, 0.05)) -> Contest:
    """Events over some days; the second model is noisier than the first."""
    random = np.random.default_rng(seed)
    truth = random.beta(0.4, 8, rows)
    scores = tuple(np.clip(truth + random.normal(0, size, rows), 0, 1) for size in noise)
    times = START + np.sort(random.integers(0, days * DAY, rows))
    labels = (random.random(rows) < truth).astype(np.float64)
    amounts = random.lognormal(3, 1, rows).round(2)
    return Contest([f"e{row}" for row in range(rows)], times, amounts, labels, (scores[0], scores[1]))


@dataclass(frozen=True)
class Model:
    """Who answers; `number` says which of a contest's scores are its own."""

    name: str
    version: str
    arm: str
    number: int
    latency: int = 20
    micros: float = 3.0

    @property
    def place(self) -> str:
        return f"{self.name}@{self.version}/{self.arm}"


CHAMPION = Model("fraud", "1", "champion", 0)
CHALLENGER = Model("fraud", "2", "challenger", 1, latency=45, micros=7.5)
CANARY = replace(CHALLENGER, arm="canary")


def predictions(schema: pa.Schema, model: Model, events: Contest) -> pa.RecordBatch:
    """Records of a predictions topic."""
    own = _answers(schema, model, events) | {
        "compute_micros": pa.array(np.full(len(events.ids), model.micros), pa.float32())
    }
    return _batch(schema, own, len(events.ids))


def outcomes(
    schema: pa.Schema, model: Model, events: Contest, as_of: int, revision: int = 0, former: np.ndarray | None = None
) -> pa.RecordBatch:
    """Records of the outcomes topic; labels were read up to `as_of`."""
    rows = len(events.ids)
    unknown = np.isnan(events.truth)
    states = np.where(unknown, "unlabelled", "labelled")
    own = _answers(schema, model, events) | {
        "revision": pa.array(np.full(rows, revision), pa.int32()),
        "state": pa.array(states.tolist()),
        "label": pa.array(events.truth, mask=unknown),
        "label_delay": pa.array(np.full(rows, DAY), mask=unknown),
        "former_label": pa.nulls(rows, pa.float64()) if former is None else pa.array(former),
        "former_state": pa.nulls(rows, pa.string()) if former is None else pa.array(["labelled"] * rows),
        "reports": pa.array(np.full(rows, 1), pa.int32()),
        "conflicting": pa.array(np.zeros(rows, np.bool_)),
        "as_of": pa.array(np.full(rows, as_of)),
    }
    return _batch(schema, own, rows)


def write(contracts: Contracts, bootstrap: str, logical: str, records: Sequence[pa.RecordBatch]) -> None:
    """Write records to a topic, keyed by entity."""
    channel = contracts.channel(logical)
    producer = Producer(Connection(bootstrap))
    for batch in records:
        for start in range(0, batch.num_rows, 10_000):
            part = batch.slice(start, 10_000)
            producer.send(channel.name, part["entity"].to_pylist(), channel.codec.encode(part))
            producer.poll()
    producer.close()


def _answers(schema: pa.Schema, model: Model, events: Contest) -> dict[str, Any]:
    rows = len(events.ids)
    scores = events.scores[model.number]
    fields = {"name": model.name, "version": model.version, "digest": f"sha256:{model.version * 64}"}
    kind = schema.field("model").type
    return {
        "prediction_id": pa.array([f"{event}/{model.place}" for event in events.ids]),
        "event_id": pa.array(events.ids),
        "entity": pa.array([f"c{row % 100}" for row in range(rows)]),
        "event_time": pa.array(events.times),
        "ingest_time": pa.array(events.times + 5),
        "predicted_time": pa.array(events.times + 5 + model.latency),
        "model": pa.StructArray.from_arrays([pa.array([fields[part.name]] * rows) for part in kind], fields=list(kind)),
        "arm": pa.array([model.arm] * rows),
        "score": pa.array(scores),
        "decision": pa.array(scores >= events.thresholds[model.number]),
        "event": pa.StructArray.from_arrays([pa.array(events.amounts)], fields=list(schema.field("event").type)),
    }


def _batch(schema: pa.Schema, own: dict[str, Any], rows: int) -> pa.RecordBatch:
    columns = [own[part.name].cast(part.type) if part.name in own else _blank(part.type, rows) for part in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _blank(kind: pa.DataType, rows: int) -> pa.Array:
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays([_blank(part.type, rows) for part in kind], fields=list(kind))
    if pa.types.is_string(kind):
        return pa.array([""] * rows)
    return pa.array(np.zeros(rows, np.int64)).cast(kind)


def write_sums(
    contracts: Contracts, bootstrap: str, told: dict[str, Sequence[pa.RecordBatch]], partitions: int = 2
) -> None:
    """What `scorecards` says of some records, by logical topic, to the topic of its parts."""
    channels = {logical: contracts.channel(logical) for logical in (PARTS, CARDS, "predictions")}

    def measure(rows: pa.RecordBatch) -> np.ndarray:
        return np.array([len(value) for value in channels["predictions"].codec.encode(rows)], np.int64)

    schemas = [channels[logical].codec.reader.arrow for logical in (PARTS, CARDS)]
    packages = PackagedRows(ModelStore("memory://no-models", Path("no-models")))
    figures = ScorecardsMetrics(CollectorRegistry())
    service = Scorecards(contracts.pipeline, measure, packages, *schemas, CAP, 1.0, figures, time.perf_counter)
    service.start(dict.fromkeys((*service.inputs, CARDS), partitions))
    for place, logical in enumerate(service.inputs):
        service.restore(slot(place, 0), None)
        offset = 0
        for columns in told.get(logical, ()):
            rows = columns.num_rows
            partition = np.full(rows, slot(place, 0), np.int32)
            offsets = np.arange(offset, offset + rows)
            stamps = np.zeros(rows, np.int64)
            service.process(Batch(logical, columns, pa.nulls(rows, pa.binary()), partition, offsets, stamps), 0.0)
            offset += rows
    producer = Producer(Connection(bootstrap))
    for emit in service.tick(10.0, {}).emits:
        channel = channels[emit.topic]
        where = None if emit.partition is None else emit.partition.tolist()
        producer.send(channel.name, emit.key.to_pylist(), channel.codec.encode(emit.columns), where)
    producer.close()
