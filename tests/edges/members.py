"""Every service without Kafka: records in as bytes, answers out as bytes, and state that comes and goes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry

from headrace.domain.control.events import ControlEvents
from headrace.domain.models.model_loader import Opener
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.records.predictions import PredictionRecords
from headrace.domain.scorecards.grouped_tallies import CARDS, PARTS
from headrace.domain.scorecards.shift_rows import PackagedRows
from headrace.stores.online import MemoryStore
from headrace.streaming.records.batch import Batch, Emit, Output, Reject, slot
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import Quiet
from services.enrich.service import Enrich
from services.labels.metrics import LabelsMetrics as LabelFigures
from services.labels.row_fields import entities, shared
from services.labels.service import Labelling
from services.score.metrics import ScoreMetrics as ScoreFigures
from services.score.service import Score
from services.scorecards.metrics import ScorecardsMetrics as CardFigures
from services.scorecards.service import Scorecards
from services.shadow.load_shedder import Shedding
from services.shadow.metrics import ShadowMetrics as ShadowFigures
from services.shadow.service import Shadow
from services.shadow.shadow_models import Dark
from services.views.service import Views
from tests.edges.project import codec, pipeline

NOW = 1_700_000_100.0
PARTITIONS = 2
Row = Mapping[str, Any]


class Swept:
    """A member of a service, all partitions its own, that is told whatever a topic can hold.

    Args:
        output: which pipeline.
        make: a fresh member.
    """

    def __init__(self, output: str, make: Callable[[], Service]) -> None:
        self.output = output
        self._make = make
        self.now = NOW
        self.offsets: dict[int, int] = {}
        self.held: list[Batch] = []
        self.rejects: list[Reject] = []
        self.answered = 0
        self.written: list[tuple[Emit, list[bytes]]] = []
        self.service = self._fresh()
        for number in self._numbers():
            self.service.restore(number, None)

    def _fresh(self) -> Service:
        service = self._make()
        topics = [topic for topic in pipeline(self.output)[1] if topic != "dead-letters"]
        service.start(dict.fromkeys(topics, PARTITIONS))
        return service

    def _numbers(self) -> list[int]:
        return [slot(place, part) for place in range(len(self.service.inputs)) for part in range(PARTITIONS)]

    def records(
        self, topic: str, rows: Sequence[Row], keys: Sequence[bytes | None] | None = None,
        stamps: Sequence[int] | None = None, partition: int = 0,
    ) -> Batch:  # fmt: skip  # what, and around it
        """Rows as the next records of a partition: written by the codec, and read again."""
        there = codec(self.output, topic)
        columns = pa.RecordBatch.from_pylist([dict(row) for row in rows], schema=there.reader.arrow)
        decoded = there.decode(there.encode(columns))
        assert not decoded.bad
        return self.batch(topic, decoded.columns, keys, stamps, partition)

    def batch(
        self, topic: str, columns: pa.RecordBatch, keys: Sequence[bytes | None] | None = None,
        stamps: Sequence[int] | None = None, partition: int = 0,
    ) -> Batch:  # fmt: skip  # as above
        """Columns as the next records of a partition."""
        count, number = columns.num_rows, slot(self.service.inputs.index(topic), partition)
        first = self.offsets.get(number, 0)
        self.offsets[number] = first + count
        return Batch(
            topic,
            columns,
            pa.array([None] * count if keys is None else list(keys), pa.binary()),
            np.full(count, number, np.int32),
            np.arange(first, first + count),
            np.full(count, int(self.now * 1000)) if stamps is None else np.array(stamps, np.int64),
        )

    def take(self, batch: Batch) -> None:
        """Admit records and answer them; those that must wait are kept."""
        admission = self.service.admit(batch, self.now)
        self._refused(admission.rejects)
        self.write(admission.emits)
        self._process(admission.batch)

    def again(self) -> None:
        """Offer what is held again."""
        waiting, self.held = self.held, []
        for batch in waiting:
            self._process(batch)

    def _process(self, batch: Batch) -> None:
        if not len(batch):
            return
        output = self.service.process(batch, self.now)
        self._answered(output)
        if output.held:
            self.held.append(batch.take(np.isin(batch.partition, list(output.held))))
        self.answered += len(batch) - (len(self.held[-1]) if output.held else 0)

    def pass_time(self, seconds: float) -> None:
        """Tick, with all logs at their ends for so long."""
        self.now += seconds
        at_end = {number: Quiet(self.now - seconds, self.now) for number in self._numbers()}
        self._answered(self.service.tick(self.now, at_end))
        self.service.durable()
        self.service.ready()

    def restart(self) -> None:
        """Another life, from snapshots."""
        states = {number: self.service.snapshot(number) for number in self._numbers()}
        self.service = self._fresh()
        for number, state in states.items():
            self.service.restore(number, state)

    def replay(self, batch: Batch) -> None:
        """Fold records without answering them."""
        self.service.replay(self.service.admit(batch, self.now).batch)

    def _answered(self, output: Output) -> None:
        self._refused(output.rejects)
        self.write(output.emits)

    def _refused(self, rejects: Sequence[Reject]) -> None:
        for reject in rejects:
            assert reject.reason.replace("_", "").isalpha(), reject
            assert reject.detail
        self.rejects += rejects

    def write(self, emits: Sequence[Emit]) -> None:
        """Encode what was emitted, as the outbox does."""
        for emit in emits:
            values = codec(self.output, emit.topic).encode(emit.columns)
            if emit.key is not None:
                emit.key.to_pylist()
            assert all(len(value) <= codec(self.output, emit.topic).max_bytes for value in values)
            self.written.append((emit, values))

    def told(self, topic: str) -> list[tuple[pa.RecordBatch, np.ndarray]]:
        """What was written to a topic since this was last asked: columns, and partition of each row."""
        found = [(emit, values) for emit, values in self.written if emit.topic == topic]
        self.written = [(emit, values) for emit, values in self.written if emit.topic != topic]
        return [
            (
                codec(self.output, topic).decode(values).columns,
                np.zeros(len(values), np.int32) if emit.partition is None else emit.partition,
            )
            for emit, values in found
        ]


def led(source: Swept, topic: str, target: Swept) -> None:
    """Have what one member wrote to a topic taken by another."""
    for columns, partitions in source.told(topic):
        for partition in np.unique(partitions).tolist():
            part = columns.take(pa.array(np.flatnonzero(partitions == partition)))
            target.take(target.batch(topic, part, partition=partition))


def enrich(output: str, store: MemoryStore | None = None) -> Swept:
    """A member of `enrich`."""
    place = MemoryStore() if store is None else store
    return Swept(output, lambda: Enrich(pipeline(output)[0], place))


def views(output: str, store: MemoryStore | None = None) -> Swept:
    """A member of `views`, of the view that another entity keys."""
    place = MemoryStore() if store is None else store
    found = pipeline(output)[0]
    return Swept(output, lambda: Views(found, found.views["other"], place))


def score(output: str, models: Path) -> Swept:
    """A member of `score`."""

    def make() -> Score:
        schemas = pipeline(output)[1]
        return Score(
            "edges",
            schemas["features"].arrow,
            schemas["predictions"].arrow,
            ControlEvents("edges", "score", "m", schemas["control"].arrow),
            ModelStore(str(models / "store"), models / "cache"),
            SessionSettings(device="cpu"),
            ScoreFigures(CollectorRegistry()),
            lambda: 0.0,
        )

    return Swept(output, make)


def shadow(output: str, models: Path) -> Swept:
    """A member of `shadow`."""

    def make() -> Shadow:
        schemas = pipeline(output)[1]
        features, figures = schemas["features"].arrow, ShadowFigures(CollectorRegistry())
        opener = Opener(
            ModelStore(str(models / "store"), models / "cache"), SessionSettings(device="cpu", rows=64), features
        )
        news = ControlEvents("edges", "shadow", "m", schemas["control"].arrow)
        answers = PredictionRecords("shadow-predictions", features, schemas["shadow-predictions"].arrow)
        return Shadow(answers, Dark("edges", opener, Shedding(30.0), news, figures), figures, lambda: 0.0, 15.0)

    return Swept(output, make)


def labels(output: str) -> Swept:
    """A member of `labels`."""

    def make() -> Labelling:
        found, schemas = pipeline(output)
        written = {name: schemas[name].arrow for name in ("exchange", "outcomes")}
        whose = entities([view.name for view in found.label_views])
        return Labelling(found, written, shared(found), whose, LabelFigures(CollectorRegistry()), 10.0)

    return Swept(output, make)


def scorecards(output: str) -> Swept:
    """A member of `scorecards`."""

    def make() -> Scorecards:
        found, schemas = pipeline(output)
        predictions = codec(output, "predictions")

        def measure(rows: pa.RecordBatch) -> np.ndarray:
            return np.array([len(value) for value in predictions.encode(rows)], np.int64)

        figures = CardFigures(CollectorRegistry())
        parts, cards = schemas[PARTS].arrow, schemas[CARDS].arrow
        packages = PackagedRows(ModelStore("memory://no-models", Path("no-models")))
        return Scorecards(found, measure, packages, parts, cards, 4_096, 1.0, figures, lambda: 0.0)

    return Swept(output, make)
