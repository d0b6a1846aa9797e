"""Events in, features out: checks each event, keeps the windows of its own entity, reads those of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar import packing
from headrace.domain.features.keyed_windows import EntityWindows, Features, question_of, values_of
from headrace.domain.features.rules import EARLIEST
from headrace.domain.features.window_pool import Ints
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.domain.records.exchange import Labelled, exchanges
from headrace.domain.records.view_changelog import EXCHANGE, Entries, updates
from headrace.errors import ContractError
from headrace.stores.online import Store
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Admission, Batch, Emit, Output
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.event_time import NEVER, Clock
from headrace.streaming.watermarks.idleness import IdleNotices, Quiet
from headrace.streaming.watermarks.marks import Mark
from services.enrich.duplicates import MOST, Ids, taken_out
from services.enrich.event_gate import DAY, FIRM, Gate, Passed, entities_of, late_rows, times_of
from services.enrich.lookup_join import Lookup, Lookups, needed
from services.enrich.metrics import Figures

log = logger("enrich")
Columns = dict[str, npt.NDArray[np.generic]]
_MILLIS = pa.timestamp("ms", tz="UTC")
LEAST_REPEAT = 250
"""Milliseconds: idle marks are not repeated more often, however little a view may be behind."""


@dataclass(slots=True)
class _State:
    """What is known of one partition of the events.

    `ids` are those of its newest events, and `clock` the fold of their times, of all that were admitted; `waiting` the
    least event time of each lot of rows that were admitted and not answered yet, by their last offset; `fresh` that of
    rows answered since everything was durable; `told` how many records ahead of their partition's time were told of.
    """

    views: dict[str, EntityWindows]
    ids: Ids
    clock: Clock = field(default_factory=Clock)
    next_offset: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    fresh: int | None = None
    told: int = 0

    def asked_from(self) -> int | None:
        """The least event time of rows that are not answered for good."""
        times = [*self.waiting.values()] if self.fresh is None else [*self.waiting.values(), self.fresh]
        return min(times, default=None)


class Enrich(Service):
    """The service `enrich` for one pipeline.

    Features depend on the rows of a partition in their order and, for views that another entity keys, on entries that
    a row may know of; never on the clock, on batches, or on what other members do. What others are told of a row
    follows from the rows before it in its partition alone: nothing, where it comes later than is allowed behind what
    they have been told already (ADR 18).

    Parameters:
        pipeline: whose events these are.
        store: where views that another entity keys are read from.
        ahead_ms: see `Gate`.
        figures: metrics, None for none.
    """

    inputs = ("events",)
    answers = ("features",)

    def __init__(self, pipeline: Pipeline, store: Store, ahead_ms: int = DAY, figures: Figures | None = None) -> None:
        self.pipeline = pipeline
        self.gate = Gate(pipeline, ahead_ms)
        self._lookups = Lookups(pipeline, store, figures)
        self._own = pipeline.own_views
        self._foreign = pipeline.foreign_views
        self._features = {view.name: Features(view) for view in self._own}
        self._kinds = {view.name: {c.name: c.type for c in view.columns} for view in pipeline.views.values()}
        self._labelled = pipeline.label_views
        self.counted = (*self.inputs, *(f"view.{view.name}" for view in self._foreign))
        if self._labelled:
            self.counted = (*self.counted, EXCHANGE)
        lateness = pipeline.events.allowed_lateness
        self._notices = {v.name: IdleNotices(v.idle_after / 1000, _repeats_s(v, lateness)) for v in self._foreign}
        if self._labelled:
            idle_after_s = min(view.idle_after for view in self._labelled) / 1000
            self._notices[EXCHANGE] = IdleNotices(idle_after_s, idle_after_s / 2)
        nobody = pa.array([], pa.string())
        self._nothing = Labelled(
            nobody, np.zeros(0, np.int64), {view.name: nobody for view in self._labelled}, np.zeros(0, np.int64)
        )
        self._keeps = pipeline.events.repeats == "keep"
        # Labels come by id, so views that fold them count an id once, whatever becomes of repeats.
        remembers = not self._keeps or bool(self._labelled)
        self._remembered = (lambda partition: self._state(partition).ids) if remembers else None
        self._trouble: str | None = None
        self._partitions: Mapping[str, int] = {}
        self._figures = figures
        self._states: dict[int, _State] = {}

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        self._partitions = partitions
        self._lookups.start(partitions)

    # ---- rows come in -------------------------------------------------------------------------------------------

    def admit(self, batch: Batch, now: float) -> Admission:
        """Check rows, and tell the views that other entities key what the good ones mean to them."""
        runs = list(batch.runs())
        written = {partition: int(batch.timestamp[rows].max()) for partition, rows in runs}
        ends = {partition: int(batch.offset[rows.stop - 1]) + 1 for partition, rows in runs}
        states = {partition: self._state(partition) for partition in ends}
        cut = {partition: state.ids.cut for partition, state in states.items()}
        passed = self.gate.check(
            batch, {partition: state.clock for partition, state in states.items()}, self._remembered
        )
        if self._figures is not None:
            self._figures.note_rules(self.gate.counts)
        self.gate.counts.clear()
        for partition, before in cut.items():
            if states[partition].ids.cut > before:
                within = self.pipeline.events.repeats_within
                forgotten = f"ids before their time: there were more than {MOST}"
                log.warning("repeats", partition=partition, forgotten=forgotten, within_ms=within)
        good = passed.batch
        times = times_of(good.columns, self.pipeline.events.time)
        for partition, rows in good.runs():
            states[partition].waiting[int(good.offset[rows.stop - 1])] = int(times[rows].min())
        for partition, end in ends.items():
            state = states[partition]
            state.next_offset = end
            self._forget_notices(partition)
            self._note_ahead(partition, state)
        emits = self._tell(written, times, passed) if ends else ()
        return Admission(good, emits, passed.rejects, passed.remarks)

    def _tell(self, written: Mapping[int, int], times: Ints, passed: Passed) -> tuple[Emit, ...]:
        good, untold = passed.batch, passed.late | passed.behind
        places = {partition: at for at, partition in enumerate(written)}
        mark = np.zeros(len(good), np.int64)
        for partition, rows in good.runs():
            mark[rows] = places[partition]
        emits, named = [], {}
        for view in self._foreign:
            assert view.key is not None, "an entity view has a key"
            marks = [self._mark(view, partition, time) for partition, time in written.items()]
            entities = named[view.name] = entities_of(good.columns, view.key)
            entries = Entries(entities, times, good.offset, values_of(view, good.columns), mark)
            known = ~untold & entities.is_valid().to_numpy(zero_copy_only=False)
            if view.folds_labels:
                known &= ~passed.again
            if not known.all():
                entries = entries.take(known)
            emits.append(updates(view, self._partitions[f"view.{view.name}"], marks, entries))
        if self._labelled:
            ids = entities_of(good.columns, self.pipeline.events.id)
            events = Labelled(ids, times, {view.name: named[view.name] for view in self._labelled}, mark)
            if (left := untold | passed.again).any():
                events = events.take(~left)
            marks = [self._mark(self._labelled[0], partition, time) for partition, time in written.items()]
            emits.append(exchanges(self._partitions[EXCHANGE], marks, events))
        return tuple(emits)

    def _mark(self, view: View, partition: int, time: int, idle: bool = False) -> Mark:
        """Where a partition is. Its floor is as low as rows may still ask: any that may come, those that wait, and
        those whose answers are not durable, for they come again after a crash.
        """
        state = self._state(partition)
        progress, firm = state.clock.credible, state.clock.firm
        if progress == NEVER:
            return Mark(partition, state.next_offset, EARLIEST, time, idle)
        lateness = self.pipeline.events.allowed_lateness
        if firm == NEVER:  # As long as nothing is firm nothing is late, however old.
            return Mark(partition, state.next_offset, progress, time, idle)
        least = firm - lateness
        asked_from = state.asked_from()
        if asked_from is not None:
            least = min(least, asked_from)
        return Mark(partition, state.next_offset, progress, time, idle, least - view.span - lateness)

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Tell the views which partitions stand at their end for so long that nobody should wait for them.

        It is said again while they do, so that readers know until when nothing came.
        """
        emits = []
        at_end = {p: quiet for p, quiet in at_end.items() if self._state(p).asked_from() is None}
        for view in self._foreign:
            if marks := self._quiet(view, view.name, at_end):
                emits.append(updates(view, self._partitions[f"view.{view.name}"], marks))
        if self._labelled:
            hasty = min(self._labelled, key=lambda view: view.idle_after)
            if marks := self._quiet(hasty, EXCHANGE, at_end):
                emits.append(exchanges(self._partitions[EXCHANGE], marks, self._nothing))
        self._note_waiting(now)
        return Output(tuple(emits))

    def _quiet(self, view: View, listener: str, at_end: Mapping[int, Quiet]) -> list[Mark]:
        """Marks of partitions that are idle, as the listener has not been told for a while."""
        due = self._notices[listener].due(at_end)
        return [self._mark(view, partition, int(at_end[partition].until * 1000), idle=True) for partition in due]

    def _forget_notices(self, partition: int) -> None:
        for notices in self._notices.values():
            notices.forget(partition)

    def _note_ahead(self, partition: int, state: _State) -> None:
        """Say that records were dated ahead of all that their partition, or the broker's clock, knows of."""
        clock = state.clock
        if self._figures is not None:
            self._figures.note(partition, clock, clock.ahead - state.told)
        if clock.ahead > state.told:
            log.warning(
                "ahead", partition=partition, records=clock.ahead - state.told, below=state.next_offset,
                watermark=None if clock.firm == NEVER else clock.firm,
            )  # fmt: skip  # two lines of facts
        state.told = clock.ahead

    def _note_waiting(self, now: float) -> None:
        """Say what is waited for, once it has been for so long that somebody had better look."""
        trouble = self._lookups.waits_for(now)
        if trouble is not None and trouble != self._trouble:
            log.warning("waiting", reason=trouble)
        self._trouble = trouble

    def ready(self) -> str | None:
        """What rows have been waiting for, when they have for much longer than idle sources explain."""
        return self._trouble

    def durable(self) -> None:
        """See `Service`: rows answered so far will not be asked again."""
        for state in self._states.values():
            state.fresh = None

    # ---- rows are answered --------------------------------------------------------------------------------------

    def process(self, batch: Batch, now: float) -> Output:
        """Fold and answer the partitions whose views are far enough; hold the others.

        Raises Transient, with nothing changed, when the online store cannot be read.
        """
        credible = {partition: self._state(partition).clock.credible for partition, _ in batch.runs()}
        lookup = self._lookups.read(batch, now, credible)
        if not len(lookup.batch):
            return Output(held=lookup.held)
        return Output((self._answer(lookup),), held=lookup.held)

    def replay(self, batch: Batch) -> None:
        """Fold rows that were answered in an earlier life."""
        for _ in self._fold(batch, times_of(batch.columns, self.pipeline.events.time), answered=True):
            pass

    def _answer(self, lookup: Lookup) -> Emit:
        events, batch, columns = self.pipeline.events, lookup.batch, lookup.batch.columns
        times = times_of(columns, events.time)
        entity = entities_of(columns, events.key)
        folded = list(self._fold(batch, times, answered=False))
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
                features, ages[f"{view.name}_age"] = lookup.features(view, times)
            else:
                parts = [part[view.name] for part in folded]
                features = parts[0]
                if len(parts) > 1:
                    features = {name: np.concatenate([part[name] for part in parts]) for name in features}
            kinds = self._kinds[view.name]
            arrays = [_array(features[name], kind) for name, kind in kinds.items()]
            record[view.name] = pa.StructArray.from_arrays(arrays, names=list(kinds))
        return Emit("features", pa.RecordBatch.from_pydict(record | ages), entity, batch.partition)

    def _fold(self, batch: Batch, times: Ints, answered: bool) -> Iterator[dict[str, Columns]]:
        """Fold the rows of each partition in turn, with the features of the views that the events' own key keys.

        `answered`: whether that was done in an earlier life.
        """
        events = self.pipeline.events
        for partition, rows in batch.runs():
            state = self._state(partition)
            columns = batch.columns.slice(rows.start, rows.stop - rows.start)
            at = times[rows]
            firm = columns.column(FIRM).to_numpy()
            late = late_rows(at, firm, events.allowed_lateness)
            if not answered:
                least = int(at.min())
                state.fresh = least if state.fresh is None else min(least, state.fresh)
            last = int(batch.offset[rows.stop - 1])
            state.waiting = {offset: least for offset, least in state.waiting.items() if offset > last}
            entities = columns.column(events.key)
            features: dict[str, Columns] = {}
            for view in self._own:
                values = values_of(view, columns)
                answers = state.views[view.name].fold_and_answer(entities, at, values, ~late, firm)
                features[view.name] = self._features[view.name].of(answers)
            yield features

    # ---- state comes and goes -----------------------------------------------------------------------------------

    def _state(self, partition: int) -> _State:
        if partition not in self._states:
            self.restore(partition, None)
        return self._states[partition]

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """Take a partition over. Raises ContractError when the snapshot is damaged or of other views."""
        lateness = self.pipeline.events.allowed_lateness
        ids = Ids(self.pipeline.events.repeats_within, keeps=self._keeps)
        state = _State({view.name: EntityWindows(question_of(view, lateness)) for view in self._own}, ids)
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            if "enrich" not in columns:
                raise ContractError(f"state snapshot: holds {sorted(columns)}, which is no state of enrich")
            state.clock, state.next_offset = _clock_of(columns)
            state.told = state.clock.ahead
            self._recall(partition, ids, taken_out(columns))
            for name, windows in state.views.items():
                start = f"{name}."
                windows.load({k.removeprefix(start): v for k, v in columns.items() if k.startswith(start)})
        self._states[partition] = state
        self._forget_notices(partition)

    def _recall(self, partition: int, ids: Ids, columns: dict[str, packing.Column]) -> None:
        if self._remembered is None:
            return
        if columns:
            ids.load(columns)
        else:
            within = self.pipeline.events.repeats_within
            unknown = "ids of events before this checkpoint: their repeats count again"
            log.warning("repeats", partition=partition, unknown=unknown, within_ms=within)

    def snapshot(self, partition: int) -> bytes | None:
        """Windows, clock and ids of a partition; None while rows wait: clock and ids are of all that came."""
        state = self._state(partition)
        if state.waiting:
            return None
        columns: dict[str, packing.Column] = {"enrich": np.array([state.next_offset]), "clock": state.clock.state}
        if self._remembered is not None:
            columns |= state.ids.columns()
        for name, windows in state.views.items():
            columns |= {f"{name}.{key}": column for key, column in windows.columns().items()}
        return packing.pack(columns)

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self._states.pop(partition, None)
        self._forget_notices(partition)
        if self._figures is not None:
            self._figures.forget(partition)
        self._lookups.forget(partition)


def _clock_of(columns: dict[str, packing.Column]) -> tuple[Clock, int]:
    """Clock and next offset of a snapshot, taken out of it; one of an older version holds a mere watermark."""
    *watermark, next_offset = (int(number) for number in columns.pop("enrich"))
    if watermark:
        return Clock() if watermark[0] == NEVER else Clock.at(watermark[0]), next_offset
    return Clock(columns.pop("clock").astype(np.int64)), next_offset


def _array(values: npt.NDArray[np.generic], kind: str) -> pa.Array:
    """A feature column in the type that its contract says."""
    if kind == "boolean":
        return pa.array(values.astype(np.int32))
    return pa.array(values.astype(np.int64 if kind == "integer" else np.float64, copy=False))


def _repeats_s(view: View, lateness: int) -> float:
    """Seconds between idle marks of a source: often enough that live rows find one as young as they need."""
    slack = int(-needed(view, np.zeros(1, np.int64), lateness)[0]) + view.max_age
    return max(min(view.idle_after, slack) / 2, LEAST_REPEAT) / 1000
