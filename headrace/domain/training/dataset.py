"""Training rows: features joined with the truth, in time order, and their split into past and future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.models.categories import kind_fault, levels_of
from headrace.domain.models.matrix import EVENT, FeatureMatrix
from headrace.domain.models.package import Input
from headrace.domain.pipeline.categories.spec import Category
from headrace.domain.pipeline.segments import WHOLE, Segments
from headrace.domain.pipeline.spec import Labels, Pipeline
from headrace.domain.pipeline.truth import numbers_of, truths
from headrace.errors import ConfigurationError

kernels: Any = pc  # its stubs know too few of the overloads
NO_CATEGORIES: Mapping[str, Category] = {}


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled rows in time order.

    Attributes:
        inputs: names of the columns of the matrix.
        matrix: float32 [n, inputs], column-major, NaN for missing; 32 bits because that is what the model will be fed.
        labels: int8 [n], 0 or 1, or the place of one of several classes; float64 [n] of quantities.
        times: int64 [n], event times in milliseconds, ascending.
        groups: (segment, group) -> bool [n], the rows of each group of the pipeline's segments that there are any of.
        weights: float64 [n], what each row counts in a fit; None: all the same.
        declared: of inputs that are categories, by name, which number stands for which.
        categories: of columns whose numbers a library may split by sets of, their places and how many numbers there
            are; given to trainers that take `NATIVE`.
        classes: what the classes are called whose places labels are; empty where they are 0 or 1, or quantities.
    """

    inputs: tuple[str, ...]
    matrix: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8] | npt.NDArray[np.float64]
    times: npt.NDArray[np.int64]
    groups: Mapping[tuple[str, str], npt.NDArray[np.bool_]] = field(default_factory=dict)
    weights: npt.NDArray[np.float64] | None = None
    declared: Mapping[str, Input] = field(default_factory=dict)
    categories: Mapping[int, int] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)

    @property
    def quantities(self) -> bool:
        """Whether labels are quantities, and not classes."""
        return bool(self.labels.dtype.kind == "f")

    @property
    def positives(self) -> int:
        """Rows of the positive class; 0 of quantities, and of several classes."""
        return 0 if self.quantities or self.classes else int(self.labels.sum())

    def part(self, rows: slice) -> Dataset:
        """A range of rows, without copying."""
        return Dataset(
            self.inputs,
            self.matrix[rows],
            self.labels[rows],
            self.times[rows],
            {group: members[rows] for group, members in self.groups.items()},
            None if self.weights is None else self.weights[rows],
            self.declared,
            self.categories,
            self.classes,
        )


def newest(features: pa.Table, labels: pa.Table) -> int:
    """The newest moment that the data tell of, milliseconds: of an event or of a label; 0 without any."""
    found = [milliseconds(t[name]) for t, name in ((features, "event_time"), (labels, "label_time")) if len(t)]
    return max((int(times.max()) for times in found), default=0)


def known_by(labels: pa.Table, as_of: int) -> pa.Table:
    """The labels that were known at a moment (milliseconds), it included."""
    return labels.filter(pa.array(milliseconds(labels["label_time"]) <= as_of))


def truth(events: pa.Table, labels: pa.Table, rule: Labels | None, as_of: int) -> npt.NDArray[np.float64]:
    """The label of each event, float64 [n]; NaN where it is not known. The order of the labels makes no difference.

    Of several labels of an event the newest holds; of equally new ones that whose source the pipeline file names first,
    of sources that it does not name the first by name, and then the larger value. So it is with outcomes, too.

    Where silence means something (`unlabelled_is`), an event counts once it has matured, labelled or not: among
    younger ones those with a label are a choice, of positives mostly, and would teach a rate that is none.

    Args:
        events: `event_id`, `event_time`.
        labels: `event_id`, `value`, `label_time`, and `source` where there are several. Those that say nothing (see
            `meaningful`) count as if they were not there.
        rule: what an event without a label is, once it is old enough; when labels come too late; whom to believe.
        as_of: milliseconds; labels from later on are not known, and an event that is `matures_after` older has had its
            time.
    """
    ids = events["event_id"].combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy()
    times = milliseconds(events["event_time"])
    labels = known_by(meaningful(labels, rule), as_of)
    place = kernels.index_in(labels["event_id"], ids.dictionary)
    labels, place = labels.filter(place.is_valid()), place.drop_null().to_numpy()
    value, when, rank = labels["value"].to_numpy(), milliseconds(labels["label_time"]), source_ranks(labels, rule)
    if rule is not None:
        _, first = np.unique(codes, return_index=True)
        timely = when <= times[first][place] + rule.expires_after
        place, value, when, rank = place[timely], value[timely], when[timely], rank[timely]
    order = np.lexsort((value, -rank, when))  # what holds stands last, and the last one written stays
    by_event = np.full(len(ids.dictionary), np.nan)
    by_event[place[order]] = value[order]
    found: npt.NDArray[np.float64] = by_event[codes]
    if rule is not None and rule.unlabelled_is is not None:
        mature = times + rule.matures_after <= as_of
        found[np.isnan(found)] = rule.unlabelled_is
        found[~mature] = np.nan
    return found


def meaningful(labels: pa.Table, rule: Labels | None) -> pa.Table:
    """The labels that say something, each as what it says; see `pipeline.truth`. `labels` refuses the others, too."""
    value = labels["value"].to_numpy()
    said, nothing = truths(value, rule) if rule is not None else (value, ~np.isfinite(value))
    place = labels.schema.get_field_index("value")
    return labels.set_column(place, "value", pa.array(said)).filter(pa.array(~nothing))


def source_ranks(labels: pa.Table, rule: Labels | None) -> npt.NDArray[np.int64]:
    """How far behind the source of each label stands, int64 [n]; 0 is believed first."""
    if "source" not in labels.column_names:
        return np.zeros(len(labels), np.int64)
    sources = labels["source"].combine_chunks().dictionary_encode()
    names = sources.dictionary.to_pylist()
    listed = {name: place for place, name in enumerate(rule.sources if rule is not None else ())}
    ordered = sorted(names, key=lambda name: (listed.get(name, len(listed)), name))
    ranks = np.array([ordered.index(name) for name in names], np.int64)
    found: npt.NDArray[np.int64] = ranks[sources.indices.to_numpy()]
    return found


def assemble(
    features: pa.Table,
    labels: pa.Table,
    inputs: Sequence[str],
    rule: Labels | None,
    as_of: int,
    segments: Segments | None = None,
    categories: Mapping[str, Category] = NO_CATEGORIES,
    quantities: bool = False,
    classes: tuple[str, ...] = (),
) -> Dataset:
    """Labelled rows of a features table, by time and event id, each event once; without a known label it is left out.

    Raises:
        ContractError: an input is no column of the features.
        ConfigurationError: labels are no classes, or of one class only.
    """
    return labelled_rows(
        features, truth(features, labels, rule, as_of), inputs, as_of, segments, categories, quantities, classes
    )


def labelled_rows(
    events: pa.Table,
    value: npt.NDArray[np.float64],
    inputs: Sequence[str],
    as_of: int,
    segments: Segments | None = None,
    categories: Mapping[str, Category] = NO_CATEGORIES,
    quantities: bool = False,
    classes: tuple[str, ...] = (),
) -> Dataset:
    """See `assemble`; `value`: float64 [events], the label of each, NaN where it is not known at `as_of`."""
    order = _order(events)
    order = order[~np.isnan(value[order])]
    found = value[order]
    declared = {name: _declared(name, each, events.take(pa.array(order))) for name, each in categories.items()}
    read = [declared.get(name, Input(name=name)) for name in inputs]
    columns = FeatureMatrix.resolve(read, events.schema, "the model to be trained")
    if not quantities and not classes and not np.isin(found, (0, 1)).all():
        raise ConfigurationError(
            "labels other than 0 and 1: only classes can be trained on; say in the pipeline file which is the positive "
            "class (labels: {positive: 2}), or that the model tells a quantity (model: {output: value})"
        )
    if not len(events):
        raise ConfigurationError(
            "no event has features yet: headrace publish writes events, enrich makes features of them"
        )
    if not len(found):
        raise ConfigurationError(
            f"none of {len(events):,} events has a label known by {_date(as_of)}: headrace publish --to labels writes "
            "labels; or take a later time to know them by"
        )
    if len(np.unique(found)) < 2:
        same = "the same" if quantities else "of one class"
        raise ConfigurationError(
            f"{len(found)} of {len(events)} events have a label known by {_date(as_of)}, all {same}; take a "
            "longer time, or a later one to know labels by"
        )
    matrix = np.asfortranarray(columns.of(events)[order], dtype=np.float32)
    (batch,) = events.combine_chunks().to_batches()
    groups = {
        group: members[order]
        for group, members in (() if segments is None else segments.groups(batch))
        if group != WHOLE and members is not None
    }
    times = milliseconds(events["event_time"])[order]
    told = found if quantities else found.astype(np.int8)
    return Dataset(tuple(inputs), matrix, told, times, groups, declared=declared, classes=classes)


def _declared(name: str, category: Category, events: pa.Table) -> Input:
    """An input that is a category, with those that rows have."""
    if category.encoding == "hash":
        return Input(name=name, buckets=category.buckets)
    struct, _, of = name.rpartition(".")
    struct = struct or EVENT
    # What is not there, or no category, is refused with the other inputs.
    known = struct in events.column_names and events.schema.field(struct).type.get_field_index(of) >= 0
    values = kernels.struct_field(events[struct], of) if known else pa.array([], pa.string())
    return Input(name=name, levels=levels_of(values, category.most) if kind_fault(values.type) is None else ())


def _order(features: pa.Table) -> npt.NDArray[np.int64]:
    """Places of the rows by time and event id, each event at its first; however partitions were read.

    Shorter ids come first, so that ids that are counted up stand as they were counted.
    """
    ids = features["event_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(ids, return_index=True)
    keys = pa.table({"time": features["event_time"], "id": features["event_id"]}).take(pa.array(first))
    keys = keys.append_column("length", kernels.binary_length(keys["id"]))
    by = [(name, "ascending") for name in ("time", "length", "id")]
    places: npt.NDArray[np.int64] = kernels.sort_indices(keys, sort_keys=by).to_numpy()
    return first[places]


def _date(time: int) -> str:
    return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def split(data: Dataset, holdout: float, gap: int) -> tuple[Dataset, Dataset]:
    """The earlier part to fit and the later `holdout` share of the time to judge by, `gap` milliseconds between them.

    The gap keeps rows whose labels would not have been known yet, at the time the model is judged for, out of the fit;
    it takes a quarter of the earlier part at most.
    """
    first, last = int(data.times[0]), int(data.times[-1])
    border = last - int((last - first) * holdout)
    end = border - min(gap, (border - first) // 4)
    return (
        data.part(slice(0, int(np.searchsorted(data.times, end)))),
        data.part(slice(int(np.searchsorted(data.times, border)), len(data))),
    )


def labels_of(pipeline: Pipeline, events: pa.Table) -> pa.Table:
    """Label records for events whose truth is a column of theirs, each known when the event has matured.

    Raises:
        ConfigurationError: the pipeline has no labels, or the events lack their columns.
    """
    rule = pipeline.labels
    if rule is None or rule.value not in events.column_names or rule.id not in events.column_names:
        raise ConfigurationError(f"the events carry no labels as pipeline {pipeline.name} describes them")
    texts: Any = events[rule.value].cast(pa.string()) if rule.names else None
    known: Any = pa.array(milliseconds(events[pipeline.events.time]) + rule.matures_after)
    return pa.table(
        {
            "event_id": events[rule.id].cast(pa.string()),
            "value": pa.array(numbers_of(texts, rule)) if rule.names else events[rule.value].cast(pa.float64()),
            "label_time": known.cast(pa.timestamp("ms", "UTC")),
        }
    )


def milliseconds(times: Any) -> npt.NDArray[np.int64]:
    """A column of times as int64 milliseconds since the epoch."""
    if pa.types.is_timestamp(times.type):
        times = times.cast(pa.timestamp("ms", times.type.tz)).cast(pa.int64())
    found: npt.NDArray[np.int64] = times.to_numpy()
    return found
