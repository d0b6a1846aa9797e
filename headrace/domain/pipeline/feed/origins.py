"""Where events and labels come from, where their producers write them in a form of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from headrace.domain.pipeline.classes.names import whole
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.feed.section import LABELS_FEED_KEYS, FeedRead, is_feed, read_feed
from headrace.domain.pipeline.feed.spec import Feed
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.spec import Field
from headrace.domain.pipeline.workspace import Workspace
from headrace.streaming.records.feed.column import AVRO, ColumnKind, FeedColumn

KINDS: Mapping[str, ColumnKind] = {"event_id": "string", "value": "number", "label_time": "time"}
"""Columns of labels, and what they hold; where classes are told by name a value is a text."""


def events_feed(form: Form, workspace: Workspace, problems: Problems) -> tuple[Feed | None, Mapping[str, Field]]:
    """The topic that events come from, and their fields; none, with problems, where it cannot be used.

    The id, the time and the key are never null: a record without one of them is refused, whatever its schema says.
    """
    read = read_feed(form, workspace, problems)
    if read is None:
        return None, {}
    named = {key: form.text(key) for key in ("id", "time", "key")}
    columns = []
    for column in read.form.columns:
        if column.name in named.values():
            column = replace(column, nullable=False, optional=False)
        if column.name == named["time"] and column.kind != "time":
            problems.add(form.node_of("time"), _untimed(column), f"declare it: times: {{{column.name}: millis}}")
            column = replace(column, kind="time")
        columns.append(column)
    for key, name in named.items():
        if name is not None and name in read.unread:
            problems.add(form.node_of(key), read.unread[name], "name another field")
    fields = {
        column.name: Field(column.name, column.kind, column.nullable or column.optional, AVRO[column.kind])
        for column in columns
    }
    return Feed(read.topic, read.schema, read.with_columns(columns)), fields


def _untimed(column: FeedColumn) -> str:
    return f"{column.name} is {column.scalar.reads} in the schema, and nothing says how it tells a time"


def labels_feed(node: Node, workspace: Workspace, problems: Problems, classes: Sequence[str] = ()) -> Feed | None:
    """The topic that labels come from; None where they come in headrace's own form, or, with problems, it is wrong.

    `classes`: of the model, where it has several: labels name them, by numbers only where they are numbers.
    """
    form = Form(node, Problems(), None, "")
    if not (is_feed(form) or any(key in form for key in LABELS_FEED_KEYS)):
        return None
    form.problems = problems
    read = read_feed(form, workspace, problems)
    if read is None:
        return None
    columns = []
    named = ("string", "integer", "number") if all(map(whole, classes)) else ("string",)
    for key, name, kinds in (
        ("id", "event_id", ("integer", "string")),
        ("value", "value", named if classes else ("integer", "number", "boolean")),
        ("time", "label_time", ("time",)),
    ):
        if key == "time" and key not in form:
            continue  # Known when it was written.
        column = _column(form, key, kinds, read, problems)
        if column is not None:
            kind: ColumnKind = "string" if classes and name == "value" and column.kind == "string" else KINDS[name]
            columns.append(replace(column, name=name, kind=kind, nullable=False, optional=False))
    source, time = form.text("source") or read.topic, form.text("time") or ""
    return Feed(read.topic, read.schema, read.with_columns(columns), source, time)


def _column(form: Form, key: str, kinds: tuple[str, ...], read: FeedRead, problems: Problems) -> FeedColumn | None:
    name = form.text(key) or ""
    found = next((column for column in read.form.columns if column.name == name), None)
    if found is None:
        why = read.unread.get(name, f"a label has no field {name}")
        problems.add(form.node_of(key), why, closest(name, [column.name for column in read.form.columns]))
    elif found.kind not in kinds:
        if key == "time":
            problems.add(form.node_of(key), _untimed(found), f"declare it: times: {{{name}: millis}}")
        else:
            remedy = f"name a field that is {' or '.join(kinds)}, or declare it: as: {{{name}: {kinds[0]}}}"
            problems.add(form.node_of(key), f"{name} is {found.kind}", remedy)
        return None
    return found
