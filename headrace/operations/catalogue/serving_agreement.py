"""What was served, held against the same features made anew from the log of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.features.entities import entities_in_view
from headrace.domain.features.event_gate import entities_of, text_of
from headrace.domain.features.offline_fold import FeatureColumns, ForeignViewFold, OwnViewFold, moment_features
from headrace.domain.features.window_pool import Flags, Floats, Ints
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError
from headrace.operations.catalogue.event_log import EventLog
from headrace.operations.catalogue.label_changes import label_changes
from headrace.operations.catalogue.served_rows import numbers, served_rows
from headrace.operations.progress import ProgressView
from headrace.operations.time_spans import FOREVER, TimeSpan
from headrace.streaming.kafka.reader import read_topic
from headrace.streaming.process.settings import Settings
from headrace.streaming.watermarks.event_time import NEVER

SHOWN = 3
"""Differing events that are told of each feature."""


@dataclass(frozen=True, slots=True)
class DifferingEvent:
    """An event whose feature was served as another value; None is null. `event_time`: ms."""

    event_id: str
    event_time: int
    served: float | None
    anew: float | None


@dataclass(frozen=True, slots=True)
class FeatureAgreement:
    """A feature as it was served and made anew.

    Attributes:
        feature: `view.name`.
        compared: events; `different`: of these, not the same to the bit; `same_share`: of the compared.
        largest: the largest difference of two numbers; None where none differ.
        nulls: of the different, where one is null and the other is not.
        behind: of the different, served while a view that it is made of was behind, as its age beside it says: allowed.
        cut: events whose windows reach before what is left of the log; they are not compared.
        first: the first that differ, by event time.
    """

    feature: str
    compared: int
    different: int
    same_share: float
    largest: float | None
    nulls: int
    behind: int
    cut: int
    first: Sequence[DifferingEvent]


@dataclass(frozen=True, slots=True)
class ServingAgreement:
    """Serving against the log.

    Attributes:
        served: events of the span on the features topic; `anew`: of these, found among those made anew.
        not_on_log: of these, not found: their event was deleted, or would be refused now.
        not_served: made anew, and not on the features topic: `enrich` is behind, or they were deleted.
        repeated: events of an id that came several times; they are not compared.
        features: in the order of the file.
        missing: what of the span is not there, a sentence each.
    """

    served: int
    anew: int
    not_on_log: int
    not_served: int
    repeated: int
    features: Sequence[FeatureAgreement]
    missing: Sequence[str]

    @property
    def unexplained(self) -> int:
        """Values that differ though no view was behind."""
        return sum(each.different - each.behind for each in self.features)


@dataclass(frozen=True, slots=True)
class _Anew:
    """Events of the span that passed, with their features."""

    ids: pa.StringArray
    times: Ints
    features: Mapping[str, FeatureColumns]


def serving_agreement(
    settings: Settings, contracts: Contracts, span: TimeSpan, progress: ProgressView
) -> ServingAgreement:
    """Make the features of a span anew, by the gate and windows that serve, and compare event by event.

    Raises:
        ConfigurationError: nothing was served in the span, or there are no events.
        Transient: Kafka does not answer.
    """
    pipeline = contracts.pipeline
    ages = [f"{view.name}_age" for view in pipeline.foreign_views]
    served = served_rows(settings, contracts, span, ["event_id", *pipeline.views, *ages], progress)
    keyed = [view for view in pipeline.views.values() if view.kind == "entity"]
    log = EventLog(settings, contracts, keyed, span.start if span.start > -FOREVER else 0, progress)
    labels = None
    if pipeline.label_views:
        channel = contracts.channel("labels")
        with progress.stage(f"reading {channel.name}"):
            labels = read_topic(settings.connection, channel)[0]
    anew = _made_anew(log, span, labels)
    with progress.stage("comparing"):
        ours, theirs = _once(served.rows["event_id"]), _once(anew.ids)
        place = pc.index_in(served.rows["event_id"], anew.ids)
        found = place.is_valid().to_numpy(zero_copy_only=False)
        at = place.fill_null(0).to_numpy(zero_copy_only=False)
        pairs = ours & found
        pairs[pairs] = theirs[at[pairs]]
        rows, at = served.rows.filter(pa.array(pairs)), at[pairs]
        features = [
            _agreement(pipeline, view, column.name, column.path, rows, anew, at, log.whole_from)
            for view in pipeline.views.values()
            for column in view.columns
        ]
    unserved = ~pc.is_in(anew.ids, served.rows["event_id"]).to_numpy(zero_copy_only=False)
    repeated = int((~ours).sum())
    return ServingAgreement(
        served.rows.num_rows,
        int(pairs.sum()),
        int((~found).sum()),
        int(unserved.sum()),
        repeated,
        features,
        served.missing,
    )


def _made_anew(log: EventLog, span: TimeSpan, labels: pa.Table | None) -> _Anew:
    pipeline = log.pipeline
    own = {view.name: OwnViewFold(pipeline, view) for view in pipeline.own_views}
    foreign = {view.name: ForeignViewFold(pipeline, view) for view in pipeline.foreign_views}
    kept: list[tuple[pa.RecordBatch, Ints, dict[str, FeatureColumns]]] = []
    entries: dict[str, list[tuple[pa.StringArray, pa.StringArray, Ints]]] = {
        view.name: [] for view in pipeline.label_views
    }
    for passed, times in log.passed():
        if not len(passed.batch):
            continue
        columns = passed.batch.columns
        inside = (times >= span.start) & (times < span.stop)
        answers = {name: fold.answers(passed, times) for name, fold in own.items()}
        for name, fold in foreign.items():
            told = fold.told(passed)
            fold.fold(columns.filter(pa.array(told)), times[told])
            if name in entries:
                ids, entities = entities_of(columns, pipeline.events.id), text_of(entities_in_view(columns, fold.view))
                entries[name].append((ids.filter(pa.array(told)), entities.filter(pa.array(told)), times[told]))
        if inside.any():
            part = {name: {each: values[inside] for each, values in own.items()} for name, own in answers.items()}
            kept.append((columns.filter(pa.array(inside)), times[inside], part))
    if not kept:
        raise ConfigurationError(f"no event of {span.text} is on the events topic of {pipeline.name} any more")
    columns = pa.Table.from_batches([part for part, _, _ in kept]).combine_chunks().to_batches()[0]
    times = np.concatenate([part for _, part, _ in kept])
    features = {
        name: {each: np.concatenate([part[name][each] for _, _, part in kept]) for each in kept[0][2][name]}
        for name in own
    }
    for name, fold in foreign.items():
        if labels is not None and pipeline.labels is not None and entries.get(name):
            ids, entities, of = _together(entries[name])
            changes = label_changes(ids, of, labels, pipeline.labels)
            changed = entities.take(pa.array(changes.event))
            fold.fold_labels(changed, of[changes.event], changes.known, changes.labelled, changes.label)
        features[name] = fold.answers(text_of(entities_in_view(columns, fold.view)), times)
    features |= moment_features(pipeline, columns, times, features)
    return _Anew(entities_of(columns, pipeline.events.id), times, features)


def _together(
    parts: Sequence[tuple[pa.StringArray, pa.StringArray, Ints]],
) -> tuple[pa.StringArray, pa.StringArray, Ints]:
    ids, entities, times = zip(*parts, strict=True)
    return pa.concat_arrays(ids), pa.concat_arrays(entities), np.concatenate(times)


def _once(ids: pa.StringArray) -> Flags:
    """Which rows are of an id that is there once."""
    coded = ids.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    found: Flags = np.bincount(coded)[coded] == 1
    return found


def _agreement(
    pipeline: Pipeline, view: View, name: str, path: str, rows: pa.RecordBatch, anew: _Anew, at: Ints, whole_from: int
) -> FeatureAgreement:
    """Compare a column; `at`: the place of each row among those made anew."""
    told = numbers(rows, view.name, name)
    made: Floats = anew.features[view.name][name][at].astype(np.float64)
    times = anew.times[at]
    cut = _cut(pipeline, view, times, whole_from)
    behind = np.zeros(len(at), np.bool_)
    for other in _made_of(pipeline, view):
        ages = rows[f"{other.name}_age"].fill_null(0).to_numpy(zero_copy_only=False)
        behind |= ages > 0
    compared = ~cut
    nulls = np.isnan(told) != np.isnan(made)
    different = compared & (nulls | (~np.isnan(told) & ~np.isnan(made) & (told != made)))
    apart = different & ~nulls
    count = int(compared.sum())
    shown = np.flatnonzero(different)
    shown = shown[np.argsort(times[shown], kind="stable")][:SHOWN]
    return FeatureAgreement(
        path,
        count,
        int(different.sum()),
        1 - float(different.sum()) / count if count else 1.0,
        float(np.abs(told[apart] - made[apart]).max()) if apart.any() else None,
        int((different & nulls).sum()),
        int((different & behind).sum()),
        int(cut.sum()),
        [
            DifferingEvent(rows["event_id"][row].as_py(), int(times[row]), _value(told[row]), _value(made[row]))
            for row in shown.tolist()
        ],
    )


def _made_of(pipeline: Pipeline, view: View) -> list[View]:
    """The views of other entities that a view's features follow from."""
    if view.kind == "entity":
        return [view] if view.foreign(pipeline) else []
    read = {path.partition(".")[0] for each in view.expressions.values() for path in each.columns}
    return [each for each in pipeline.foreign_views if each.name in read] + [
        deeper for each in pipeline.calendar_views if each.name in read for deeper in _made_of(pipeline, each)
    ]


def _cut(pipeline: Pipeline, view: View, times: Ints, whole_from: int) -> npt.NDArray[np.bool_]:
    """Rows whose windows, or those of views that they are made of, reach before what is left of the log."""
    if view.kind == "entity":
        return times - view.span < whole_from if whole_from != NEVER else np.zeros(len(times), np.bool_)
    read = {path.partition(".")[0] for each in view.expressions.values() for path in each.columns}
    found = np.zeros(len(times), np.bool_)
    for name in read:
        found |= _cut(pipeline, pipeline.views[name], times, whole_from)
    return found


def _value(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
