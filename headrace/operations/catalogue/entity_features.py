"""What features are of an entity, now or at a time in the past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.features.entities import entities_in_view
from headrace.domain.features.event_gate import Passed, entities_of, text_of
from headrace.domain.features.offline_fold import FeatureColumns, ForeignViewFold, OwnViewFold, moment_features
from headrace.domain.features.window_pool import Flags, Ints
from headrace.domain.pipeline import units
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError
from headrace.operations.catalogue.event_log import EventLog
from headrace.operations.catalogue.label_changes import label_changes
from headrace.operations.progress import ProgressView
from headrace.streaming.kafka.decode import take_in
from headrace.streaming.kafka.reader import messages, ranges, read_topic
from headrace.streaming.process.settings import Settings
from headrace.streaming.records.batch import Batch, concat
from headrace.streaming.watermarks.event_time import NEVER, SKEW

SERVED, COMPUTED = "served", "computed"
Value = float | int | None


@dataclass(frozen=True, slots=True)
class ViewOfEntity:
    """The features of a view.

    Attributes:
        view, version: of the pipeline file; `key`: the fields that name the entity, empty for a view without a key.
        how: `served` with an event of that very time, or `computed` from the log of events.
        values: by feature column; None is null.
        exact: whether an event of that time, in the order of its partition, has or would have had these values.
        because: why it is not exact, and from when on it is; what may still change it. A sentence each.
    """

    view: str
    version: int
    key: str
    how: str
    values: Mapping[str, Value]
    exact: bool
    because: Sequence[str]


@dataclass(frozen=True, slots=True)
class EntityFeatures:
    """The features of an entity at a time.

    Attributes:
        entity: its name, as in record keys.
        at: event time, ms; `asked`: whether somebody named it, else it is how far the pipeline's event time has come.
        event_id: of the event with which they were served; None where they were computed.
        events: how many of the entity's events up to then are on the topic and count.
        newest: event time of the newest of these, ms; None without any.
    """

    pipeline: str
    revision: int
    entity: str
    at: int
    asked: bool
    event_id: str | None
    events: int
    newest: int | None
    views: Sequence[ViewOfEntity]


@dataclass(frozen=True, slots=True)
class _Events:
    """Events of the entity, in the order of the log.

    Attributes:
        batch, times: the rows and their times, ms.
        folded: which of them count in windows of the events' own key.
        told: by view of another entity, which of them it is told of.
        beyond: by partition, the first offset of any event that is younger than what was asked for.
    """

    batch: Batch
    times: Ints
    folded: Flags
    told: Mapping[str, Flags]
    beyond: Mapping[int, int]

    def take(self, rows: Flags) -> _Events:
        """The rows of a mask."""
        told = {name: flags[rows] for name, flags in self.told.items()}
        return replace(self, batch=self.batch.take(rows), times=self.times[rows], folded=self.folded[rows], told=told)

    @property
    def came_later(self) -> int:
        """How many came after an event that is younger than what was asked for."""
        first = [self.beyond.get(partition, 2**62) for partition in self.batch.partition.tolist()]
        return int(np.count_nonzero(self.folded & (self.batch.offset > np.array(first, np.int64))))


def entity_features(
    settings: Settings, contracts: Contracts, entity: str, at: int | None, view: str | None, progress: ProgressView
) -> EntityFeatures:
    """The features of an entity as of a time.

    With an event of the entity at that very time they are what was served with it; else what an event of then would
    find: windows that end at that time (or `delay` before), of all events up to then that are on the log.

    Args:
        entity: as record keys have it; of several fields joined by `|`.
        at: event time, ms; None: as far as the pipeline's event time has come.
        view: this one alone; None: all views whose key is the events' own.

    Raises:
        ConfigurationError: there is no such view, none for such an entity, or no events.
        Transient: Kafka does not answer.
    """
    pipeline = contracts.pipeline
    views = _views(pipeline, view)
    log = EventLog(settings, contracts, views, at, progress)
    events = _read(log, views, entity, at)
    time = log.reached if at is None else at
    known = events.take(events.times <= time)
    labels, gone = None, ""
    if any(each.folds_labels for each in views):
        labels, gone = _labels(settings, contracts, progress)
    served = _served(settings, contracts, known, time)
    made = {each.name: _computed(pipeline, each, known, entity, time, labels) for each in views}
    if view is None:
        made |= _moments(pipeline, made, time)
    how, found = (COMPUTED, made) if served is None else (SERVED, {name: served[1][name] for name in made})
    told = []
    for name, values in found.items():
        each = pipeline.views[name]
        because = []
        if served is None and each.kind == "entity":
            because = [lack for lack in (log.lacks(each, time), gone if each.folds_labels else "") if lack]
        exact = not because
        if served is None and each.kind == "entity":
            because += _doubts(pipeline, log, each, known, time)
        told.append(ViewOfEntity(name, each.version, "+".join(each.keys), how, values, exact, because))
    return EntityFeatures(
        pipeline.name,
        pipeline.revision,
        entity,
        time,
        at is not None,
        None if served is None else served[0],
        int(known.folded.sum()),
        int(known.times.max()) if len(known.times) else None,
        sorted(told, key=lambda each: list(pipeline.views).index(each.view)),
    )


def _views(pipeline: Pipeline, name: str | None) -> list[View]:
    keyed = {each.name: each for each in pipeline.views.values() if each.kind == "entity"}
    if name is not None:
        if name in keyed:
            return [keyed[name]]
        if name in pipeline.views:
            raise ConfigurationError(f"the view {name} has no key: its features are of events, not of entities")
        raise ConfigurationError(f"{pipeline.name} has no view {name}: {closest(name, pipeline.views)}")
    found = [each for each in keyed.values() if each.keys == (pipeline.events.key,)]
    if not found:
        there = " or ".join(f"--view {each.name} (of {each.key})" for each in keyed.values())
        remedy = f"name one of {there}" if there else "its file has no view with a key"
        raise ConfigurationError(f"no view of {pipeline.name} is of {pipeline.events.key} alone: {remedy}")
    return found


def _read(log: EventLog, views: Sequence[View], entity: str, at: int | None) -> _Events:
    """The entity's events that passed the gate."""
    folds = [ForeignViewFold(log.pipeline, each) for each in views if each.foreign(log.pipeline)]
    parts: list[Passed] = []
    moments: list[Ints] = []
    told: dict[str, list[Flags]] = {fold.view.name: [] for fold in folds}
    beyond: dict[int, int] = {}
    for passed, times in log.passed():
        batch = passed.batch
        for partition, run in batch.runs():
            if at is not None and partition not in beyond and (later := times[run] > at).any():
                beyond[partition] = int(batch.offset[run][np.argmax(later)])
        mine = pc.equal(text_of(entities_in_view(batch.columns, views[0])), entity)
        rows = mine.fill_null(False).to_numpy(zero_copy_only=False)
        if rows.any() or not parts:
            parts.append(replace(passed, batch=batch.take(rows), late=passed.late[rows]))
            moments.append(times[rows])
            for fold in folds:
                told[fold.view.name].append(fold.told(passed)[rows])
    if not parts:
        raise ConfigurationError(
            f"no event of {log.pipeline.name} passes its rules: `headrace lag {log.pipeline.name}`"
        )
    batch = concat([each.batch for each in parts])
    times, folded = np.concatenate(moments), ~np.concatenate([each.late for each in parts])
    flags = {name: np.concatenate(each) for name, each in told.items()}
    # Of one partition as a rule, in its order; of several, where the topic grew, as they were written.
    order = np.lexsort((batch.offset, batch.timestamp)) if len(set(batch.partition.tolist())) > 1 else None
    if order is not None:
        # `Batch.take` wants ascending rows: the columns are all that is read from here on.
        batch = replace(
            batch,
            columns=batch.columns.take(pa.array(order)),
            keys=batch.keys.take(pa.array(order)),
            partition=batch.partition[order],
            offset=batch.offset[order],
            timestamp=batch.timestamp[order],
            created=None,
        )
        times, folded = times[order], folded[order]
        flags = {name: each[order] for name, each in flags.items()}
    return _Events(batch, times, folded, flags, beyond)


def _labels(settings: Settings, contracts: Contracts, progress: ProgressView) -> tuple[pa.Table, str]:
    """All labels that are there, and what it means that others were deleted; empty where none were."""
    channel = contracts.channel("labels")
    with progress.stage(f"reading {channel.name}"):
        table, read = read_topic(settings.connection, channel)
    if not any(part.start > 0 for part in read):
        return table, ""
    first = int(table["_timestamp"].to_numpy().min()) if table.num_rows else None
    since = "all that were written" if first is None else f"those written before {units.moment(first)}"
    return table, f"labels were deleted from {channel.name}, {since}: labels of older events may be missing"


def _computed(
    pipeline: Pipeline, view: View, known: _Events, entity: str, time: int, labels: pa.Table | None
) -> dict[str, Value]:
    """The features of a view from the log of events."""
    if not view.foreign(pipeline):
        return _row(view, OwnViewFold(pipeline, view).at(known.batch.columns, known.times, known.folded, time), 0)
    fold, rows = ForeignViewFold(pipeline, view), known.told[view.name]
    columns, times = known.batch.columns.filter(pa.array(rows)), known.times[rows]
    fold.fold(columns, times)
    if labels is not None and pipeline.labels is not None and view.folds_labels:
        ids = entities_of(columns, pipeline.events.id)
        changes = label_changes(ids, times, labels, pipeline.labels)
        named = pa.array([entity] * len(changes.event), pa.string())
        fold.fold_labels(named, times[changes.event], changes.known, changes.labelled, changes.label)
    return _row(view, fold.answers(pa.array([entity], pa.string()), np.array([time])), 0)


def _row(view: View, columns: FeatureColumns, row: int) -> dict[str, Value]:
    """One row as people and JSON have it."""
    found: dict[str, Value] = {}
    for column in view.columns:
        value = columns[column.name][row].item()
        found[column.path] = None if value != value else int(value) if column.type != "number" else float(value)
    return found


def _moments(pipeline: Pipeline, made: Mapping[str, Mapping[str, Value]], time: int) -> dict[str, dict[str, Value]]:
    """Views without a key that read nothing but the time and what is known of the entity."""
    known = {
        name: {
            column.name: np.array([np.nan if values[column.path] is None else values[column.path]])
            for column in pipeline.views[name].columns
        }
        for name, values in made.items()
    }
    there = {path for values in made.values() for path in values}
    found: dict[str, dict[str, Value]] = {}
    for view in pipeline.calendar_views:
        if any(each.fields or not there.issuperset(each.columns) for each in view.expressions.values()):
            continue
        columns = pa.record_batch({"time": [time]})
        alone = replace(pipeline, views={**{name: pipeline.views[name] for name in known}, view.name: view})
        made_of_it = moment_features(alone, columns, np.array([time]), known)[view.name]
        found[view.name] = _row(view, made_of_it, 0)
        known[view.name] = made_of_it
        there |= set(found[view.name])
    return found


def _served(
    settings: Settings, contracts: Contracts, known: _Events, time: int
) -> tuple[str, dict[str, dict[str, Value]]] | None:
    """The id of the entity's newest event of that very time, and what was served with it; None without."""
    at = np.flatnonzero(known.times == time)
    if not len(at):
        return None
    row, pipeline = int(at[-1]), contracts.pipeline
    columns = known.batch.columns
    wanted = entities_of(columns, pipeline.events.id)[row].as_py()
    key = entities_of(columns, pipeline.events.key)[row].as_py().encode()
    channel = contracts.channel("features")
    since = int(known.batch.timestamp[row]) - SKEW  # It was served after it was written, by another clock.
    there = ranges(settings.connection, channel.name, max(since, 0))
    with closing(messages(settings.connection, channel.name, there)) as found:
        for records in found:
            mine = [record for record in records if record.key() == key]
            if not mine:
                continue
            rows = take_in(channel, mine).batch.columns
            place = pc.index(rows["event_id"], wanted).as_py()
            if place >= 0:
                return wanted, {view.name: _served_row(view, rows, place) for view in pipeline.views.values()}
    return None


def _served_row(view: View, rows: pa.RecordBatch, place: int) -> dict[str, Value]:
    columns = {
        column.name: rows[view.name].field(column.name).slice(place, 1).to_numpy(zero_copy_only=False)
        for column in view.columns
    }
    return _row(view, columns, 0)


def _doubts(pipeline: Pipeline, log: EventLog, view: View, known: _Events, time: int) -> Iterator[str]:
    """What may set what was computed apart from what an event of then was or will be served."""
    lateness = pipeline.events.allowed_lateness
    final = time - view.delay + lateness
    if log.reached == NEVER or log.reached < final:
        come = "no time yet" if log.reached == NEVER else units.moment(log.reached)
        yield f"not final: older events may come until event time has passed {units.moment(final)}, it is at {come}"
    if not view.foreign(pipeline):
        later = known.came_later
        if later:
            yield f"{later:,} of its events came after younger ones: an event of then that came before them lacks them"
    elif view.delay <= lateness:
        yield (
            f"the view's delay is no longer than allowed_lateness ({units.duration(lateness)}): an event of then may "
            "have been served without entries that came out of order"
        )
    if view.max_age:
        yield f"events may be served with a view that is up to {units.duration(view.max_age)} behind"
    if log.unreadable:
        yield f"{log.unreadable:,} records of the events could not be read, and were refused"
