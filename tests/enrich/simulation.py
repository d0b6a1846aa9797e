"""Enrich and views joined without Kafka: partitions are lists, and whoever is chosen takes the next step."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import CollectorRegistry

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.spec import Pipeline
from headrace.stores.online import Store
from headrace.streaming.records.batch import Batch, Emit, Reject
from headrace.streaming.watermarks.idleness import Quiet
from services.enrich.lookup_join import needed
from services.enrich.metrics import EnrichMetrics
from services.enrich.service import Enrich
from services.views.service import Views
from tests.enrich.joining import Joiner, Report, Source


def batch_of(
    topic: str,
    columns: pa.RecordBatch,
    partition: int,
    first: int = 0,
    keys: pa.Array | None = None,
    at: float = 4_000_000_000.0,
) -> Batch:
    """Records of one partition at consecutive offsets, all written at one moment (s)."""
    rows = columns.num_rows
    if keys is None:
        keys = pa.nulls(rows, pa.binary())
    stamps = np.full(rows, int(at * 1000), np.int64)
    partitions, offsets = np.full(rows, partition, np.int32), np.arange(first, first + rows)
    return Batch(topic, columns, keys.cast(pa.binary()), partitions, offsets, stamps)


@dataclass(slots=True)
class Log:
    """One partition of a topic, and how far it was read."""

    topic: str
    partition: int
    parts: list[Batch] = field(default_factory=list)
    end: int = 0
    read: int = 0
    at_end_since: float | None = None

    def append(self, columns: pa.RecordBatch, at: float, keys: pa.Array | None = None) -> None:
        """Write records."""
        if columns.num_rows:
            self.parts.append(batch_of(self.topic, columns, self.partition, self.end, keys, at))
            self.end += columns.num_rows
            self.at_end_since = None

    def unread(self) -> list[Batch]:
        """What was written and not read, in lots."""
        return [part.take(part.offset >= self.read) for part in self.parts if part.offset[-1] >= self.read]

    def take(self, rows: int) -> Batch:
        """Read on, by at most so many records."""
        for part in self.parts:
            first = int(part.offset[0])
            if first <= self.read < first + len(part):
                found = part.slice(slice(self.read - first, self.read - first + rows))
                self.read += len(found)
                return found
        raise AssertionError("nothing is left to read")


class World:
    """All partitions of events and of one foreign view, one member each, stepped in a random order."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        seed: int,
        partitions: int = 4,
        view_partitions: int = 3,
        now: float = 0.0,
    ) -> None:
        self.pipeline = pipeline
        self.store = store
        self.random = random.Random(seed)
        (self.view,) = pipeline.foreign_views
        self.counts = {"events": partitions, f"view.{self.view.name}": view_partitions}
        self.events = [Log("events", p) for p in range(partitions)]
        self.updates = [Log(f"view.{self.view.name}", p) for p in range(view_partitions)]
        self.held: dict[int, Batch] = {}
        self.features: list[pa.RecordBatch] = []
        self.rejects: list[Reject] = []
        self.remarks: Counter[str] = Counter()
        self.registry = CollectorRegistry()
        self.figures = EnrichMetrics(self.registry)
        self.gone_on = 0.0
        self.now = now
        self.coming: list[tuple[float, Log, pa.RecordBatch, pa.Array]] = []
        self.labels: list[Log] = []
        self.joiners: list[Joiner] = []
        if self.view.folds_labels:
            self.counts["exchange"] = 2
            self.labels = [Log("labels", p) for p in range(3)]
            sources = [("events", p) for p in range(partitions)] + [("labels", p) for p in range(len(self.labels))]
            self.joiners = [
                Joiner(p, self.view, pipeline.events.allowed_lateness, {s: Source() for s in sources}, view_partitions)
                for p in range(2)
            ]
        self.marked: dict[int, float] = {}
        self.newest: dict[int, int] = {}
        self.enrich = self.new_enrich()
        self.views = self.new_views()

    def new_enrich(self) -> Enrich:
        """A fresh member."""
        enrich = Enrich(self.pipeline, self.store, figures=self.figures)
        enrich.start(self.counts)
        for log in self.events:
            enrich.restore(log.partition, None)
        return enrich

    def new_views(self) -> Views:
        """A fresh member."""
        views = Views(self.pipeline, self.view, self.store)
        views.start(self.counts)
        return views

    def publish(self, columns: pa.RecordBatch, drift: float = 0.0) -> None:
        """Write events to the partitions of their keys, each partition's at any moment within `drift` seconds."""
        keys = columns.column(self.pipeline.events.key).cast(pa.string())
        chosen = partitions_of(keys, len(self.events))
        for log in self.events:
            rows = pa.array(np.flatnonzero(chosen == log.partition))
            at = self.now + self.random.random() * drift
            self.coming.append((at, log, columns.take(rows), keys.take(rows)))
        self.arrive()

    def publish_labels(self, labels: pa.RecordBatch, drift: float = 0.0) -> None:
        """Write labels (event_id, value, label_time) to the partitions of their keys, as `publish` does."""
        keys = labels.column("event_id")
        chosen = partitions_of(keys, len(self.labels))
        for log in self.labels:
            rows = pa.array(np.flatnonzero(chosen == log.partition))
            at = self.now + self.random.random() * drift
            self.coming.append((at, log, labels.take(rows), keys.take(rows)))
        self.arrive()

    def arrive(self) -> None:
        """Write what is due, and note which partitions of the events and labels are read to their end."""
        for at, log, columns, keys in self.coming:
            if at <= self.now:
                log.append(columns, self.now, keys)
        self.coming = [part for part in self.coming if part[0] > self.now]
        for log in (*self.events, *self.labels):
            if log.at_end_since is None and log.read == log.end:
                log.at_end_since = self.now

    def write(self, emits: tuple[Emit, ...]) -> None:
        """Take in what a service emitted."""
        for emit in emits:
            if emit.topic == "features":
                self.features.append(emit.columns)
                continue
            assert emit.partition is not None
            if emit.topic == "exchange":
                for record, target in zip(emit.columns.to_pylist(), emit.partition.tolist(), strict=True):
                    self.joiners[target].queue.append(exchanged(record))
                continue
            for log in self.updates:
                log.append(emit.columns.take(pa.array(np.flatnonzero(emit.partition == log.partition))), self.now)

    def step_events(self, log: Log, rows: int) -> None:
        """Let enrich take some rows of a partition, or try those again that it held."""
        batch = self.held.pop(log.partition, None)
        if batch is None:
            if log.read == log.end:
                return
            admission = self.enrich.admit(log.take(rows), self.now)
            self.write(admission.emits)
            self.rejects += admission.rejects
            self.remarks.update(admission.remarks)
            batch = admission.batch
        if not len(batch):
            return
        before = self.unproven()
        output = self.enrich.process(batch, self.now)
        if self.unproven() > before and not self.labels:
            if self.now - self.gone_on > 1.0:  # Others that stood still as well go on by the same right.
                self.assert_standstill(log)
            self.gone_on = self.now
        self.write(output.emits)
        self.enrich.durable()
        if output.held:
            assert output.held == {log.partition}
            self.held[log.partition] = batch

    def unproven(self) -> int:
        """Events that were answered though views lacked what they needed."""
        samples = (sample for metric in self.registry.collect() for sample in metric.samples)
        return sum(int(sample.value) for sample in samples if sample.name == "headrace_events_unproven_total")

    def assert_standstill(self, gone: Log) -> None:
        """Nobody could tell more before a partition went on without proof: all that was told is folded (but for signs
        of life), each other partition is read to its end or holds an event that waits for one that cannot go on either.
        """
        assert all(pc.all(part.columns.column("idle")).as_py() for log in self.updates for part in log.unread())
        waiting = {log.partition for log in self.events if log is gone or log.partition in self.held}
        reached = {partition: self.enrich._state(partition).clock.credible for partition in waiting}
        for log in self.events:
            if log.partition in self.held:
                times = self.held[log.partition].columns.column(self.pipeline.events.time).cast(pa.int64()).to_numpy()
                need = int(needed(self.view, times, self.pipeline.events.allowed_lateness).max())
                assert any(need > time for partition, time in reached.items() if partition != log.partition)
            elif log is not gone:
                assert log.read == log.end

    def step_updates(self, log: Log) -> None:
        """Let views take some updates; as many more as others write when views fold labels."""
        for _ in range(20 if self.labels else 1):
            if log.read < log.end:
                self.views.process(log.take(self.random.randint(1, 20)), self.now)

    def step_labels(self, log: Log, rows: int) -> None:
        """Let the partitions of the exchange be told some labels of a partition."""
        if log.read == log.end:
            return
        batch = log.take(rows)
        known = batch.columns.column("label_time").to_pylist()
        told = zip(batch.columns["event_id"].to_pylist(), known, batch.columns["value"].to_pylist(), strict=True)
        labels = [(name, (time, value)) for name, time, value in told]
        self.newest[log.partition] = max([self.newest.get(log.partition, 0), *known])
        self.tell(log, self.newest[log.partition], False, int(self.now * 1000), labels)

    def tell(self, log: Log, progress: int, idle: bool, time: int, labels: list[tuple[str, Report]]) -> None:
        """Write a mark of a partition of the labels to each partition of the exchange."""
        for joiner in self.joiners:
            names = pa.array([name for name, _ in labels], pa.string())
            chosen = partitions_of(names, len(self.joiners))
            own = [label for label, at in zip(labels, chosen, strict=True) if at == joiner.partition]
            place = {"source": "labels", "source_partition": log.partition}
            joiner.queue.append({**place, "progress": progress, "idle": idle, "time": time, "labels": own})

    def tick_labels(self) -> None:
        """Say which partitions of the labels stand at their end."""
        for log in self.labels:
            since = log.at_end_since
            if since is not None and self.now - since >= 1.0 and self.now - self.marked.get(log.partition, 0) >= 0.5:
                self.marked[log.partition] = self.now
                self.tell(log, 0, True, int(self.now * 1000), [])

    def done(self) -> bool:
        """Whether everything was read and answered."""
        read = all(log.read == log.end for log in (*self.events, *self.updates, *self.labels))
        return read and not self.held and not self.coming

    def restart(self) -> None:
        """Replace both members by fresh ones that begin with their snapshots."""
        enrich, views = self.new_enrich(), self.new_views()
        for log in self.events:
            enrich.restore(log.partition, self.enrich.snapshot(log.partition))
        for log in self.updates:
            views.restore(log.partition, self.views.snapshot(log.partition))
        self.enrich, self.views = enrich, views

    def run(self, rows: int, steps: int = 100_000, restarts: float = 0.0) -> None:
        """Step until all is answered; now and then, in that share of the steps, both members are replaced."""
        for _ in range(steps):
            if self.done():
                return
            if not self.held and self.random.random() < restarts:
                self.restart()
            self.step(rows)
        raise AssertionError(f"still waiting after {steps} steps: {sorted(self.held)}")

    def step(self, rows: int) -> None:
        """Let time pass, and somebody take a turn."""
        self.now += 0.005
        self.arrive()
        log = self.random.choice([*self.events, *self.updates, *self.labels])
        if log in self.events:
            self.step_events(log, self.random.randint(1, rows))
        elif log in self.labels:
            self.step_labels(log, self.random.randint(1, rows))
        else:
            self.step_updates(log)
        self.arrive()
        at_end = {p.partition: Quiet(p.at_end_since, self.now) for p in self.events if p.at_end_since is not None}
        for joiner in self.joiners:
            if self.random.random() < 0.7 and (emit := joiner.step()) is not None:
                self.write((emit,))
        self.tick_labels()
        self.views.tick(self.now, {})
        self.write(self.enrich.tick(self.now, at_end).emits)

    def wait(self, seconds: float) -> None:
        """Let time pass, with everybody at work."""
        until = self.now + seconds
        while self.now < until:
            self.step(1)

    def answers(self) -> pa.Table:
        """All features so far."""
        return pa.Table.from_batches(self.features)


def exchanged(record: dict[str, Any]) -> dict[str, object]:
    """A record of the exchange as joiners take it."""
    place = {name: record[name] for name in ("source", "source_partition", "idle")}
    times = {name: int(record[name].timestamp() * 1000 + 0.5) for name in ("progress", "time")}
    events = record["events"]
    (entities,) = events["entities"]
    assert not record["predictions"]
    assert not record["labels"]
    return {**place, **times, "events": list(zip(events["event_ids"], events["times"], entities["keys"], strict=True))}


def with_views(pipeline: Pipeline, **changes: object) -> Pipeline:
    """The pipeline with the foreign view changed."""
    (view,) = pipeline.foreign_views
    return replace(pipeline, views={**pipeline.views, view.name: replace(view, **changes)})  # type: ignore[arg-type]  # a view's own fields
