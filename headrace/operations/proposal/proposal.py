"""All that is proposed for a stream, as values; `pipeline_file` and `schema_file` write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headrace.domain.pipeline.files.spec import TimeLayout
from headrace.domain.pipeline.units import UNITS
from headrace.domain.pipeline.views import RESERVED
from headrace.errors import ConfigurationError
from headrace.operations.proposal import choices
from headrace.operations.proposal.column_profile import StreamColumn, profiles
from headrace.operations.proposal.number_form import NumberForm, number_form
from headrace.operations.proposal.roles import Role, Roles, roles
from headrace.operations.proposal.sample import StreamSample

MEANS = 3
"""Columns whose means over windows are proposed, at the most."""
FIRST_EXAMPLE = 1_704_067_200_000
"""A time for examples of events whose rows have none: the begin of 2024."""


@dataclass(frozen=True, slots=True)
class ProposedField:
    """A field of the event: its type in Avro, what a comment says of it, and its value in the file's first row."""

    name: str
    type: str
    nullable: bool
    doc: str
    example: Any


@dataclass(frozen=True, slots=True)
class ProposedView:
    """A view of windows: its name, its key, its windows, its features, and why."""

    name: str
    key: str
    windows: Sequence[int]
    features: Mapping[str, str]
    why: Sequence[str]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a pipeline file would say of a stream.

    Attributes:
        name: of the pipeline.
        sample: what was looked at.
        form: how numbers are written.
        roles: of the columns.
        id, time, key: fields of the event; `series` and `row` are made where no column serves.
        fields: of the event, in the file's order.
        columns: profile of each field that a column of the file feeds, by field.
        times: layouts of times that need one, by field.
        inputs: fields that a model reads.
        constant: fields of one value, which tell a model nothing.
        categories: texts of few values that a model reads, and these values.
        views: of windows.
        clock: expressions of the moment.
        bands: segments by numbers: field to cuts.
    """

    name: str
    sample: StreamSample
    form: NumberForm
    roles: Roles
    id: str
    time: str
    key: str
    fields: Sequence[ProposedField]
    columns: Mapping[str, StreamColumn]
    times: Mapping[str, TimeLayout]
    inputs: Sequence[str]
    constant: Sequence[str]
    categories: Mapping[str, Sequence[str]]
    views: Sequence[ProposedView]
    clock: Mapping[str, str]
    bands: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def schema(self) -> str:
        """What the schema of its events is called."""
        return f"{self.name}_event"

    @property
    def label(self) -> StreamColumn | None:
        """The column with the truth."""
        return self.roles.label.profile


def propose(name: str, sample: StreamSample) -> Proposal:
    """A pipeline for the stream whose rows these are."""
    delimiter = sample.kind.rpartition(" ")[2]
    texts = [(column, values) for column, values in sample.columns.items() if sample.text]
    form = number_form(texts, delimiter)
    columns = profiles(sample, form)
    if sample.topic is not None:
        columns = [_told_by_topic(one) for one in columns]
    found = roles(columns)
    if sample.topic is not None:
        found = _of_topic(found, sample.topic.topic)
    label = found.label.profile
    left = {*found.left_out, *([label.column] if label is not None else [])}
    kept = [one for one in columns if one.column not in left]
    taken = {one.name for one in columns}
    identity = found.id.profile.name if found.id.profile is not None else choices.free_names(["row"], taken)[0]
    time = found.time.profile.name if found.time.profile is not None else choices.free_names(["happened_at"], taken)[0]
    if found.key.profile is not None:
        key = found.key.profile.name
    else:
        key = choices.free_names(["series"], taken)[0] if found.series else identity
    named = {identity, time, key, *(role.profile.name for role in found.entities if role.profile is not None)}
    fields = _fields(kept, found, identity, time, key)
    numbers = [one for one in kept if one.numeric and one.name not in named and not one.called_id]
    numbers = [one for one in numbers if not (one.called_time and one.time is not None and one.time.layout.unit)]
    constant = [one.name for one in kept if one.distinct < 2 and one.name not in named]
    inputs = [one.name for one in numbers if one.name not in constant]
    texts_kept = [one for one in kept if one.name not in named and one.name not in constant]
    categories = {one.name: values for one in texts_kept if (values := choices.category(one))}
    views = _views(sample, found, key, [one for one in numbers if one.name in inputs])
    clock = _clock(found.time, bool(inputs or categories or views))
    bands = {one.name: found_cuts for one in numbers if len(found_cuts := choices.cuts(one)) >= 2}
    return Proposal(
        name=name,
        sample=sample,
        form=form,
        roles=found,
        id=identity,
        time=time,
        key=key,
        fields=fields,
        columns={one.name: one for one in kept},
        times=_times(kept, time),
        inputs=inputs,
        constant=constant,
        categories=categories,
        views=views,
        clock=clock,
        bands=dict(list(bands.items())[: choices.BANDS]),
    )


def _told_by_topic(one: StreamColumn) -> StreamColumn:
    """A column of a topic, which has no formats of times but ISO 8601 and numbers since 1970."""
    if one.time is None or one.time.layout.format is None:
        return one
    return replace(one, time=None, kind="string" if one.kind == "time" else one.kind)


def _of_topic(found: Roles, topic: str) -> Roles:
    """The roles of a topic's fields: nothing stands in for an id or a time; without an entity, each is for itself.

    Raises:
        ConfigurationError: no field is an id, or a time.
    """
    for what, role in (("an id", found.id), ("a time", found.time)):
        if role.profile is None:
            raise ConfigurationError(
                f"{topic}: {role.evidence}, and an event needs {what}: have its producer write one"
            )
    if found.key.profile is None:
        return replace(found, key=Role(found.id.profile, found.key.evidence, "", True), series=False)
    return found


def _fields(kept: Sequence[StreamColumn], found: Roles, identity: str, time: str, key: str) -> list[ProposedField]:
    fields = []
    if found.id.profile is None:
        fields.append(
            ProposedField(identity, "long", False, "Number of the row in its file, from 1; names the event.", 1)
        )
    if found.time.profile is None:
        doc = "When it happened; rows of files are dated by their numbers."
        fields.append(ProposedField(time, "time", False, doc, FIRST_EXAMPLE))
    if found.key.profile is None and found.series:
        fields.append(ProposedField(key, "string", False, "The one series that all events belong to.", "all"))
    types = {"integer": "long", "number": "double", "boolean": "boolean", "string": "string", "time": "time"}
    for one in kept:
        kind = "time" if one.name == time else types[one.kind]
        needed = one.name in (identity, time, key)
        called = f"{one.column} in files; " if one.column != one.name else ""
        doc = f"{called}{'a time' if kind == 'time' else one.spread}; {one.gaps}."
        fields.append(
            ProposedField(one.name, kind, not (one.complete or needed), doc[0].upper() + doc[1:], _first(one, kind))
        )
    return fields


def _first(one: StreamColumn, kind: str) -> Any:
    """A column's first value, as JSON has it; a time in milliseconds."""
    if kind == "time":
        assert one.time is not None, "only what can be read as a time is one"
        return int(one.time.moments[0] // 1000)
    return None if one.values is None else one.values.drop_null()[0].as_py()


def _times(kept: Sequence[StreamColumn], time: str) -> dict[str, TimeLayout]:
    """What files must say of times; ISO 8601 says it itself."""
    found = {}
    for one in kept:
        if one.time is not None and (one.kind == "time" or one.name == time) and one.time.layout != TimeLayout():
            found[one.name] = one.time.layout
    return found


def _views(sample: StreamSample, found: Roles, key: str, numbers: Sequence[StreamColumn]) -> list[ProposedView]:
    """A view of each entity, the events' own first; none where rows have no time of their own."""
    if found.time.profile is None or found.time.profile.time is None:
        return []
    moments = found.time.profile.time.moments
    span = int((moments.max() - moments.min()) // 1000)
    means = [one for one in numbers if choices.usable(one.name)][:MEANS]
    features = {"events": "count"} | {choices.feature_name("mean", one.name): f"mean({one.name})" for one in means}
    entities: list[tuple[str, int, str]] = []
    if found.key.profile is not None and found.key.profile is not found.id.profile:
        entities.append((key, found.key.profile.distinct, ""))
    elif found.series:
        entities.append((key, 1, ""))
    for role in found.entities:
        if role.profile is not None:
            entities.append((role.profile.name, role.profile.distinct, role.evidence))
    views = []
    taken = {*RESERVED, "clock"}
    for field_, count, evidence in entities:
        lengths, why = choices.windows(sample.rows, count, span)
        if not lengths:
            continue
        plain = choices.feature_name(field_).removesuffix("_id").removesuffix("_age") or "entity"
        name = choices.free_names([plain], taken)[0]
        said = [f"seen: {evidence}" if evidence else "", f"seen: {why}"]
        views.append(ProposedView(name, field_, lengths, features, [one for one in said if one]))
    return views


def _clock(time: Role, others: bool) -> dict[str, str]:
    """Features of the moment, where it has a time of day, or nothing else is there."""
    if time.profile is None or time.profile.time is None:
        return {} if others else {"hour": "hour"}
    moments = time.profile.time.moments
    days = len(np.unique(moments))
    if time.profile.time.day_only:
        # Of a date a year, or of one date alone, the day of the week says nothing.
        rare = days < 8 or days <= (moments.max() - moments.min()) / 1000 / UNITS["d"] / 300
        return {} if others and rare else {"weekend": "weekday >= 5", "month": "month"}
    return {"hour": "hour", "weekend": "weekday >= 5"}
