"""What enrich reads of views that another entity keys: how far they are, and the timelines of a batch's entities."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from prometheus_client import CollectorRegistry

from headrace.domain.features.entities import entities_in_view
from headrace.domain.features.event_gate import times_of
from headrace.domain.features.keyed_windows import Features, question_of
from headrace.domain.features.label_aggregates import LabelQuestion, label_question_of
from headrace.domain.features.sliding_windows import Question
from headrace.domain.features.store_keys import PROGRESS, Shelves, Truth, ViewProgress, read_progress
from headrace.domain.features.values import Timelines
from headrace.domain.features.window_pool import Flags, Ints
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.stores.online import Found, Store
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Batch
from headrace.streaming.watermarks.event_time import NEVER
from headrace.streaming.watermarks.sources import ALWAYS
from services.enrich.metrics import EnrichMetrics
from services.enrich.standstill import Standstill
from services.enrich.store_reads import Reader, entities_in

log = logger("enrich")
Columns = dict[str, npt.NDArray[np.generic]]
LIVE = 2
"""Times `idle_after` before a live row up to when labels are waited for: a source that fell silent is told to be idle
after one, and it is repeated after half of one."""
PATIENCE = 4
"""Times `idle_after` that rows wait without a word: at the end of a stream they wait for a good one."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A view as it was when the store was read.

    `which` is for each row its entity's place among the timelines, the last one being nobody's and empty; `ages` how
    far the view was behind what the row needs, ms.
    """

    timelines: Timelines
    which: Ints
    ages: pa.Array
    question: Question
    labels: LabelQuestion | None
    features: Features

    def answer(self, times: Ints) -> Columns:
        """Feature columns of every row."""
        answers = self.timelines.answer(self.which, times, self.question)
        if self.labels is None:
            return self.features.of(answers)
        return self.features.of(answers, self.timelines.labels(self.which, times, self.labels, answers.count))


@dataclass(frozen=True, slots=True)
class _Asking:
    """What the rows of a batch ask for.

    Attributes:
        whole: int64, ms; up to when all should be told: their own times, but none after the record was written, for
            nobody can know what has not happened yet.
        credible: int64; what is credible of their partition's time, ms. A row beyond it may be dated wrongly, and its
            own source's mark will not come that far for its sake.
        times: int64, ms; what they make do with.
    """

    batch: Batch
    whole: Ints
    credible: Ints
    times: Ints

    def take(self, rows: Ints) -> _Asking:
        """The named rows."""
        return _Asking(self.batch.take(rows), self.whole[rows], self.credible[rows], self.times[rows])

    def within(self, partitions: Collection[int]) -> _Asking:
        """The same, where rows of these partitions ask for no more than is credible."""
        capped = np.minimum(self.times, self.credible)
        rows = np.isin(self.batch.partition, list(partitions))
        return replace(self, times=np.where(rows, capped, self.times))

    def reached(self, told: ViewProgress) -> Ints:
        """The event time that sources have reached, as far as each row has to wait for them."""
        partition = self.batch.partition
        alone = (self.times > self.credible) & (told.offsets[partition] > self.batch.offset)
        reached: Ints = np.where(alone, told.others[partition], told.passed[partition])
        return reached


@dataclass(frozen=True, slots=True)
class Lookup:
    """What one read of the store gave for the rows of a batch that need not wait.

    Attributes:
        batch: these rows.
        held: the partitions whose rows must wait.
    """

    batch: Batch
    held: frozenset[int]
    _views: Mapping[str, _Read] = field(default_factory=dict)

    def features(self, view: View, times: Ints) -> tuple[Columns, pa.Array]:
        """Feature columns of a view, and its age, for every row."""
        read = self._views[view.name]
        return read.answer(times), read.ages


def needed(view: View, times: Ints, lateness: int) -> Ints:
    """Progress from which no entry that an event at `times` must see can still come.

    An entry at or before t - delay can come as long as its source has not gone more than `lateness` beyond it. With
    a shorter delay than that, no event could ever wait so long for its own source; then its own time is asked for.
    """
    return times - view.delay + min(lateness + 1, view.delay)


class Lookups:
    """Reads the store for batches, once each; a batch that is held is asked for progress alone until that suffices.

    A row waits until all sources that are not idle have passed the time that it needs. A source that is idle may have
    records that nobody has read yet. For a row that was written about when it happened, event time is the clock's: it
    waits until every idle source was seen at its end no earlier than the time that it needs. A row of a backfill,
    written long after it happened, waits until every idle source was seen at its end `idle_after` after the row was
    written; what belongs before the row was read by then.

    The one assumption left is that a publisher's partitions do not drift apart by more than `idle_after`: what belongs
    before a record is written, and can be read, no later than that after it.

    A view that folds labels is waited for in the same way: a row of a backfill until labels up to its own time are
    told, so that the answer does not depend on who was quick. A live row does not wait for labels as young as itself:
    it waits until all that could be read `LIVE` times `idle_after` before it is told, and its age says for how long
    labels may be missing.

    A row that is dated far beyond its partition's other rows may be the first after a gap, or dated wrongly, which only
    rows behind it will tell. It waits until all other sources have come as far; when these have stood still (see
    `Standstill`), it is answered with what there is, counted as unproven, and its age says how far they lacked.

    A row that names no entity of a view waits for nothing of it. An entity that the store does not know has no entries,
    for sure: a store that lost something says so, and then rows wait until views has written it again.
    """

    def __init__(self, pipeline: Pipeline, store: Store, figures: EnrichMetrics | None = None) -> None:
        self._views = pipeline.foreign_views
        self._events = pipeline.events
        self._figures = figures or EnrichMetrics(CollectorRegistry())
        self._reader = Reader(store, self._figures)
        self._questions = {view.name: question_of(view, pipeline.events.allowed_lateness) for view in self._views}
        self._labels = {view.name: label_question_of(pipeline, view) for view in self._views}
        self._features = {view.name: Features(view) for view in self._views}
        self._pipeline = pipeline.name
        self._sources = 0
        self._shelves: dict[str, list[bytes]] = {}
        self._held: frozenset[int] = frozenset()
        self._since: dict[int, tuple[float, str]] = {}
        self._still = Standstill(self._views)

    def start(self, partitions: Mapping[str, int]) -> None:
        """Told once: the number of partitions of every topic, by logical name."""
        self._sources = partitions["events"]
        for view in self._views:
            shelves, count = Shelves.of_view(self._pipeline, view), partitions[view.topic]
            self._shelves[view.name] = [shelves.of(partition, count) for partition in range(count)]

    def read(self, batch: Batch, now: float, credible: Mapping[int, int]) -> Lookup:
        """Look a batch up: one round trip. Raises Transient when the store cannot be read.

        `credible`: of each partition present, what is credible of its time (see `timing`). While rows are held
        the views lag behind; then progress is asked for first, and timelines only of rows that go.
        """
        if not self._views:
            return Lookup(batch, frozenset())
        times = times_of(batch.columns, self._events.time)
        whole, believed = np.minimum(times, self._written(batch, times)), np.zeros(len(batch), np.int64)
        for partition, rows in batch.runs():
            believed[rows] = credible[partition]
        asking = _Asking(batch, whole, believed, whole)
        present = frozenset(partition for partition, _ in batch.runs())
        waiting: frozenset[int] = frozenset()
        if self._held:
            marks = [(shelf, [PROGRESS]) for shelves in self._shelves.values() for shelf in shelves]
            waiting, asking = self._behind(asking, self._split(self._reader.read(marks, whole=False)), now)
            self._held = (self._held - present) | waiting
            if waiting == present:
                return Lookup(batch.slice(slice(0)), waiting)
            asking = _without(asking, waiting)
            batch = asking.batch
        entities = {view.name: entities_in(batch, view, len(self._shelves[view.name])) for view in self._views}
        asked = [
            (shelf, [PROGRESS, *fields])
            for name, own in entities.items()
            for shelf, fields in zip(self._shelves[name], own.fields, strict=True)
        ]
        values = self._reader.read(asked)
        progress = self._split(values)
        held, asking = self._behind(asking, progress, now)
        go = None if not held else np.flatnonzero(~np.isin(batch.partition, list(held)))
        if go is not None:
            asking = asking.take(go)
            batch = asking.batch
        held |= waiting
        self._held = (self._held - present) | held
        self._note_unproven(asking, progress)
        found = {}
        at = 0
        for view in self._views:
            own, told = entities[view.name], progress[view.name]
            if told is None:
                break  # Then every partition is held.
            end = at + len(own.fields)
            packed = [value for part in values[at:end] if part is not None for value in part[1:]]
            found[view.name] = self._read(view, asking, told, packed, own.which if go is None else own.which[go])
            at = end
        return Lookup(batch, held, found)

    def forget(self, partition: int) -> None:
        """A partition that is no longer ours waits no more."""
        self._held -= {partition}
        self._since.pop(partition, None)
        self._still.forget(partition)

    def waits_for(self, now: float) -> str | None:
        """What rows have been waiting for, when they have for much longer than idle sources explain."""
        patience = PATIENCE * max((view.idle_after for view in self._views), default=0) / 1000
        for partition, (since, reason) in self._since.items():
            if now - since >= patience:
                return f"events[{partition}] waits for {reason}"
        return None

    def _read(self, view: View, asking: _Asking, told: ViewProgress, packed: list[bytes | None], which: Ints) -> _Read:
        batch, asked = asking.batch, asking.whole
        ages = needed(view, asked, self._events.allowed_lateness) - replace(asking, times=asked).reached(told)
        labels = self._labels[view.name]
        if told.labels is not None:
            known = max(told.labels.known, told.labels.sure)
            late = np.where(self._backfill(view, batch), asked - known, asked - told.labels.alive)
            ages = np.maximum(ages, late)
        nobody = which == len(packed)
        return _Read(
            Timelines([*packed, None], len(view.values), 0 if labels is None else labels.columns),
            which,
            pa.array(np.maximum(ages, 0), mask=nobody),
            self._questions[view.name],
            labels,
            self._features[view.name],
        )

    def _split(self, values: Found) -> dict[str, ViewProgress | None]:
        progress, at = {}, 0
        for name, shelves in self._shelves.items():
            marks = [None if part is None else part[0] for part in values[at : at + len(shelves)]]
            progress[name] = read_progress(marks, self._sources, self._labels[name] is not None)
            at += len(shelves)
        return progress

    def _behind(
        self, asking: _Asking, progress: Mapping[str, ViewProgress | None], now: float
    ) -> tuple[frozenset[int], _Asking]:
        """Partitions with a row that needs more of some view than there is; and what the rows ask for after all."""
        behind = self._reasons(asking, progress)
        ahead = np.unique(asking.batch.partition[asking.times > asking.credible]).tolist()
        if patient := [p for p in ahead if p in behind and self._still.lasts(p, progress, now)]:
            asking = asking.within(patient)
            behind = self._reasons(asking, progress)
        for partition, _ in asking.batch.runs():
            if partition not in behind:
                self._since.pop(partition, None)
                self._still.forget(partition)
            elif self._since.get(partition, (0.0, ""))[1] != behind[partition] or self._since[partition][0] > now:
                self._since[partition] = now, behind[partition]
        return frozenset(behind), asking

    def _note_unproven(self, asking: _Asking, progress: Mapping[str, ViewProgress | None]) -> None:
        """Count rows that are answered though they lack something: they were dated ahead, and others stood still."""
        if not (asking.times < asking.whole).any():
            return
        lacking = np.zeros(len(asking.batch), np.bool_)
        for rows, _ in self._lacking(replace(asking, times=asking.whole), progress):
            lacking |= rows
        for partition, run in asking.batch.runs():
            if count := int(lacking[run].sum()):
                self._figures.unproven.labels(str(partition)).inc(count)
                log.warning(
                    "unproven", partition=partition, records=count, below=int(asking.batch.offset[run.stop - 1]) + 1
                )

    def _reasons(self, asking: _Asking, progress: Mapping[str, ViewProgress | None]) -> dict[int, str]:
        """Partitions with a row that needs more of some view than there is, and what it is that lacks."""
        partition = asking.batch.partition
        lacking = self._lacking(asking, progress)
        return {each: reason for rows, reason in lacking for each in np.unique(partition[rows]).tolist()}

    def _lacking(self, asking: _Asking, progress: Mapping[str, ViewProgress | None]) -> Iterator[tuple[Flags, str]]:
        """Rows that need more of some view than there is, and what it is that lacks."""
        for view in self._views:
            told, name = progress[view.name], f"the view {view.name}"
            if told is None:
                lost = self._reader.lost.intersection(self._shelves[view.name])
                told_nothing = "views has told nothing of one of its partitions yet"
                why = "the online store lost one of its partitions, views writes it again" if lost else told_nothing
                yield np.ones(len(asking.batch), np.bool_), f"{name}: {why}"
                return
            named = entities_in_view(asking.batch.columns, view).is_valid().to_numpy(zero_copy_only=False)
            yield self._entries_behind(view, asking, told) & named, f"{name}: views is behind with entries"
            if told.labels is not None:
                how = "labels has told nothing yet" if told.labels.alive == NEVER else "labels or views is behind"
                yield self._labels_behind(view, asking, told.labels) & named, f"{name} folds labels: {how}"

    def _entries_behind(self, view: View, asking: _Asking, told: ViewProgress) -> Flags:
        need = needed(view, asking.times, self._events.allowed_lateness) - view.max_age
        behind: Flags = need > asking.reached(told)
        if told.seen < ALWAYS:
            backfill = self._backfill(view, asking.batch)
            behind |= np.where(backfill, asking.batch.timestamp + view.idle_after, need) > told.seen
        return behind

    def _labels_behind(self, view: View, asking: _Asking, told: Truth) -> Flags:
        live = asking.times - LIVE * view.idle_after - view.max_age
        need = asking.times - view.max_age
        # What idle sources had told before they fell silent is told: only beyond that may they hold something.
        back = (need > told.sure) & ((need > told.known) | (asking.batch.timestamp + view.idle_after > told.seen))
        return np.where(self._backfill(view, asking.batch), back, live > told.alive)

    def _backfill(self, view: View, batch: Batch) -> Flags:
        """Rows that were written long after they happened."""
        times = times_of(batch.columns, self._events.time)
        return batch.timestamp - times > self._events.allowed_lateness + view.idle_after

    def _written(self, batch: Batch, times: Ints) -> Ints:
        """When rows were written; their own time where Kafka does not say."""
        return np.where(batch.timestamp < 0, times, batch.timestamp)


def _without(asking: _Asking, partitions: frozenset[int]) -> _Asking:
    """The rows of all other partitions."""
    if not partitions:
        return asking
    return asking.take(np.flatnonzero(~np.isin(asking.batch.partition, list(partitions))))
