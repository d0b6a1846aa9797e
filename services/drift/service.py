"""Predictions, outcomes and dead letters in, incidents of drift out: a partition's rows, then all in one order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.domain.drift.alarms import DriftEnd
from headrace.domain.drift.allowance import threshold
from headrace.domain.drift.harm.incident_harm import HarmProof
from headrace.domain.drift.incidents import IncidentStep
from headrace.domain.drift.model_monitor import ModelMonitor
from headrace.domain.drift.refusals.refusal_rate import RefusalRate
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.records import drift_parts
from headrace.domain.records.drift_parts import DECISIONS, PARTS, REFUSED, SOURCES, Acceptance, ModelRows
from headrace.domain.records.watched_columns import (
    OUTCOMES,
    PREDICTIONS,
    ModelIdentity,
    WatchedColumns,
    judged,
    models_of,
)
from headrace.errors import ContractError
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Admission, Batch, Emit, Output, Reject, slot, unslot
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.event_time import EARLIEST, NEVER
from headrace.streaming.watermarks.idleness import IdleNotices, Quiet
from services.drift.control_records import ControlRecords, incident_of
from services.drift.harm.harm_records import finding_of
from services.drift.harm.harm_watch import HarmWatch
from services.drift.harm.loss_watch import LossWatch
from services.drift.metrics import DriftMetrics
from services.drift.record_checks import sound
from services.drift.source_partitions import RefusedPartition, RowsPartition
from services.drift.standing_records import StandingRecords
from services.drift.stream_watch import Monitor, StreamWatch

log = logger("drift")
PASSED = {PREDICTIONS: "events", OUTCOMES: "labels"}
"""Streams whose rows say that records of a topic were not refused."""
Columns = Callable[[str, ModelIdentity], WatchedColumns]
Steps = list[tuple[str, ModelIdentity, IncidentStep]]


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
        idle_after_s: seconds at its end after which a partition is idle; see `SourceMarks`.
        figures: metrics.
    """

    inputs = (*SOURCES, PARTS)
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
        self._parts = parts
        self._standing = StandingRecords(pipeline.name, records, figures, self._watched)
        self._control = ControlRecords(pipeline.name, control, self._standing.effect)
        self._publish_s = publish_s
        self._figures = figures
        self._notices = IdleNotices(idle_after_s, idle_after_s / 2)
        self._known: dict[tuple[str, ModelIdentity], WatchedColumns | None] = {}
        self._counts: Mapping[str, int] = {}
        self._sources: dict[int, RowsPartition | RefusedPartition] = {}
        self._watches: dict[str, StreamWatch] | None = None
        self._passed: dict[str, int] = {}
        self._harm = HarmWatch()
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
        good, rejects = sound(batch)
        return Admission(good, rejects=rejects)

    def process(self, batch: Batch, now: float) -> Output:
        """Tell what rows mean, or watch what was told.

        Raises Transient while the package of a row's model cannot be had.
        """
        if batch.topic == PARTS:
            steps, proofs, rejects = self._fold(batch)
            for stream, _, step in steps:
                self._figures.incidents.labels(stream).inc(step.step == "opened")
            for proof in proofs:
                self._figures.harms.labels(proof.basis).inc()
            emits = self._control.emit(steps, now, self._here)
            emits += self._control.emit_harm([finding_of(proof) for proof in proofs], now, self._here)
            return Output(emits, rejects, housekeeping=not emits and not any(batch.columns["models"].to_pylist()))
        if batch.topic != REFUSED:
            for model, _ in models_of(batch.columns):
                self._watched(batch.topic, model)
        return Output(tuple(self._told(batch.slice(rows), partition, now) for partition, rows in batch.runs()))

    def replay(self, batch: Batch) -> None:
        """Fold without telling anything."""
        if batch.topic == PARTS:
            self._fold(batch)
            return
        for partition, rows in batch.runs():
            source = self._source(partition)
            if isinstance(source, RefusedPartition):
                source.advance(batch.slice(rows), unslot(partition)[1])
            else:
                source.advance(batch.slice(rows))

    def _told(self, batch: Batch, partition: int, now: float) -> Emit:
        """What rows of one partition mean to who watches all."""
        source, number = self._source(partition), unslot(partition)[1]
        self._notices.forget(partition)
        if isinstance(source, RefusedPartition):
            return self._emit(partition, source.advance(batch, number), now)
        progress = source.advance(batch)
        rows: dict[ModelIdentity, ModelRows] = {}
        counted = judged(batch.columns) if batch.topic == OUTCOMES else None
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
                places, values = watched.read_with_losses(columns)
                here = np.full(len(at), number)
                rows[model] = ModelRows(progress[at], here, batch.offset[at], places, values)
        return self._emit(partition, rows, now)

    def _emit(self, partition: int, rows: Mapping[ModelIdentity, ModelRows] | None, seen: float) -> Emit:
        """`rows`: None of one that is idle; `seen`: seconds of the clock, when it was at its end, or these are told."""
        place, number = unslot(partition)
        topic, source = self.inputs[place], self._source(partition)
        told = {} if rows is None else rows
        row = {
            "source": topic,
            "source_partition": number,
            "next_offset": source.next_offset,
            "progress": source.progress,
            "idle": rows is None,
            "models": [model._asdict() for model in told],
            "partitions": max(self._counts[topic], number + 1),
            "seen": int(seen * 1000),
            "payload": drift_parts.pack(told),
        }
        columns, key = pa.RecordBatch.from_pylist([row], schema=self._parts), pa.array([f"{topic}/{number}"])
        return Emit(PARTS, columns, key, np.array([partition], np.int32), np.zeros(1, np.int32))

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

    def _fold(self, batch: Batch) -> tuple[Steps, list[HarmProof], tuple[Reject, ...]]:
        """Watch what was told: steps of incidents, what is proved of their harm, and what nobody can have told."""
        reached, seen = (batch.columns[name].cast(pa.int64()).to_pylist() for name in drift_parts.CLOCKS)
        told = batch.columns.drop_columns([*drift_parts.CLOCKS]).to_pylist()  # each is of many rows
        rejects: list[Reject] = []
        parts: list[Acceptance | dict[ModelIdentity, ModelRows] | None] = []
        for at, row in enumerate(told):  # before anything changes: a package may be out of reach
            try:
                parts.append(self._read(row))
            except ContractError as error:
                parts.append(None)
                rejects.append(Reject(int(batch.partition[at]), int(batch.offset[at]), "payload", str(error)))
        found: Steps = []
        stood = self._stood()
        for row, part, *times in zip(told, parts, reached, seen, strict=True):
            if isinstance(part, Acceptance):
                found += self._watched_rows()
                found += self._decided(part)
            elif part is not None:
                found += self._take(row, part, *times)
        found += self._watched_rows()
        self._dirty |= bool(found) or self._stood() != stood
        return found, [*self._harm.take(found, self._watches or {})], tuple(rejects)

    def _stood(self) -> list[tuple[int, int]]:
        """How many rows were watched, and how many wait, by stream."""
        return [(watch.rows, len(watch.merge)) for watch in (self._watches or {}).values()]

    def _read(self, row: Mapping[str, Any]) -> Acceptance | dict[ModelIdentity, ModelRows]:
        """What a part has. Raises ContractError where it is damaged, and Transient while a package cannot be had."""
        if row["source"] == DECISIONS:
            return Acceptance.of(row["payload"])
        models = [ModelIdentity(**model) for model in row["models"]]
        if row["source"] != REFUSED:
            for model in models:
                self._watched(row["source"], model)
        return drift_parts.unpack(models, row["payload"])

    def _take(self, row: Mapping[str, Any], part: dict[ModelIdentity, ModelRows], time: int, seen: int) -> Steps:
        """Take a part up. What is refused is watched at once: its order among the parts of other streams counts."""
        stream = row["source"]
        watch, refused = self._watch(stream), self._watch(REFUSED)
        mark = row["source_partition"], row["next_offset"], NEVER if time <= EARLIEST else time, row["idle"]
        found: Steps = []
        partitions = max(row["partitions"] or self._counts[stream], row["source_partition"] + 1)
        if partitions > watch.merge.marks.count:  # what was due without further ones, wherever batches are cut
            found += self._watched_stream(stream)
            watch.merge.marks.grow(partitions)
        all_awake = watch.merge.marks.all_awake
        fresh = watch.merge.take(*mark, self._fitting(stream, part), seen)
        if not (all_awake and watch.merge.marks.all_awake):  # who comes first decides then, wherever batches are cut
            found += self._watched_stream(stream)
        if watch is refused:
            self._passed |= {of.name: 0 for of, rows in part.items() if fresh and len(rows)}
            found += self._watched_stream(REFUSED)
        elif stream in PASSED:
            self._passed[PASSED[stream]] = self._passed.get(PASSED[stream], 0) + fresh
        if refused.incidents.open:
            found += ((REFUSED, model, step) for model, step in refused.over(self._calm(refused)))
        return found

    def _calm(self, refused: StreamWatch) -> list[tuple[ModelIdentity, DriftEnd]]:
        """What is refused no more, as far as rows say that records of a topic pass since refusals of it were told."""
        passed = {
            topic: self._passed.get(topic, 0) / max(self._watch(stream).merge.marks.count, 1)
            for stream, topic in PASSED.items()
        }
        return [
            (model, end)
            for model, monitor in refused.monitors.items()
            if isinstance(monitor, RefusalRate)
            for end in monitor.passed(passed.get(model.name, 0.0))
        ]

    def _watched_rows(self) -> Iterator[tuple[str, ModelIdentity, IncidentStep]]:
        for stream in SOURCES:
            yield from self._watched_stream(stream)

    def _watched_stream(self, stream: str) -> Iterator[tuple[str, ModelIdentity, IncidentStep]]:
        watch = self._watch(stream)
        before = watch.rows
        yield from ((stream, model, step) for model, step in watch.watch())
        self._figures.rows.labels(stream).inc(watch.rows - before)

    def _decided(self, said: Acceptance) -> Iterator[tuple[str, ModelIdentity, IncidentStep]]:
        for stream in SOURCES:
            watch = self._watch(stream)
            if said.incident == incident_of(stream, watch.incidents.count):
                step = watch.accept(f"accepted by {said.actor}: {said.reason}")
                if step is not None:
                    yield (stream, *step)

    def _fitting(self, stream: str, rows: Mapping[ModelIdentity, ModelRows]) -> dict[ModelIdentity, ModelRows]:
        """Those that are of columns that are watched; who wrote others has another package, or none of ours."""
        found = {}
        for model, part in rows.items():
            if self._fits(stream, model, part):
                found[model] = part
            else:
                log.error("rows not watched", stream=stream, model=model.title, rows=len(part))
                self._figures.unwatched.labels(stream).inc(len(part))
        return found

    def _fits(self, stream: str, model: ModelIdentity, part: ModelRows) -> bool:
        if stream == REFUSED:
            return (part.places.shape[1], part.values.shape[1]) == (0, 2) and bool((part.values[:, 0] >= 0).all())
        watched = self._watched(stream, model)
        return watched is not None and watched.fits_with_losses(part.places, part.values)

    def _watch(self, stream: str) -> StreamWatch:
        assert self._watches is not None, "rows come after `restore`"
        return self._watches[stream]

    def _monitor(self, stream: str, model: ModelIdentity) -> Monitor | None:
        allowed = self._pipeline.drift.false_alarms_per_month
        least = threshold(allowed, stream, self._pipeline.labels is not None)
        if stream == REFUSED:
            return RefusalRate(least)
        watched = self._watched(stream, model)
        if watched is None:
            return None
        return ModelMonitor(
            watched.names, watched.profiles, least, watched.weights(), watched.proved, watched.categories
        )

    def _losses(self, stream: str, model: ModelIdentity) -> LossWatch | None:
        watched = None if stream == REFUSED else self._watched(stream, model)
        return None if watched is None else LossWatch(stream, self._pipeline, watched)

    # ---- how everything stands -----------------------------------------------------------------------------------

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Say who is idle, again and again, and how everything stands, every `publish_s` where that changed."""
        ours = {partition: quiet for partition, quiet in at_end.items() if partition in self._sources}
        emits = [self._emit(partition, None, ours[partition].until) for partition in self._notices.due(ours)]
        if self._watches is not None and self._dirty and now >= self._due:
            self._due, self._dirty = now + self._publish_s, False
            emits += self._standing.emit(self._watches, self._harm.cases.cases, now, self._here)
        behind = any(watch.merge.marks.behind for watch in (self._watches or {}).values())
        return Output(tuple(emits), unfinished=self._dirty or behind)

    # ---- state comes and goes ------------------------------------------------------------------------------------

    def _source(self, partition: int) -> RowsPartition | RefusedPartition:
        if partition not in self._sources:
            self._sources[partition] = self._begun(partition)
        return self._sources[partition]

    def _begun(self, partition: int) -> RowsPartition | RefusedPartition:
        if self.inputs[unslot(partition)[0]] == REFUSED:
            return RefusedPartition(self._pipeline.name)
        return RowsPartition(self._pipeline.events.allowed_lateness)

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """See `Service`."""
        if partition != self._here:
            self._sources[partition] = source = self._begun(partition)
            if snapshot is not None:
                source.load(snapshot)
            self._notices.forget(partition)
            return
        self._watches = {
            stream: StreamWatch(
                partial(self._monitor, stream),
                self._pipeline.drift.accept_after,
                partial(self._losses, stream),
            )
            for stream in SOURCES
        }
        self._passed, self._harm = {}, HarmWatch()
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            said = packing.json_of(columns["said"])
            self._passed = said.get("passed", {})  # an earlier version had neither this nor all of the streams
            for stream, watch in self._watches.items():
                if stream in said:
                    watch.load(said[stream], packing.beneath(columns, f"{stream}."), self._counts[stream])
                for model in watch.other:
                    rows, why = watch.merge.forget(model), "its columns are others now"
                    self._figures.unwatched.labels(stream).inc(rows)
                    log.warning("watched anew", stream=stream, model=model.title, left_out=rows, reason=why)
            self._harm.load(said.get("harm", []))
        self._dirty = True

    def snapshot(self, partition: int) -> bytes:
        """See `Service`."""
        if partition != self._here:
            return self._source(partition).dump()
        said, columns = dict[str, Any](passed=self._passed, harm=self._harm.save()), dict[str, packing.Column]()
        for stream in SOURCES:
            said[stream], found = self._watch(stream).save()
            columns |= {f"{stream}.{name}": column for name, column in found.items()}
        return packing.pack({"said": packing.json_column(said), **columns})

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self._sources.pop(partition, None)
        self._notices.forget(partition)
        if partition == self._here:
            self._watches = None
