"""Reads the `views` section: calendar features, and windows over an entity's events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

from headrace.domain.aggregations.registry import NAMES, OF_LABELS, function_named
from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline import units
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.expressions import Expression, ExpressionError, compile
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.spec import LABEL, Aggregation, Field, Labels, View

ENTITY = ("key", "windows", "delay", "features", "missing", "max_age", "idle_after", "version")
CALENDAR = ("timezone", "version")
RESERVED = (
    "event",
    "event_id",
    "entity",
    "event_time",
    "ingest_time",
    "prediction_id",
    "predicted_time",
    "model",
    "arm",
    "plan_version",
    "score",
    "decision",
)
"""Names that features and predictions records use themselves, so that no view may be called so."""

EXAMPLE = "{key: customer_id, windows: [1d, 7d], features: {nb_tx: count, avg_amount: mean(amount)}}"
NEVER_NULL = "take null out of the event's schema (a view's field may have a rule instead: required: true)"
MOST_COLUMNS = 10_000
_AGGREGATION = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*(?:\(\s*([^()]*?)\s*\))?")


@dataclass(frozen=True, slots=True)
class Readable:
    """What views may read.

    Attributes:
        fields: the event's; where its schema could not be read they are empty, and nothing is said about fields.
        key: the one that keys the events, where that is known.
        labels: where truth comes from; None for a pipeline without labels.
    """

    fields: Mapping[str, Field]
    key: str | None = None
    labels: Labels | None = None


def read_views(node: Node | None, readable: Readable, problems: Problems) -> dict[str, View]:
    """All views, by name, in the file's order."""
    views: dict[str, View] = {}
    for name, entry in Form(node, problems, None, f"customer: {EXAMPLE}").named() if node is not None else ():
        if name in RESERVED:
            problems.add(
                _key(node, name),
                f"a view cannot be called {name}: records have a field of that name",
                f"call it {name}_view",
            )
        # A view that says anything of an entity is one; what is then missing from it is said, not guessed.
        if entry.entries is not None and not {"key", "windows", "features"} & entry.entries.keys():
            views[name] = _calendar(name, entry, readable.fields, problems)
        else:
            views[name] = _entity(name, entry, readable, problems)
    for name in views:
        if name.endswith("_age") and name.removesuffix("_age") in views:
            problems.add(
                _key(node, name),
                f"{name} is also the name of the age of {name.removesuffix('_age')}",
                "call the view something else",
            )
    return views


def _key(node: Node | None, name: str) -> Node:
    assert node is not None
    return node.keys[name]


def _calendar(name: str, node: Node, fields: Mapping[str, Field], problems: Problems) -> View:
    form = Form(node, problems, None, "{weekend: weekday >= 5}")
    timezone = form.text("timezone") or "UTC"
    expressions: dict[str, Expression] = {}
    for feature, entry in form.named():
        if feature in CALENDAR:
            continue
        text = forms.text(entry, problems)
        if text is None:
            continue
        try:
            expressions[feature] = compile(text, fields, timezone)
        except ExpressionError as error:
            # Without the event's schema every field would be unknown.
            if fields or "unknown name" not in error.message:
                place = form.node_of("timezone") if "timezone" in error.message else entry
                problems.add(place, f"{error.message} (column {error.column} of the expression)", error.remedy)
    if not any(feature not in CALENDAR for feature in form.entries):
        problems.add(node, "the view has no features", f"write weekend: weekday >= 5, or {EXAMPLE}")
    return View(name, "calendar", expressions=expressions, version=form.whole("version", 1) or 1)


def _entity(name: str, node: Node, readable: Readable, problems: Problems) -> View:
    form = Form(node, problems, ENTITY, EXAMPLE)
    form.require("key", "name the event's field that identifies the entity, such as key: customer_id")
    form.require("windows", "write the lengths of time to look back, such as windows: [1d, 7d]")
    form.require("features", "write what to compute, such as features: {nb_tx: count}")
    windows = _windows(form, problems)
    features = _features(form, readable, problems)
    if len(windows) * len(features) > MOST_COLUMNS:
        problems.add(
            form.node_of("features"),
            f"{len(features)} features over {len(windows)} windows are {len(windows) * len(features)} columns",
            f"make at most {MOST_COLUMNS} of a view",
        )
        features = {}
    missing = None
    if "missing" in form and form.node_of("missing").text not in ("null", "~", "", ".nan", "NaN"):
        missing = form.number("missing")
    view = View(
        name=name,
        kind="entity",
        key=read_field(form, "key", readable.fields, problems, ("integer", "string"), "an entity"),
        windows=tuple(windows.values()),
        window_names=tuple(windows),
        delay=form.duration("delay") or 0,
        features=features,
        missing=nan if missing is None else missing,
        max_age=form.duration("max_age") or 0,
        idle_after=form.duration("idle_after", least=1_000) or 10_000,
        version=form.whole("version", 1) or 1,
    )
    if view.folds_labels:
        _check_labelled(form, view, readable, problems)
    return view


def _check_labelled(form: Form, view: View, readable: Readable, problems: Problems) -> None:
    """A view that folds labels is told them under its own key, and knows by when a missing one means something."""
    labels = readable.labels
    assert labels is not None, "without labels no aggregation reads them"
    if view.key is not None and view.key == readable.key:
        problems.add(
            form.node_of("features"),
            f"labels reach only views of other entities, and {view.key} keys the events",
            f"aggregate fields of the event, or make a view of another key that reads {LABEL}",
        )
    if labels.unlabelled_is is not None and view.delay < labels.matures_after:
        problems.add(
            form.node_of("delay"),
            f"windows end {units.duration(view.delay)} before the event, when a missing label does not mean "
            f"{labels.unlabelled_is:g} yet: labels.matures_after is {units.duration(labels.matures_after)}",
            f"write delay: {units.duration(labels.matures_after)}",
        )


def read_field(
    form: Form, key: str, fields: Mapping[str, Field], problems: Problems, types: tuple[str, ...], what: str
) -> str | None:
    """An entry that names a field of the event of one of these types, which is never null."""
    name = form.text(key)
    if name is None or not fields:
        return name
    if name not in fields:
        problems.add(form.node_of(key), f"the event has no field {name}", closest(name, fields))
    elif fields[name].type not in types:
        found = f"{name} is {fields[name].type}, {what} has to be {' or '.join(types)}"
        problems.add(form.node_of(key), found, _of_type(fields, types))
    elif fields[name].nullable:
        problems.add(form.node_of(key), f"{name} may be null, {what} may not", NEVER_NULL)
    return name


def _of_type(fields: Mapping[str, Field], types: tuple[str, ...]) -> str:
    names = [f.name for f in fields.values() if f.type in types]
    return f"the event's fields of that type are {', '.join(names)}" if names else "the event has no field of that type"


def _windows(form: Form, problems: Problems) -> dict[str, int]:
    windows: dict[str, int] = {}
    lengths: set[int] = set()
    last = 0
    for node in form.items("windows", "[1d, 7d, 30d]"):
        length = forms.duration(node, problems, least=1)
        if length is None:
            continue
        name = node.text or ""
        if length in lengths:
            problems.add(node, f"the window {name} is there already", "write each window once")
        elif length < last:
            problems.add(
                node,
                f"the window {name} comes after a longer one, {units.duration(last)}",
                "write windows from short to long",
            )
        else:
            windows[name] = last = length
            lengths.add(length)
    if form.node_of("windows").items == ():
        problems.add(form.node_of("windows"), "no window is named", "write at least one, such as [1d]")
    return windows


def _features(form: Form, readable: Readable, problems: Problems) -> dict[str, Aggregation]:
    if "features" not in form:
        return {}
    node = form.node_of("features")
    inner = Form(node, problems, None, "{nb_tx: count, avg_amount: mean(amount)}")
    if node.entries == {}:
        problems.add(node, "the view has no features", "write at least one, such as nb_tx: count")
    features: dict[str, Aggregation] = {}
    for name, entry in inner.named():
        found = _aggregation(entry, readable, problems)
        if found is not None:
            features[name] = found
    return features


def _aggregation(node: Node, readable: Readable, problems: Problems) -> Aggregation | None:
    fields = readable.fields
    text = forms.text(node, problems)
    if text is None:
        return None
    match = _AGGREGATION.fullmatch(text.strip())
    if match is None:
        problems.add(node, f"{text} is not an aggregation", "write count, or a function of a field: mean(amount)")
        return None
    function, name = match[1], match[2]
    if function not in NAMES:
        problems.add(node, f"unknown function {function}", closest(function, NAMES))
    elif name == LABEL and (readable.labels is not None or LABEL not in fields):
        return _of_label(node, function, readable, problems)
    elif not function_named(function).takes_field:
        if not name:
            return Aggregation(function)
        problems.add(node, f"{function} takes no field: it {function_named(function).gloss}", f"write {function}")
    elif not name:
        problems.add(node, f"{function} needs a field", f"write {function}(FIELD), with a numeric field of the event")
    elif fields and name not in fields:
        truth = readable.labels is not None and name == readable.labels.value
        remedy = f"views call what came true {LABEL}: {function}({LABEL})" if truth else closest(name, fields)
        problems.add(node, f"the event has no field {name}", remedy)
    elif fields and fields[name].type not in ("integer", "number", "boolean"):
        problems.add(
            node,
            f"{function} of {name}, which is {fields[name].type}",
            _of_type(fields, ("integer", "number", "boolean")),
        )
    elif fields and fields[name].nullable:
        problems.add(node, f"{name} may be null, what is aggregated may not", NEVER_NULL)
    else:
        return Aggregation(function, name)
    return None


def _of_label(node: Node, function: str, readable: Readable, problems: Problems) -> Aggregation | None:
    if readable.labels is None:
        problems.add(
            node, "the pipeline has no labels", "say where truth comes from: labels: {id: transaction_id, value: fraud}"
        )
    elif LABEL in readable.fields:
        problems.add(
            node,
            f"{LABEL} means what events turned out to be, and the event has a field {LABEL}",
            "give the event's field another name",
        )
    elif function not in OF_LABELS:
        problems.add(node, f"{function} of labels is not kept", f"write one of {', '.join(OF_LABELS)}: mean({LABEL})")
    else:
        return Aggregation(function, of_label=True)
    return None
