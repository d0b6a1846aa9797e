"""Events in, features out: checks each event, keeps the windows of its own entity, reads those of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar import packing
from headrace.domain.features.duplicates import MOST, Ids, taken_out
from headrace.domain.features.entities import entities_in_view
from headrace.domain.features.event_gate import DAY, FIRM, Gate, entities_of, late_rows, times_of
from headrace.domain.features.keyed_windows import EntityWindows, Features, question_of
from headrace.domain.features.offline_fold import moment_features
from headrace.domain.features.value_columns import names_of, values_of
from headrace.domain.features.window_pool import Ints
from headrace.domain.pipeline.contracts import REVISION
from headrace.domain.pipeline.spec import VIEW, Pipeline
from headrace.domain.revisions.revision import Revisions, definition_of, differing, digest_of
from headrace.errors import ContractError
from headrace.stores.online import Store
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Admission, Batch, Emit, Output
from headrace.streaming.task.service import Service, Succession
from headrace.streaming.watermarks.event_time import NEVER, Clock
from headrace.streaming.watermarks.idleness import Quiet
from services.enrich.lookup_join import Lookup, Lookups
from services.enrich.metrics import EnrichMetrics
from services.enrich.repartition import ViewRepartition, label_exchanges, prepared
from services.enrich.state import PartitionState

log = logger("enrich")
Columns = dict[str, npt.NDArray[np.generic]]
REMEMBERED = ("events.repeats", "events.repeats_within")
"""What may change with a restart: ids are kept beside the windows, and what is not known of them is told."""
_MILLIS = pa.timestamp("ms", tz="UTC")


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
    facts = ("revisions",)

    def __init__(
        self, pipeline: Pipeline, store: Store, ahead_ms: int = DAY, figures: EnrichMetrics | None = None
    ) -> None:
        self.pipeline = pipeline
        self.gate = Gate(pipeline, ahead_ms)
        self._lookups = Lookups(pipeline, store, figures)
        self._repartition = ViewRepartition(pipeline)
        self._own = pipeline.own_views
        self._foreign = pipeline.foreign_views
        self._features = {view.name: Features(view) for view in self._own}
        self._kinds = {view.name: {c.name: c.type for c in view.columns} for view in pipeline.views.values()}
        self._labelled = pipeline.label_views
        self.counted = (*self.inputs, *pipeline.topics_of(VIEW), *label_exchanges(pipeline))
        self.prepares = prepared(pipeline)
        self._keeps = pipeline.events.repeats == "keep"
        # Labels come by id, so views that fold them count an id once, whatever becomes of repeats.
        remembers = not self._keeps or bool(self._labelled)
        self._remembered = (lambda partition: self._state(partition).ids) if remembers else None
        self._trouble: str | None = None
        self._figures = figures
        self._states: dict[int, PartitionState] = {}
        self._revisions, self._digest = Revisions(pipeline.name), digest_of(pipeline)
        self._definition = packing.json_column(definition_of(pipeline))
        self._succession: Succession | None = None

    @property
    def succession(self) -> Succession:
        """See `Service`; ContractError where the pipeline's revision is none that may run."""
        if self._succession is None:
            self._succession = self._revisions.succession(self.pipeline.revision, self._digest)
        return self._succession

    def learn(self, facts: Batch, now: float) -> None:
        """Take up revisions of the pipeline."""
        self._revisions.take(facts.columns.to_pylist())
        self._succession = None

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        self._lookups.start(partitions)
        self._repartition.start(partitions)

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
            self._repartition.forget(partition)
            self._note_ahead(partition, state)
        emits = self._repartition.told(states, written, times, passed) if ends else ()
        return Admission(good, emits, passed.rejects, passed.remarks)

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Tell the views which partitions stand at their end for so long that nobody should wait for them.

        It is said again while they do, so that readers know until when nothing came.
        """
        emits = self._repartition.idle({partition: self._state(partition) for partition in at_end}, at_end)
        self._note_waiting(now)
        return Output(emits)

    def _note_ahead(self, partition: int, state: PartitionState) -> None:
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
        if self.pipeline.revision > 1:
            record[REVISION] = pa.array(np.full(len(entity), self.pipeline.revision, np.int32))
        if carried := [f.name for f in self.pipeline.event_fields]:
            record["event"] = pa.StructArray.from_arrays([columns.column(name) for name in carried], names=carried)
        ages: dict[str, pa.Array] = {}
        found: dict[str, Columns] = {}
        for view in self._foreign:
            found[view.name], ages[f"{view.name}_age"] = lookup.features(view, times)
        for view in self._own:
            parts = [part[view.name] for part in folded]
            found[view.name] = parts[0]
            if len(parts) > 1:
                found[view.name] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        found |= moment_features(self.pipeline, columns, times, found)
        for name, kinds in self._kinds.items():
            arrays = [_array(found[name][column], kind) for column, kind in kinds.items()]
            record[name] = pa.StructArray.from_arrays(arrays, names=list(kinds))
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
            features: dict[str, Columns] = {}
            for view in self._own:
                values = values_of(view, columns, at)
                entities = entities_in_view(columns, view)
                answers = state.views[view.name].fold_and_answer(entities, at, values, ~late, firm)
                features[view.name] = self._features[view.name].of(answers)
            yield features

    # ---- state comes and goes -----------------------------------------------------------------------------------

    def _state(self, partition: int) -> PartitionState:
        if partition not in self._states:
            self.restore(partition, None)
        return self._states[partition]

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """Take a partition over. Raises ContractError when the snapshot is damaged, or built by another definition."""
        lateness = self.pipeline.events.allowed_lateness
        ids = Ids(self.pipeline.events.repeats_within, keeps=self._keeps)
        views = {view.name: EntityWindows(question_of(view, lateness), names_of(view)) for view in self._own}
        state = PartitionState(views, ids)
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            if "enrich" not in columns:
                raise ContractError(f"state snapshot: holds {sorted(columns)}, which is no state of enrich")
            self._check(columns.pop("definition", None))
            state.clock, state.next_offset = _clock_of(columns)
            state.told = state.clock.ahead
            self._recall(partition, ids, taken_out(columns))
            for name, windows in state.views.items():
                windows.load(packing.beneath(columns, f"{name}."))
        self._states[partition] = state
        self._repartition.forget(partition)

    def _check(self, built: packing.Column | None) -> None:
        """Refuse a state that a file built which says something else; older snapshots (None) do not tell."""
        if built is None:
            return
        paths = differing(packing.json_of(built), packing.json_of(self._definition))
        paths = [path for path in paths if path not in REMEMBERED]
        if not paths:
            return
        name = self.pipeline.name
        raise ContractError(
            f"state snapshot: the pipeline file says something else than the one that built it, of {', '.join(paths)}: "
            f"change it back, or make the change a revision (`headrace revise {name}`), which is built beside it"
        )

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
        columns["definition"] = self._definition
        if self._remembered is not None:
            columns |= state.ids.columns()
        for name, windows in state.views.items():
            columns |= {f"{name}.{key}": column for key, column in windows.columns().items()}
        return packing.pack(columns)

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self._states.pop(partition, None)
        self._repartition.forget(partition)
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
