"""Reads the `views` section: calendar features, and windows over an entity's events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import nan

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline import units
from headrace.domain.pipeline.aggregations import Readable, read_aggregation
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.documentation.section import KEYS, read_note, read_noted
from headrace.domain.pipeline.documentation.spec import Note
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.language.aggregation import LABEL, Aggregation
from headrace.domain.pipeline.language.expressions import Expression, ExpressionError, compile
from headrace.domain.pipeline.spec import ALL_EVENTS, Field, View

ENTITY = (
    "key",
    "windows",
    "delay",
    "features",
    "missing",
    "max_age",
    "idle_after",
    "version",
    "revision",
    "timezone",
    *KEYS,
)
CALENDAR = ("timezone", "version", *KEYS)
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
    "compute_micros",
    "low",
    "high",
    "pipeline_revision",
    "revision",
    "state",
    "label",
    "label_time",
    "label_delay",
    "label_source",
    "former_state",
    "former_label",
    "reports",
    "conflicting",
    "as_of",
    "mature_before",
)
"""Names that features, predictions and outcomes use themselves, so that no view may be called so."""

EXAMPLE = "{key: customer_id, windows: [1d, 7d], features: {nb_tx: count, avg_amount: mean(amount)}}"
NEVER_NULL = "take null out of the event's schema (a view's field may have a rule instead: required: true)"
MOST_COLUMNS = 10_000
_NEWEST = re.compile(r"([1-9][0-9]{0,5}) in ([^ ]+)", re.ASCII)
"""A window of the newest so many events, within a length of time."""


def read_views(node: Node | None, readable: Readable, problems: Problems) -> dict[str, View]:
    """All views, by name, in the file's order."""
    found: dict[str, View] = {}
    moments: dict[str, Node] = {}
    order: list[str] = []
    for name, entry in Form(node, problems, None, f"customer: {EXAMPLE}").named() if node is not None else ():
        order.append(name)
        if name in RESERVED:
            problems.add(
                _key(node, name),
                f"a view cannot be called {name}: records have a field of that name",
                f"call it {name}_view",
            )
        # A view that says anything of an entity is one; what is then missing from it is said, not guessed.
        if entry.entries is None or {"key", "windows", "features"} & entry.entries.keys():
            found[name] = _entity(name, entry, readable, problems)
        else:
            moments[name] = entry
    for name, entry in moments.items():
        columns = {c.path: Field(c.path, c.type, False, None) for view in found.values() for c in view.columns}
        found[name] = _calendar(name, entry, readable.fields, columns, problems)
    views = {name: found[name] for name in order}
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


def _calendar(
    name: str, node: Node, fields: Mapping[str, Field], columns: Mapping[str, Field], problems: Problems
) -> View:
    form = Form(node, problems, None, "{weekend: weekday >= 5}")
    timezone = form.text("timezone") or "UTC"
    expressions: dict[str, Expression] = {}
    notes: dict[str, Note] = {}
    for feature, given in form.named():
        if feature in CALENDAR:
            continue
        entry, notes[feature] = read_noted(given, "weekday >= 5", problems)
        text = None if entry is None else forms.text(entry, problems)
        if entry is None or text is None:
            continue
        try:
            expressions[feature] = compile(text, fields, timezone, columns)
        except ExpressionError as error:
            # Without the event's schema every field would be unknown.
            if fields or "unknown name" not in error.message:
                place = form.node_of("timezone") if "timezone" in error.message else entry
                problems.add(place, f"{error.message} (column {error.column} of the expression)", error.remedy)
    if not any(feature not in CALENDAR for feature in form.entries):
        problems.add(node, "the view has no features", f"write weekend: weekday >= 5, or {EXAMPLE}")
    version = form.whole("version", 1) or 1
    return View(name, "calendar", expressions=expressions, version=version, note=read_note(form), notes=notes)


def _entity(name: str, node: Node, readable: Readable, problems: Problems) -> View:
    form = Form(node, problems, ENTITY, EXAMPLE)
    form.require("key", "name the event's field that identifies the entity, such as key: customer_id")
    form.require("windows", "write the lengths of time to look back, such as windows: [1d, 7d]")
    form.require("features", "write what to compute, such as features: {nb_tx: count}")
    windows = _windows(form, problems)
    features, notes = _features(form, readable, problems)
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
        key=_entity_key(form, readable.fields, problems),
        windows=tuple(length for length, _ in windows.values()),
        window_names=tuple(windows),
        delay=form.duration("delay") or 0,
        features=features,
        missing=nan if missing is None else missing,
        max_age=form.duration("max_age") or 0,
        idle_after=form.duration("idle_after", least=1_000) or 10_000,
        version=form.whole("version", 1) or 1,
        revision=form.whole("revision", 1, 1_000_000) or 1,
        limits=tuple(limit for _, limit in windows.values()) if any(limit for _, limit in windows.values()) else (),
        note=read_note(form),
        notes=notes,
    )
    if view.folds_labels:
        _check_labelled(form, view, readable, problems)
    return view


def _check_labelled(form: Form, view: View, readable: Readable, problems: Problems) -> None:
    """A view that folds labels is told them under its own key, and knows by when a missing one means something."""
    labels = readable.labels
    assert labels is not None, "without labels no aggregation reads them"
    if view.limits:
        problems.add(
            form.node_of("windows"),
            "labels are folded by time alone",
            f"make a view of its own for what reads {LABEL}, without windows of a number of events",
        )
    if readable.key in view.keys:
        problems.add(
            form.node_of("features"),
            f"labels reach only views of other entities, and {readable.key} keys the events",
            f"aggregate fields of the event, or make a view of another key that reads {LABEL}",
        )
    if labels.unlabelled_is is not None and view.delay < labels.matures_after:
        problems.add(
            form.node_of("delay"),
            f"windows end {units.duration(view.delay)} before the event, when a missing label does not mean "
            f"{labels.unlabelled_is:g} yet: labels.matures_after is {units.duration(labels.matures_after)}",
            f"write delay: {units.duration(labels.matures_after)}",
        )


def _entity_key(form: Form, fields: Mapping[str, Field], problems: Problems) -> str | None:
    """The key of an entity view: a field, a list of fields, or all events."""
    node = form.entries.get("key")
    if node is None:
        return None
    if node.text == ALL_EVENTS:
        return ALL_EVENTS
    names = [forms.text(each, problems) for each in ([node] if node.items is None else node.items)]
    for each, name in zip([node] if node.items is None else node.items, names, strict=True):
        if name is not None:
            check_field(each, name, fields, problems, ("integer", "string"), "an entity")
    if not names or len(set(names)) < len(names):
        problems.add(node, "the key names no field, or one twice", "name each field once: key: [customer_id, device]")
    return "+".join(name or "" for name in names)


def read_field(
    form: Form, key: str, fields: Mapping[str, Field], problems: Problems, types: tuple[str, ...], what: str
) -> str | None:
    """An entry that names a field of the event of one of these types, which is never null."""
    name = form.text(key)
    if name is not None:
        check_field(form.node_of(key), name, fields, problems, types, what)
    return name


def check_field(
    node: Node, name: str, fields: Mapping[str, Field], problems: Problems, types: tuple[str, ...], what: str
) -> None:
    """Note where a name is of no such field; nothing where fields are not known."""
    if not fields:
        return
    if name not in fields:
        problems.add(node, f"the event has no field {name}", closest(name, fields))
    elif fields[name].type not in types:
        found = f"{name} is {fields[name].type}, {what} has to be {' or '.join(types)}"
        problems.add(node, found, _of_type(fields, types))
    elif fields[name].nullable:
        problems.add(node, f"{name} may be null, {what} may not", NEVER_NULL)


def _of_type(fields: Mapping[str, Field], types: tuple[str, ...]) -> str:
    names = [f.name for f in fields.values() if f.type in types]
    return f"the event's fields of that type are {', '.join(names)}" if names else "the event has no field of that type"


def _windows(form: Form, problems: Problems) -> dict[str, tuple[int, int]]:
    """Length and most events (0: all) of each window, by the name that columns have of it."""
    windows: dict[str, tuple[int, int]] = {}
    there: set[tuple[int, int]] = set()
    last = 0
    for node in form.items("windows", "[1d, 7d, 30d]"):
        match = _NEWEST.fullmatch(node.text or "")
        limit = int(match[1]) if match else 0
        length = _length(node, match[2], problems) if match else forms.duration(node, problems, least=1)
        if length is None:
            continue
        name = f"{limit}_in_{match[2]}" if match else node.text or ""
        if (length, limit) in there:
            problems.add(node, f"the window {node.text} is there already", "write each window once")
        elif not limit and length < last:
            problems.add(
                node,
                f"the window {name} comes after a longer one, {units.duration(last)}",
                "write windows from short to long",
            )
        else:
            windows[name] = length, limit
            there.add((length, limit))
            last = last if limit else length
    if form.node_of("windows").items == ():
        problems.add(form.node_of("windows"), "no window is named", "write at least one, such as [1d]")
    return windows


def _length(node: Node, written: str, problems: Problems) -> int | None:
    """How far back a window of a number of events looks."""
    try:
        length = units.milliseconds(written)
    except ValueError as error:
        problems.add(node, f"{written} is not a duration", str(error))
        return None
    if length == 0:
        problems.add(node, f"{written} is too short", "write how far back to look, such as 10 in 7d")
    return length or None


def _features(form: Form, readable: Readable, problems: Problems) -> tuple[dict[str, Aggregation], dict[str, Note]]:
    """Features by name, and what is said of them for people."""
    timezone = form.text("timezone") or "UTC"
    features: dict[str, Aggregation] = {}
    notes: dict[str, Note] = {}
    if "features" not in form:
        return features, notes
    node = form.node_of("features")
    inner = Form(node, problems, None, "{nb_tx: count, avg_amount: mean(amount)}")
    if node.entries == {}:
        problems.add(node, "the view has no features", "write at least one, such as nb_tx: count")
    for name, given in inner.named():
        entry, notes[name] = read_noted(given, "mean(amount)", problems)
        found = None if entry is None else read_aggregation(entry, readable, timezone, problems)
        if found is not None:
            features[name] = found
    return features, notes
