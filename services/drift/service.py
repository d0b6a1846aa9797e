"""Predictions and outcomes in, incidents of drift out: bins of each partition's rows, then all of them in one order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.domain.drift.alarms import ColumnStanding
from headrace.domain.drift.allowance import threshold
from headrace.domain.drift.incidents import IncidentStep
from headrace.domain.drift.model_monitor import ModelMonitor
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.records import drift_parts
from headrace.domain.records.drift_parts import DECISIONS, PARTS, Acceptance, Ints, ModelRows
from headrace.domain.records.watched_columns import (
    OUTCOMES,
    STREAMS,
    ModelIdentity,
    WatchedColumns,
    judged,
    models_of,
)
from headrace.errors import ContractError
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Admission, Batch, Emit, Output, slot, unslot
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.event_time import EARLIEST, NEVER, Clock
from headrace.streaming.watermarks.idleness import IdleNotices, Quiet
from services.drift.control_records import ControlRecords, incident_of
from services.drift.metrics import DriftMetrics
from services.drift.record_checks import sound
from services.drift.stream_watch import StreamWatch, text_of

log = logger("drift")
UNTOLD: dict[str, Any] = {
    "events": 0, "evidence": 0.0, "learnt": None, "divergence": 0.0, "edges": [], "reference": [], "recent": [],
}  # fmt: skip  # one column's worth
"""What a record says that is of no values."""
Columns = Callable[[str, ModelIdentity], WatchedColumns]


class Watcher(Service):
    """The service `drift` for one pipeline.

    Stage one turns rows of each partition into bins, by the reference in the model's package; stage two has them all in
    one order, which follows from their times and places, and watches it. So members may come and go, and replay finds
    the same incidents at the same rows.

    Args:
        pipeline: its views, segments, and how many false alarms it allows.
        columns: what is watched of a model, of a stream. Raises Transient while its package cannot be had, and
            ContractError where there is none.
        parts, records, control: schemas of the topics written.
        publish_s: seconds between two publications of how everything stands.
        idle_after_s: seconds at its end after which a partition holds nothing back.
        figures: metrics.
    """

    inputs = (*STREAMS, PARTS)
    answers = ("drift",)

    def __init__(
        self,
        pipeline: Pipeline,
        columns: Columns,
        parts: pa.Schema,
        records: pa.Schema,
        control: pa.Schema,
        publish_s: float,
        idle_after_s: float,
        figures: DriftMetrics,
    ) -> None:
        self._pipeline = pipeline
        self._columns_of = columns
        self._parts, self._records = parts, records
        self._control = ControlRecords(pipeline.name, control)
        self._publish_s = publish_s
        self._figures = figures
        self._notices = IdleNotices(idle_after_s, float("inf"))
        self._known: dict[tuple[str, ModelIdentity], WatchedColumns | None] = {}
        self._counts: Mapping[str, int] = {}
        self._sources: dict[int, _SourcePartition] = {}
        self._watches: dict[str, StreamWatch] | None = None
        self._due, self._dirty = 0.0, False

    @property
    def _here(self) -> int:
        """The partition of parts, as batches number it."""
        return slot(self.inputs.index(PARTS), 0)

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        self._counts = partitions

    # ---- rows come in --------------------------------------------------------------------------------------------

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse what cannot be watched."""
        good, rejects = sound(batch, PARTS)
        return Admission(good, rejects=rejects)

    def process(self, batch: Batch, now: float) -> Output:
        """Tell what rows mean, or watch what was told.

        Raises Transient while the package of a row's model cannot be had.
        """
        if batch.topic == PARTS:
            steps = self._fold(batch)
            for stream, _, step in steps:
                self._figures.incidents.labels(stream).inc(step.step == "opened")
            emits = self._control.emit(steps, now, self._here)
            return Output(emits, housekeeping=not steps and not any(batch.columns["models"].to_pylist()))
        for model, _ in models_of(batch.columns):
            self._watched(batch.topic, model)
        return Output(tuple(self._told(batch.slice(rows), partition) for partition, rows in batch.runs()))

    def replay(self, batch: Batch) -> None:
        """Fold without telling anything."""
        if batch.topic == PARTS:
            self._fold(batch)
            return
        for partition, rows in batch.runs():
            self._source(partition).advance(batch.slice(rows), self._pipeline.events.allowed_lateness)

    def _told(self, batch: Batch, partition: int) -> Emit:
        """What rows of one partition mean to who watches all."""
        source = self._source(partition)
        progress = source.advance(batch, self._pipeline.events.allowed_lateness)
        self._notices.forget(partition)
        rows: dict[ModelIdentity, ModelRows] = {}
        counted = judged(batch.columns) if batch.topic == OUTCOMES else None
        number = unslot(partition)[1]
        for model, which in models_of(batch.columns):
            watched = self._watched(batch.topic, model)
            for mask in (counted, None if watched is None else watched.new(batch.columns)):
                if mask is not None and not mask.all():
                    which = mask if which is None else which & mask
            at = np.arange(len(batch)) if which is None else np.flatnonzero(which)
            if watched is None:
                self._figures.unwatched.labels(batch.topic).inc(len(at))
            elif len(at):
                columns = batch.columns if which is None else batch.columns.take(pa.array(at))
                places, values = watched.read(columns)
                here = np.full(len(at), number)
                rows[model] = ModelRows(progress[at], here, batch.offset[at], places, values)
        return self._emit(batch.topic, partition, source, False, rows)

    def _emit(
        self, topic: str, partition: int, source: _SourcePartition, idle: bool, rows: Mapping[ModelIdentity, ModelRows]
    ) -> Emit:
        number = unslot(partition)[1]
        row = {
            "source": topic,
            "source_partition": number,
            "next_offset": source.next_offset,
            "progress": max(source.clock.credible, EARLIEST),
            "idle": idle,
            "models": [model._asdict() for model in rows],
            "payload": drift_parts.pack(rows),
        }
        columns = pa.RecordBatch.from_pylist([row], schema=self._parts)
        place = np.array([partition], np.int32), np.zeros(1, np.int32)
        return Emit(PARTS, columns, pa.array([f"{topic}/{number}"]), *place)

    def _watched(self, stream: str, model: ModelIdentity) -> WatchedColumns | None:
        """What is watched of a model; None of one whose package is no good."""
        if (stream, model) not in self._known:
            found = None
            try:
                found = self._columns_of(stream, model)
            except ContractError as error:
                log.error("model not watched", stream=stream, model=model.title, reason=str(error))
            self._known[stream, model] = found
        return self._known[stream, model]

    def _fold(self, batch: Batch) -> list[tuple[str, ModelIdentity, IncidentStep]]:
        reached = batch.columns["progress"].cast(pa.int64()).to_pylist()
        told = batch.columns.drop_columns(["progress"]).to_pylist()  # each is of many rows
        models = [[ModelIdentity(**model) for model in row["models"]] for row in told]
        for row, of_row in zip(told, models, strict=True):  # before anything changes: a package may be out of reach
            for model in of_row:
                self._watched(row["source"], model)
        found: list[tuple[str, ModelIdentity, IncidentStep]] = []
        for row, of_row, time in zip(told, models, reached, strict=True):
            if row["source"] == DECISIONS:
                found += self._watched_rows()
                found += self._decided(Acceptance.of(row["payload"]))
                continue
            mark = row["source_partition"], row["next_offset"], NEVER if time <= EARLIEST else time, row["idle"]
            rows = drift_parts.unpack(of_row, row["payload"])
            self._watch(row["source"]).merge.take(*mark, self._fitting(row["source"], rows))
        found += self._watched_rows()
        self._dirty = True
        return found

    def _watched_rows(self) -> Iterator[tuple[str, ModelIdentity, IncidentStep]]:
        for stream in STREAMS:
            watch = self._watch(stream)
            before = watch.rows
            yield from ((stream, model, step) for model, step in watch.watch())
            self._figures.rows.labels(stream).inc(watch.rows - before)

    def _decided(self, said: Acceptance) -> Iterator[tuple[str, ModelIdentity, IncidentStep]]:
        for stream in STREAMS:
            watch = self._watch(stream)
            if said.incident == incident_of(stream, watch.incidents.count):
                step = watch.accept(f"accepted by {said.actor}: {said.reason}")
                if step is not None:
                    yield (stream, *step)

    def _fitting(self, stream: str, rows: Mapping[ModelIdentity, ModelRows]) -> dict[ModelIdentity, ModelRows]:
        """Those that are of columns that are watched; who wrote others has another package, or none of ours."""
        found = {}
        for model, part in rows.items():
            watched = self._watched(stream, model)
            if watched is not None and watched.fits(part.places, part.values):
                found[model] = part
            else:
                log.error("rows not watched", stream=stream, model=model.title, rows=len(part))
                self._figures.unwatched.labels(stream).inc(len(part))
        return found

    def _watch(self, stream: str) -> StreamWatch:
        assert self._watches is not None, "rows come after `restore`"
        return self._watches[stream]

    def _monitor(self, stream: str, model: ModelIdentity) -> ModelMonitor | None:
        watched = self._watched(stream, model)
        if watched is None:
            return None
        allowed = self._pipeline.drift.false_alarms_per_month
        least = threshold(allowed, stream, self._pipeline.labels is not None)
        return ModelMonitor(watched.names, watched.profiles, least, watched.weights(), watched.proved)

    # ---- how everything stands -----------------------------------------------------------------------------------

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Say who is idle, and how everything stands, every `publish_s`."""
        ours = {partition: quiet for partition, quiet in at_end.items() if partition in self._sources}
        emits = [
            self._emit(self.inputs[unslot(partition)[0]], partition, self._sources[partition], True, {})
            for partition in self._notices.due(ours)
        ]
        if self._watches is not None and self._dirty and now >= self._due:
            self._due, self._dirty = now + self._publish_s, False
            emits += self._standing(self._watches, now)
        return Output(tuple(emits), unfinished=self._dirty)

    def _standing(self, watches: Mapping[str, StreamWatch], now: float) -> list[Emit]:
        rows: list[dict[str, Any]] = []
        for stream, watch in watches.items():
            incident = incident_of(stream, watch.incidents.count) if watch.incidents.open else None
            self._figures.incident.labels(stream).set(watch.incidents.open)
            for model, monitor in watch.monitors.items():
                self._figures.evidence.labels(stream, model.name, model.version).set(monitor.evidence)
                same = {
                    "pipeline": self._pipeline.name,
                    "stream": stream,
                    "model": model._asdict(),
                    "time": int(now * 1000),
                    "reached": max(watch.reached or 0, EARLIEST),
                    "incident": incident,
                }
                rows += [
                    same | UNTOLD | {"column": "", "state": "course", "reached": hour, "evidence": highest}
                    for hour, highest in monitor.course()
                    if hour >= EARLIEST  # the first rows of all have no time yet
                ]
                rows += [same | _said(each) for each in (monitor.whole(), *monitor.standing())]
                watched = self._watched(stream, model)
                rows += [
                    same | UNTOLD | {"column": name, "state": "left_out"}
                    for name in (watched.left_out if watched else ())
                ]
        self._figures.waiting.set(sum(len(watch.merge) for watch in watches.values()))
        if not rows:
            return []
        columns = pa.RecordBatch.from_pylist(rows, schema=self._records)
        keys = pa.array([_key(row) for row in rows])
        return [Emit("drift", columns, keys, np.full(len(rows), self._here, np.int32))]

    # ---- state comes and goes ------------------------------------------------------------------------------------

    def _source(self, partition: int) -> _SourcePartition:
        if partition not in self._sources:
            self._sources[partition] = _SourcePartition()
        return self._sources[partition]

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """See `Service`."""
        if partition != self._here:
            self._sources[partition] = _SourcePartition() if snapshot is None else _SourcePartition.of(snapshot)
            self._notices.forget(partition)
            return
        self._watches = {
            stream: StreamWatch(self._counts[stream], partial(self._monitor, stream), self._pipeline.drift.accept_after)
            for stream in STREAMS
        }
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            said = json.loads(columns["said"].tobytes())
            for stream, watch in self._watches.items():
                watch.load(said[stream], packing.beneath(columns, f"{stream}."))
        self._dirty = True

    def snapshot(self, partition: int) -> bytes:
        """See `Service`."""
        if partition != self._here:
            return self._source(partition).dump()
        said, columns = {}, dict[str, packing.Column]()
        for stream in STREAMS:
            said[stream], found = self._watch(stream).save()
            columns |= {f"{stream}.{name}": column for name, column in found.items()}
        return packing.pack({"said": text_of(said), **columns})

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self._sources.pop(partition, None)
        self._notices.forget(partition)
        if partition == self._here:
            self._watches = None


class _SourcePartition:
    """How far one partition of predictions or outcomes is."""

    def __init__(self, clock: Clock | None = None, next_offset: int = 0) -> None:
        self.clock = clock or Clock()
        self.next_offset = next_offset

    def advance(self, batch: Batch, lateness: int) -> Ints:
        """Take rows in; how far time had come before each, milliseconds."""
        times = batch.columns["event_time"].cast(pa.int64()).to_numpy()
        self.next_offset = int(batch.offset[-1]) + 1
        return self.clock.before_each(times, batch.offset, lateness)[1]

    def dump(self) -> bytes:
        """As JSON."""
        return json.dumps({"clock": self.clock.state.tolist(), "next_offset": self.next_offset}).encode()

    @classmethod
    def of(cls, snapshot: bytes) -> _SourcePartition:
        """What `dump` wrote."""
        said = json.loads(snapshot)
        return cls(Clock(np.array(said["clock"], np.int64)), said["next_offset"])


def _key(row: Mapping[str, Any]) -> str:
    """Of a course, one for each hour."""
    hour = [str(row["reached"])] if row["state"] == "course" else []
    return "/".join((row["stream"], *row["model"].values(), row["column"], *hour))


def _said(each: ColumnStanding) -> dict[str, Any]:
    state = "learning" if each.learning is not None else "changed" if each.changed else "watched"
    return {
        "column": each.column,
        "events": each.events,
        "evidence": each.evidence,
        "state": state,
        "learnt": each.learning,
        "divergence": each.divergence,
        "edges": [] if each.edges is None else each.edges.tolist(),
        "reference": each.reference.tolist(),
        "recent": each.recent.tolist(),
    }
