"""Events in, features out: checks each event, keeps the windows of its own entity, reads those of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.enrich import packing
from services.enrich.admitting import DAY, Gate, entities_of, late_rows, times_of
from services.enrich.entities import EntityWindows, features_of, question_of, values_of
from services.enrich.entries import NEVER, Flags
from services.enrich.lookups import Lookup, Lookups
from services.enrich.updates import Entries, Mark, updates
from services.kit.batch import Admission, Batch, Emit, Output
from services.kit.errors import ContractError
from services.kit.online_store import Store
from services.kit.service import Service
from services.pipeline.spec import Pipeline, View

Columns = dict[str, npt.NDArray[np.generic]]
_MILLIS = pa.timestamp("ms", tz="UTC")


@dataclass(slots=True)
class _State:
    """What is known of one partition of the events.

    `folded` is the watermark of the rows answered, NEVER before the first; `waiting` the least event time of rows that
    were admitted and not answered yet; `idle` the views that were told not to wait for it.
    """

    views: dict[str, EntityWindows]
    folded: int = NEVER
    next_offset: int = 0
    waiting: int | None = None
    idle: set[str] = field(default_factory=set)


class Enrich(Service):
    """The service `enrich` for one pipeline.

    Features depend on the rows of a partition in their order and, for views that another entity keys, on entries that
    a row may know of; never on the clock, on batches, or on what other members do.

    Parameters:
        pipeline: whose events these are.
        store: where views that another entity keys are read from.
        ahead_ms: see `Gate`.
    """

    input = "events"
    stateful = True

    def __init__(self, pipeline: Pipeline, store: Store, ahead_ms: int = DAY) -> None:
        self.pipeline = pipeline
        self.gate = Gate(pipeline, ahead_ms)
        self._lookups = Lookups(pipeline, store)
        self._own = pipeline.own_views
        self._foreign = pipeline.foreign_views
        self._partitions: Mapping[str, int] = {}
        self._watermarks: dict[int, int] = {}
        self._states: dict[int, _State] = {}

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        self._partitions = partitions
        self._lookups.start(partitions)

    # ---- rows come in -------------------------------------------------------------------------------------------

    def admit(self, batch: Batch, now: float) -> Admission:
        """Check rows, and tell the views that other entities key what the good ones mean to them."""
        ends = [(partition, int(batch.offset[rows.stop - 1]) + 1) for partition, rows in batch.runs()]
        states = {partition: self._state(partition) for partition, _ in ends}
        passed = self.gate.check(batch, self._watermarks)
        good = passed.batch
        times = times_of(good.columns, self.pipeline.events.time)
        least = {partition: int(times[rows].min()) for partition, rows in good.runs()}
        for partition, end in ends:
            state = states[partition]
            state.next_offset = end
            state.idle.clear()
            if partition in least:
                state.waiting = min(least[partition], least[partition] if state.waiting is None else state.waiting)
        emits = tuple(self._tell(view, ends, good, times, passed.late) for view in self._foreign) if ends else ()
        return Admission(good, emits, passed.rejects)

    def _tell(
        self, view: View, ends: list[tuple[int, int]], good: Batch, times: npt.NDArray[np.int64], late: Flags
    ) -> Emit:
        assert view.key is not None, "an entity view has a key"
        marks = [self._mark(view, partition) for partition, _ in ends]
        places = {mark.source: at for at, mark in enumerate(marks)}
        entities = entities_of(good.columns, view.key)
        mark = np.zeros(len(good), np.int64)
        for partition, rows in good.runs():
            mark[rows] = places[partition]
        entries = Entries(entities, times, good.offset, values_of(view, good.columns), mark)
        known = ~late & entities.is_valid().to_numpy(zero_copy_only=False)
        if not known.all():
            entries = entries.take(known)
        return updates(view, self._partitions[f"view.{view.name}"], marks, entries)

    def _mark(self, view: View, partition: int, idle: bool = False) -> Mark:
        """Where a partition is. Its floor is as low as rows may still ask: those waiting, and any that may come."""
        state = self._state(partition)
        watermark = self._watermarks.get(partition, NEVER)
        if watermark == NEVER:
            return Mark(partition, state.next_offset, 0, 0, idle)
        lateness = self.pipeline.events.allowed_lateness
        least = watermark - lateness
        if state.waiting is not None:
            least = min(least, state.waiting)
        return Mark(partition, state.next_offset, watermark, least - view.span - lateness, idle)

    def tick(self, now: float, at_end: Mapping[int, float]) -> Output:
        """Tell the views which partitions stand at their end for so long that nobody should wait for them."""
        emits = []
        for view in self._foreign:
            quiet = [
                partition
                for partition, state in self._states.items()
                if view.name not in state.idle and state.waiting is None
                if now - at_end.get(partition, now) >= view.idle_after / 1000
            ]
            for partition in quiet:
                self._states[partition].idle.add(view.name)
            if quiet:
                marks = [self._mark(view, partition, idle=True) for partition in quiet]
                emits.append(updates(view, self._partitions[f"view.{view.name}"], marks))
        return Output(tuple(emits))

    # ---- rows are answered --------------------------------------------------------------------------------------

    def process(self, batch: Batch, now: float) -> Output:
        """Fold and answer the partitions whose views are far enough; hold the others.

        Raises Transient, with nothing changed, when the online store cannot be read.
        """
        lookup = self._lookups.read(batch)
        if lookup.held:
            batch = batch.take(~np.isin(batch.partition, list(lookup.held)))
        if not len(batch):
            return Output(held=lookup.held)
        return Output((self._answer(batch, lookup),), held=lookup.held)

    def replay(self, batch: Batch) -> None:
        """Fold rows that were answered in an earlier life."""
        for _ in self._fold(batch):
            pass

    def _answer(self, batch: Batch, lookup: Lookup) -> Emit:
        events, columns = self.pipeline.events, batch.columns
        times = times_of(columns, events.time)
        entity = entities_of(columns, events.key)
        folded = list(self._fold(batch))
        record: dict[str, pa.Array] = {
            "event_id": columns.column(events.id).cast(pa.string()),
            "entity": entity,
            "event_time": pa.array(times, _MILLIS),
            "ingest_time": pa.array(batch.timestamp, _MILLIS),
        }
        if carried := [f.name for f in self.pipeline.event_fields]:
            record["event"] = pa.StructArray.from_arrays([columns.column(name) for name in carried], names=carried)
        ages: dict[str, pa.Array] = {}
        for view in self.pipeline.views.values():
            if view.kind == "calendar":
                features = {name: e.evaluate(columns, times) for name, e in view.expressions.items()}
            elif view in self._foreign:
                features, ages[f"{view.name}_age"] = lookup.features(view, batch, times)
            else:
                parts = [part[view.name] for part in folded]
                features = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            kinds = {column.name: column.type for column in view.columns}
            arrays = [_array(features[name], kind) for name, kind in kinds.items()]
            record[view.name] = pa.StructArray.from_arrays(arrays, names=list(kinds))
        return Emit("features", pa.RecordBatch.from_pydict(record | ages), entity, batch.partition)

    def _fold(self, batch: Batch) -> Iterator[dict[str, Columns]]:
        """Fold the rows of each partition in turn, with the features of the views that the events' own key keys."""
        events = self.pipeline.events
        for partition, rows in batch.runs():
            state = self._state(partition)
            columns = batch.columns.slice(rows.start, rows.stop - rows.start)
            times = times_of(columns, events.time)
            late = np.zeros(len(times), np.bool_)
            good = np.ones(len(times), np.bool_)
            # Late rows are found again by the rule that admitted them, so that nothing but rows need be remembered.
            state.folded = late_rows(times, good, events.allowed_lateness, state.folded, late)
            state.waiting = None
            entities = columns.column(events.key)
            features: dict[str, Columns] = {}
            for view in self._own:
                values = values_of(view, columns)
                answers = state.views[view.name].fold_and_answer(entities, times, values, ~late)
                features[view.name] = features_of(view, answers)
            yield features

    # ---- state comes and goes -----------------------------------------------------------------------------------

    def _state(self, partition: int) -> _State:
        if partition not in self._states:
            self.restore(partition, None)
        return self._states[partition]

    def restore(self, partition: int, snapshot: bytes | None) -> None:
        """Take a partition over. Raises ContractError when the snapshot is damaged or of other views."""
        lateness = self.pipeline.events.allowed_lateness
        state = _State({view.name: EntityWindows(question_of(view, lateness)) for view in self._own})
        self._watermarks.pop(partition, None)
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            if "enrich" not in columns:
                raise ContractError(f"state snapshot: holds {sorted(columns)}, which is no state of enrich")
            state.folded, state.next_offset = (int(number) for number in columns.pop("enrich"))
            for name, windows in state.views.items():
                start = f"{name}."
                windows.load({k.removeprefix(start): v for k, v in columns.items() if k.startswith(start)})
            if state.folded != NEVER:
                self._watermarks[partition] = state.folded
        self._states[partition] = state

    def snapshot(self, partition: int) -> bytes:
        """Windows and watermark of a partition whose rows are all answered."""
        state = self._state(partition)
        columns: dict[str, packing.Column] = {"enrich": np.array([state.folded, state.next_offset])}
        for name, windows in state.views.items():
            columns |= {f"{name}.{key}": column for key, column in windows.columns().items()}
        return packing.pack(columns)

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self._states.pop(partition, None)
        self._watermarks.pop(partition, None)


def _array(values: npt.NDArray[np.generic], kind: str) -> pa.Array:
    """A feature column in the type that its contract says."""
    if kind == "boolean":
        return pa.array(values.astype(np.int32))
    return pa.array(values.astype(np.int64 if kind == "integer" else np.float64, copy=False))
