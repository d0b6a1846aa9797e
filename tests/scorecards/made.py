"""Predictions and outcomes of a made-up week, and the service without Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import schemas
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.workspace import Workspace
from headrace.domain.scorecards.grouped_tallies import CARDS, PARTS
from headrace.domain.scorecards.shift_rows import PackagedRows
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch, Emit, slot
from services.scorecards.metrics import ScorecardsMetrics
from services.scorecards.service import Scorecards

ROOT = Path(__file__).parents[2]
START = 1_522_540_800_000
DAY = 86_400_000
PARTITIONS = 3


@cache
def pipeline() -> Pipeline:
    """The pipeline that comes with headrace."""
    path = ROOT / "pipelines/card_fraud.yaml"
    return load(path, Workspace.of(path))


@cache
def schema(logical: str) -> pa.Schema:
    """The columns of one of its topics."""
    path = ROOT / "pipelines/card_fraud.yaml"
    return load_schema(schemas(pipeline(), Workspace.of(path))[f"card_fraud.{logical}-value"]).arrow


@dataclass(frozen=True, slots=True)
class World:
    """Columns of made-up rows, in order of event time; one entry a row.

    `label` is NaN where nobody ever says anything.
    """

    times: np.ndarray
    entities: np.ndarray
    amounts: np.ndarray
    scores: np.ndarray
    label: np.ndarray
    reported: np.ndarray


def world(rows: int, days: int = 3, seed: int = 0) -> World:
    """Rows whose labels follow their scores, a tenth of them reported."""
    draw = np.random.default_rng(seed)
    scores = np.round(draw.beta(0.6, 6, rows), 4)
    label = (draw.random(rows) < scores).astype(float)
    reported = (label > 0) | (draw.random(rows) < 0.1)
    return World(
        np.sort(START + draw.integers(0, days * DAY, rows)),
        draw.integers(0, rows // 5 + 1, rows).astype(str),
        draw.lognormal(3.5, 1, rows),
        scores,
        label,
        reported,
    )


def predictions(made: World, rows: np.ndarray, arm: str = "champion", version: str = "1") -> pa.RecordBatch:
    """The rows as records of the predictions topic."""
    return _records("predictions", made, rows, arm, version, {"compute_micros": np.full(len(rows), 3.0)})


def outcomes(
    made: World, rows: np.ndarray, label: np.ndarray, revision: int = 0, former: np.ndarray | None = None
) -> pa.RecordBatch:
    """The rows as records of the outcomes topic, with these labels; of a correction also what was said before."""
    state = np.where(made.reported[rows] | (revision > 0), "labelled", "presumed")
    told = {
        "revision": np.full(len(rows), revision, np.int32),
        "state": state,
        "label": label,
        "label_delay": pa.array([3_600_000 if each == "labelled" else None for each in state], pa.int64()),
        "former_label": pa.nulls(len(rows), pa.float64()) if former is None else former,
        "former_state": pa.nulls(len(rows), pa.string()) if former is None else np.full(len(rows), "presumed"),
    }
    return _records("outcomes", made, rows, "champion", "1", told)


def repeats(made: World, rows: np.ndarray) -> pa.RecordBatch:
    """The rows as `labels` tells of predictions that were published again."""
    nothing = pa.nulls(len(rows), pa.float64())
    told = {
        "revision": np.full(len(rows), -1, np.int32),
        "state": np.full(len(rows), "repeated"),
        "label": nothing,
        "label_delay": pa.nulls(len(rows), pa.int64()),
        "former_label": nothing,
        "former_state": pa.nulls(len(rows), pa.string()),
    }
    return _records("outcomes", made, rows, "champion", "1", told)


def _records(
    logical: str, made: World, rows: np.ndarray, arm: str, version: str, told: dict[str, Any]
) -> pa.RecordBatch:
    count = len(rows)
    scores = made.scores[rows] if version == "1" else made.scores[rows] ** 2
    columns = {
        "event_id": [f"e{row}" for row in rows],
        "entity": made.entities[rows],
        "event_time": made.times[rows],
        "ingest_time": made.times[rows],
        "predicted_time": made.times[rows] + 20,
        "arm": [arm] * count,
        "score": scores,
        "decision": scores >= 0.5,
        "model": pa.array(
            [{"name": "m", "version": version, "digest": "d" * 8}] * count, schema(logical).field("model").type
        ),
        **told,
    }
    arrays = []
    for field in schema(logical):
        if field.name == "event":
            arrays.append(pa.StructArray.from_arrays([pa.array(made.amounts[rows])], names=["amount"]).cast(field.type))
        elif field.name in columns:
            column = columns[field.name]
            arrays.append((column if isinstance(column, pa.Array) else pa.array(column)).cast(field.type))
        else:
            arrays.append(_blank(field.type, count))
    return pa.RecordBatch.from_arrays(arrays, schema=schema(logical))


def _blank(kind: pa.DataType, rows: int) -> pa.Array:
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays([_blank(part.type, rows) for part in kind], fields=list(kind))
    if pa.types.is_string(kind):
        return pa.array([""] * rows)
    return pa.array(np.zeros(rows)).cast(pa.int64()).cast(kind)


class Member:
    """A member of the service with all partitions, its own topic led back to it.

    `store`: where packages of models lie; None: nowhere. `of`: whose predictions these are.
    """

    def __init__(self, cap: int = 65_536, store: ModelStore | None = None, of: Pipeline | None = None) -> None:
        self.pipeline = of or pipeline()
        self.store = store or ModelStore("memory://no-models", Path("no-models"))
        self.registry = CollectorRegistry()
        self.made: Scorecards = self._start(cap)
        self.cap = cap
        self.offsets: dict[int, int] = {}
        self.cards: dict[str, dict[str, Any]] = {}
        self.now = 0.0

    def _start(self, cap: int) -> Scorecards:
        self.registry = CollectorRegistry()
        service = Scorecards(
            self.pipeline,
            lambda rows: np.full(rows.num_rows, 200, np.int64),
            PackagedRows(self.store),
            schema(PARTS),
            schema(CARDS),
            cap,
            1.0,
            ScorecardsMetrics(self.registry),
            perf_counter,
        )
        service.start({PARTS: 2})
        for place in range(3):
            for partition in range(PARTITIONS):
                service.restore(slot(place, partition), None)
        for partition in range(2):
            service.restore(slot(3, partition), None)
        return service

    def take(self, logical: str, partition: int, rows: pa.RecordBatch) -> None:
        """Records of a partition, after those taken before."""
        number = slot(Scorecards.inputs.index(logical), partition)
        first = self.offsets.get(number, 0)
        count = rows.num_rows
        self.offsets[number] = first + count
        offsets = np.arange(first, first + count)
        keys = pa.nulls(count, pa.binary())
        self.made.process(
            Batch(logical, rows, keys, np.full(count, number, np.int32), offsets, np.zeros(count, np.int64)), self.now
        )

    def publish(self) -> None:
        """Parts, and the cards that follow from them, until nothing is left to tell."""
        while True:
            self.now += 10_000
            emits = self.made.tick(self.now, {}).emits
            if not emits:
                return
            for emit in emits:
                self._led(emit)

    def restart(self) -> None:
        """Another life, from the snapshots of this one."""
        numbers = [slot(place, part) for place in range(3) for part in range(PARTITIONS)] + [slot(3, 0), slot(3, 1)]
        states = {number: self.made.snapshot(number) for number in numbers}
        self.made = self._start(self.cap)
        for number, state in states.items():
            self.made.restore(number, state)

    def withheld(self) -> float:
        """Cards without figures on outcomes, since the last start."""
        return self.registry.get_sample_value("headrace_scorecards_withheld_total") or 0.0

    def _led(self, emit: Emit) -> None:
        if emit.topic == PARTS:
            assert emit.partition is not None
            for partition in np.unique(emit.partition).tolist():
                rows = emit.columns.take(pa.array(np.flatnonzero(emit.partition == partition)))
                self.take(PARTS, partition, rows)
            return
        assert emit.key is not None
        for key, row in zip(emit.key.to_pylist(), emit.columns.to_pylist(), strict=True):
            self.cards[key] = {**row, "figures": {figure["name"]: figure for figure in row["figures"]}}

    def card(self, window: int, segment: str = "", group: str = "", who: str = "m@1/champion") -> dict[str, Any]:
        """The newest card of a window, by its number."""
        return self.cards[f"{who}/{START + window * DAY}/{segment}/{group}"]


def pieces(rows: np.ndarray, draw: np.random.Generator) -> Iterable[np.ndarray]:
    """Rows cut at random."""
    return np.split(rows, np.sort(draw.integers(0, len(rows) + 1, 7)))


def entity_precision(made: World, rows: np.ndarray) -> float:
    """Precision among the hundred entities with the highest scores of some rows, counted by hand; ties share."""
    best: dict[str, float] = {}
    bad: dict[str, bool] = {}
    for entity, score, label in zip(made.entities[rows], made.scores[rows], made.label[rows], strict=True):
        best[entity] = max(best.get(entity, 0.0), score)
        bad[entity] = bad.get(entity, False) or label > 0
    order = sorted(best, key=lambda entity: best[entity], reverse=True)
    border = best[order[99]]
    sure = [entity for entity in order if best[entity] > border]
    tied = [entity for entity in order if best[entity] == border]
    return float((sum(bad[e] for e in sure) + (100 - len(sure)) * np.mean([bad[e] for e in tied])) / 100)
