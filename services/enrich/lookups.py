"""What enrich reads of views that another entity keys: how far they are, and the timelines of a batch's entities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.enrich.admitting import entities_of, times_of
from services.enrich.entities import features_of, question_of
from services.enrich.entries import Ints
from services.enrich.shelves import ALWAYS, Progress, Shelf, read_progress
from services.enrich.timelines import Timelines
from services.kit.batch import Batch
from services.kit.online_store import Store
from services.pipeline.spec import Pipeline, View

Columns = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class _Read:
    """A view as it was when the store was read: its progress, and the timelines of the distinct entities asked for."""

    progress: Progress | None
    entities: pa.StringArray
    timelines: Timelines


@dataclass(frozen=True, slots=True)
class Lookup:
    """What one read of the store gave for a batch. `held` are the partitions that must wait."""

    held: frozenset[int]
    _lateness: int = 0
    _views: Mapping[str, _Read] = field(default_factory=dict)

    def features(self, view: View, batch: Batch, times: Ints) -> tuple[Columns, pa.Array]:
        """Feature columns of a view for rows of the batch that was looked up, and the view's age for each."""
        assert view.key is not None, "an entity view has a key"
        read = self._views[view.name]
        entities = entities_of(batch.columns, view.key)
        # The last timeline is nobody's: rows without an entity find it empty.
        index: Any = pc.index_in(entities, read.entities, skip_nulls=True)
        which = index.fill_null(len(read.entities)).to_numpy().astype(np.int64)
        answers = read.timelines.answer(which, times, question_of(view, self._lateness))
        features = features_of(view, answers)
        null = entities.is_null().to_numpy(zero_copy_only=False)
        if read.progress is None:
            return features, pa.nulls(len(times), pa.int64())
        age = np.maximum(needed(view, times, self._lateness) - read.progress.passed[batch.partition], 0)
        return features, pa.array(age, mask=null)


def needed(view: View, times: Ints, lateness: int) -> Ints:
    """Progress from which no entry that an event at `times` must see can still come.

    An entry at or before t - delay can come as long as its source has not gone more than `lateness` beyond it. With
    a shorter delay than that, no event could ever wait so long for its own source; then its own time is asked for.
    """
    return times - view.delay + min(lateness + 1, view.delay)


class Lookups:
    """Reads the store for batches, once each; a batch that is held is asked for progress alone until that suffices.

    A row waits until all sources that are not idle have passed the time that it needs. A source that is idle may have
    records that nobody has read yet. That does not matter to a row that is answered about when it happened: what is
    unread is not older. A row of a backfill, read long after it happened, also waits until every idle source was seen
    at its end `idle_after` after the row was written; what belongs before the row was read by then.

    The one assumption left is that a publisher's partitions do not drift apart by more than `idle_after`: what belongs
    before a record is written, and can be read, no later than that after it.
    """

    def __init__(self, pipeline: Pipeline, store: Store) -> None:
        self._views = pipeline.foreign_views
        self._events = pipeline.events
        self._store = store
        self._shelves = {view.name: Shelf(pipeline.name, view.name, view.version) for view in self._views}
        self._sources = 0
        self._progress: dict[str, list[bytes]] = {}
        self._held: frozenset[int] = frozenset()

    def start(self, partitions: Mapping[str, int]) -> None:
        """Told once: the number of partitions of every topic, by logical name."""
        self._sources = partitions["events"]
        for view in self._views:
            shelf, count = self._shelves[view.name], partitions[f"view.{view.name}"]
            self._progress[view.name] = [shelf.progress(partition) for partition in range(count)]

    def read(self, batch: Batch, now: float) -> Lookup:
        """Look a batch up: one round trip. Raises Transient when the store cannot be read."""
        if not self._views:
            return Lookup(frozenset())
        lateness = self._events.allowed_lateness
        times = times_of(batch.columns, self._events.time)
        present = {partition for partition, _ in batch.runs()}
        if present <= self._held:
            progress = self._split(self._store.read([key for keys in self._progress.values() for key in keys]))
            if self._behind(batch, times, progress, now) == present:
                return Lookup(frozenset(present))
        keys = [key for keys in self._progress.values() for key in keys]
        entities: dict[str, pa.StringArray] = {}
        for view in self._views:
            assert view.key is not None, "an entity view has a key"
            distinct = entities_of(batch.columns, view.key).drop_null().unique()
            entities[view.name] = distinct
            keys += self._shelves[view.name].timelines(distinct)
        values = self._store.read(keys)
        progress = self._split(values)
        held = self._behind(batch, times, progress, now)
        self._held = (self._held - present) | held
        at = sum(len(keys) for keys in self._progress.values())
        found = {}
        for view in self._views:
            names = entities[view.name]
            packed = [*values[at : at + len(names)], None]
            found[view.name] = _Read(progress[view.name], names, Timelines(packed, len(view.fields)))
            at += len(names)
        return Lookup(held, lateness, found)

    def _split(self, values: list[bytes | None]) -> dict[str, Progress | None]:
        progress, at = {}, 0
        for name, keys in self._progress.items():
            progress[name] = read_progress(values[at : at + len(keys)], self._sources)
            at += len(keys)
        return progress

    def _behind(self, batch: Batch, times: Ints, progress: Mapping[str, Progress | None], now: float) -> frozenset[int]:
        """Partitions with a row that needs more of some view than there is."""
        lateness = self._events.allowed_lateness
        behind = np.zeros(len(batch), np.bool_)
        for view in self._views:
            told = progress[view.name]
            if told is None:
                return frozenset(partition for partition, _ in batch.runs())
            behind |= needed(view, times, lateness) - view.max_age > told.passed[batch.partition]
            if told.seen < ALWAYS:
                backfill = np.maximum(batch.timestamp, int(now * 1000)) - times > lateness + view.idle_after
                behind |= backfill & (batch.timestamp + view.idle_after > told.seen)
        return frozenset(np.unique(batch.partition[behind]).tolist())
