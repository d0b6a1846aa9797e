"""Views that another entity keys: folds updates into windows and publishes them to the online store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import CollectorRegistry

from headrace.columnar import packing
from headrace.domain.features.keyed_windows import SWEEPS, question_of
from headrace.domain.features.label_aggregates import LABEL, LABELLED, label_question_of
from headrace.domain.features.store_keys import PROGRESS, Shelves, fields_of, write_progress
from headrace.domain.features.value_columns import names_of
from headrace.domain.features.window_pool import Flags, Ints
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.domain.records.view_changelog import EXCHANGE, read
from headrace.errors import ContractError, Transient
from headrace.stores.online import Publication, Store
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Admission, Batch, Output
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.event_time import NEVER
from headrace.streaming.watermarks.idleness import Quiet
from headrace.streaming.watermarks.sources import Sources
from services.views.metrics import ViewsMetrics
from services.views.record_checks import sound
from services.views.state import Ledger

log = logger("views")
Beside = TypeVar("Beside", Ints, Flags)
"""What stands beside the columns, a number or a flag a row."""
BEHIND_S = 0.03
"""Publications are at least this far apart, seconds: an entity that changes twice meanwhile is written once."""

RETRY_S = 1.0
"""Further pause after the store was out of reach, seconds."""

CHECK_S = 1.0
"""Between two looks whether the store still has what was written, seconds: readers wait for what it lost."""


@dataclass(slots=True)
class _ViewPartition:
    """One partition of the view's topic.

    `sources` are those of entries, `exchange` those of labels; `offset` is where the fold is; `dirty` (by slot) which
    entities the store does not have as they are; `written` the offset that the store is known to hold, None before it
    was asked; `anew` whether it is to be written without anything that was there before; `whole_from` the offset of the
    snapshot that the state began with: a store behind that lacks entities that will not change again; `end` where the
    log ended when it was taken over, None if nobody said: a store beyond that was written from another log.
    """

    ledger: Ledger
    sources: Sources
    exchange: Sources
    offset: int = 0
    whole_from: int = 0
    written: int | None = None
    anew: bool = False
    dirty: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))
    changed: bool = False
    swept: int = NEVER
    end: int | None = None


class Views(Service):
    """The service `views` for one view that another entity keys.

    What stands in the store is a fold of the view's topic up to the offset beside it: writing again does no harm, and
    of two writers the one that is ahead is right.

    Parameters:
        pipeline, view: whose view it is.
        store: where it is published.
        behind_s: least time between two publications of a partition, seconds.
        figures: where losses of the store are counted.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        view: View,
        store: Store,
        behind_s: float = BEHIND_S,
        figures: ViewsMetrics | None = None,
    ) -> None:
        self.inputs = (view.topic,)
        self.counted = self.inputs
        self.view = view
        self._question = question_of(view, pipeline.events.allowed_lateness)
        self._labels = label_question_of(pipeline, view)
        self._values = names_of(view)
        self._shelves = Shelves.of_view(pipeline.name, view)
        self._store = store
        self._behind_s = behind_s
        self._figures = figures or ViewsMetrics(CollectorRegistry())
        self._published_at = self._checked_at = 0.0
        self._trouble: str | None = None
        self._source_count = self._exchange_count = self._partitions = 0
        self._states: dict[int, _ViewPartition] = {}

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        self._source_count, self._partitions = partitions["events"], partitions[self.inputs[0]]
        self._exchange_count = partitions[self.view.exchange] if self._labels is not None else 0

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse updates that none of us wrote."""
        good, rejects = sound(batch)
        return Admission(good, rejects=rejects)

    def process(self, batch: Batch, now: float) -> Output:
        """Fold updates; publish when it is time.

        Raises Transient when the store cannot be written; the updates are folded then, and a repeat folds nothing.
        """
        self.replay(batch)
        self._publish_when_due(now)
        return Output(housekeeping=not pc.any(pc.greater(pc.list_value_length(batch.columns["keys"]), 0)).as_py())

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Publish what is left, once it is time. An unreachable store is tried again, and makes the service unready."""
        try:
            self._publish_when_due(now)
        except Transient as error:
            self._trouble = str(error)
            self._published_at = now + RETRY_S
        # Entities changed that the store does not show yet.
        return Output(unfinished=any(bool(state.dirty.any()) for state in self._states.values()))

    def ready(self) -> str | None:
        """What the store said when it was last out of reach; None once it took everything."""
        return self._trouble

    def replay(self, batch: Batch) -> None:
        """Fold updates without publishing them now."""
        for partition, rows in batch.runs():
            self._fold(self._state(partition), batch.slice(rows))

    # ---- folding ------------------------------------------------------------------------------------------------

    def _fold(self, state: _ViewPartition, batch: Batch) -> None:
        """Every record at the horizon that held when it came, so that what is held is a fold of the log, however it is
        cut into batches.
        """
        columns, fresh = batch.columns, batch.offset >= state.offset
        of_labels = pc.equal(columns.column("source"), EXCHANGE).to_numpy(zero_copy_only=False)
        before, since, entries = state.sources.horizon(), np.zeros(len(batch), np.int64), ~of_labels
        since[entries], moved = state.sources.take(*_rows(entries, columns, fresh))
        horizons = np.append(before, moved)[np.cumsum(entries)]  # A label finds it as the entry before it left it.
        if self._labels is not None:
            since[of_labels], _ = state.exchange.take(*_rows(of_labels, columns, fresh))
        falls = np.flatnonzero(np.diff(horizons, prepend=before) < 0).tolist()
        for low, high in pairwise(sorted({0, *falls, len(batch)})):
            if low in falls:
                # What the horizon had passed is gone for good, wherever it was held.
                state.ledger.sweep(int(horizons[low - 1]) if low else before)
            run = slice(low, high)
            self._fold_run(state, columns.slice(low, high - low), of_labels[run], since[run], horizons[run])
        state.changed = True
        state.offset = max(state.offset, int(batch.offset[-1]) + 1)

    def _fold_run(
        self, state: _ViewPartition, columns: pa.RecordBatch, of_labels: Flags, since: Ints, horizons: Ints
    ) -> None:
        """Fold records of which no horizon is below the one before. A view that no longer folds labels may still be
        told some.
        """
        ledger = state.ledger
        if not of_labels.all():
            told = read(*_rows(~of_labels, columns, since), self._values)
            entries = told.entities, told.times, told.values
            self._touch(state, ledger.fold(*entries, horizons[~of_labels][told.record]))
        if of_labels.any() and self._labels is not None:
            told = read(*_rows(of_labels, columns, since), (LABELLED, LABEL))
            changes = told.times, told.known, told.values[:, 0], told.values[:, 1]
            self._touch(state, ledger.fold_labels(told.entities, *changes, horizons[of_labels][told.record]))

    def _touch(self, state: _ViewPartition, slots: Ints) -> None:
        """These entities have changed."""
        if len(slots):
            top = int(slots.max()) + 1
            if top > len(state.dirty):
                state.dirty = np.concatenate([state.dirty, np.zeros(top + top // 4 - len(state.dirty), np.bool_)])
            state.dirty[slots] = True

    # ---- publishing ---------------------------------------------------------------------------------------------

    def _publish_when_due(self, now: float) -> None:
        if now - self._published_at < self._behind_s:
            return
        if now - self._checked_at >= CHECK_S:
            self._look_for_losses()
            self._checked_at = now
        for partition, state in self._states.items():
            if state.changed:
                self._publish(partition, state)
        self._published_at = now
        self._trouble = None

    def _look_for_losses(self) -> None:
        """Readers wait for a shelf that the store lost, so nothing may come that would have it written again."""
        written = {
            partition: state
            for partition, state in self._states.items()
            if (-1 if state.written is None else state.written) >= 0
        }
        held = self._store.offsets([self._shelves.of(partition, self._partitions) for partition in written])
        for (partition, state), offset in zip(written.items(), held, strict=True):
            if offset is None:
                self._note_loss(partition, state)

    def _note_loss(self, partition: int, state: _ViewPartition) -> None:
        """Have a shelf written anew that the store lost, or has no longer whole."""
        self._figures.rebuilt.inc()
        log.warning("the store lost a shelf", view=self.view.name, partition=partition, written=state.written)
        self._soil(state)
        state.written = -1

    def _publish(self, partition: int, state: _ViewPartition) -> None:
        """Write changed entities and progress, as one step, if the store is not ahead of us."""
        shelf = self._shelves.of(partition, self._partitions)
        if state.written is None:
            (held,) = self._store.offsets([shelf])
            if held is not None and state.end is not None and held > state.end:
                log.warning("clearing", view=self.view.name, partition=partition, store=held, end=state.end)
                if not self._store.drop(shelf, held):
                    raise Transient("online store: another member writes what is being cleared")
                held = None
            if held is None or held < state.whole_from:
                self._soil(state)
            state.written = -1 if held is None else held
        gone = self._sweep(state)
        values = self._changed(state, gone)
        truth = () if self._labels is None else state.exchange.told()
        values[PROGRESS] = write_progress(*state.sources.progress(), truth)
        outcome = self._store.publish(shelf, state.offset, values, max(state.written, 0) or None, state.anew)
        if outcome is Publication.LOST:
            self._note_loss(partition, state)
            self._publish(partition, state)
            return
        state.changed = False
        if outcome is Publication.WRITTEN:
            state.written = state.offset
            state.anew = False
            state.dirty[:] = False
            state.ledger.release(gone)

    def _soil(self, state: _ViewPartition) -> None:
        """Have every entity written, and nothing stay that was there before."""
        live = state.ledger.live()
        state.dirty = np.zeros(int(live[-1]) + 1 if len(live) else 0, np.bool_)
        state.dirty[live] = True
        state.changed = state.anew = True

    def _sweep(self, state: _ViewPartition) -> Ints:
        """Slots of entities that have no entries left, each time that enough time has passed; else none."""
        horizon = state.sources.horizon()
        if horizon - state.swept <= self._question.slack // SWEEPS:
            return np.zeros(0, np.int64)
        state.swept = horizon
        return state.ledger.sweep(horizon)

    def _changed(self, state: _ViewPartition, gone: Ints) -> dict[bytes, bytes | None]:
        dirty = np.setdiff1d(np.flatnonzero(state.dirty), gone, assume_unique=True)
        values: dict[bytes, bytes | None] = {}
        fields = fields_of(state.ledger.names(dirty))
        values.update(zip(fields, state.ledger.timelines(dirty), strict=True))
        values.update(dict.fromkeys(fields_of(state.ledger.names(gone))))
        return values

    # ---- state comes and goes -----------------------------------------------------------------------------------

    def _state(self, partition: int) -> _ViewPartition:
        if partition not in self._states:
            self.restore(partition, None)
        return self._states[partition]

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """Take a partition over. Raises ContractError when the snapshot is damaged or of another view.

        A store that is further than its log, which ends at `end`, was written from one that no longer exists.
        """
        idle_after = self.view.idle_after
        sources, exchange = Sources(self._source_count, idle_after), Sources(self._exchange_count, idle_after)
        state = _ViewPartition(Ledger(self._question, self._labels, self._values), sources, exchange)
        state.end = end
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            if "views" not in columns:
                raise ContractError(f"state snapshot: holds {sorted(columns)}, which is no state of views")
            state.offset = state.whole_from = int(columns["views"][0])
            state.sources.load(packing.beneath(columns, "sources."))
            if self._labels is not None:
                state.exchange.load(packing.beneath(columns, "exchange."))
            state.ledger.load(packing.beneath(columns, "entities."))
            state.changed = True
        self._states[partition] = state

    def snapshot(self, partition: int) -> bytes:
        """Windows and marks of a partition."""
        state = self._state(partition)
        columns: dict[str, packing.Column] = {"views": np.array([state.offset])}
        columns |= {f"sources.{name}": column for name, column in state.sources.columns().items()}
        if self._labels is not None:
            columns |= {f"exchange.{name}": column for name, column in state.exchange.columns().items()}
        entities = state.ledger.columns(state.sources.horizon())
        return packing.pack(columns | {f"entities.{name}": column for name, column in entities.items()})

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self._states.pop(partition, None)


def _rows(mask: Flags, columns: pa.RecordBatch, beside: Beside) -> tuple[pa.RecordBatch, Beside]:
    return (columns, beside) if mask.all() else (columns.filter(pa.array(mask)), beside[mask])
