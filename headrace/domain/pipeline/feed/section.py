"""Reads what `events` and `labels` say of a producer's own topic: format, envelope, fields by path, times by unit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.language.expressions import known_zone
from headrace.domain.pipeline.workspace import Workspace
from headrace.errors import ConfigurationError, ContractError
from headrace.streaming.contracts.schemas import load_writer
from headrace.streaming.records.feed import avro_shape, json_schema, protobuf_schema
from headrace.streaming.records.feed.column import ColumnKind, Envelope, FeedColumn, FeedForm
from headrace.streaming.records.feed.shape import Group, Opaque, Scalar, TimeNotation, Unit, follow

FEED_KEYS = ("topic", "format", "fields", "times", "as", "envelope", "deletes", "message", "subject", "others")
LABELS_FEED_KEYS = (*FEED_KEYS, "schema", "time", "source")
FORMATS: Mapping[str, tuple[str, ...]] = {"avro": (".avsc",), "json": (".schema.json", ".avsc"), "protobuf": (".desc",)}
"""What a feed may be written in, and the files that describe it."""
FOLDERS = ("schemas", "feeds")
"""Where these files may be; what is in `feeds` is held to nothing but to be readable."""
UNITS = get_args(Unit)
AMBIGUOUS = ("refuse", "earliest", "latest")
ENVELOPES: Mapping[str, Envelope] = {
    "debezium": Envelope(("op",), ("after",)),
    "debezium_connect": Envelope(("payload", "op"), ("payload", "after")),
}
"""Of changes of rows: as they are, and as Kafka Connect's JSON converter writes them beside their schemas."""
CASTS = frozenset({("string", "integer"), ("string", "number"), ("integer", "number"), ("integer", "string")})
Loaded = tuple[Group, tuple[int, ...], str]
"""A shape, the indexes of its message in its file, and its full name."""
MOST_BYTES = 4 << 20
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")


@dataclass(frozen=True, slots=True)
class FeedRead:
    """What was read: the topic, the schema's name, the form with all columns, and why fields of it cannot be read."""

    topic: str
    schema: str
    form: FeedForm
    unread: Mapping[str, str]

    def with_columns(self, columns: list[FeedColumn]) -> FeedForm:
        """The form with these columns in place of its own."""
        return replace(self.form, columns=tuple(columns))


def is_feed(form: Form) -> bool:
    """Whether a section speaks of a producer's own topic."""
    return any(key in form for key in FEED_KEYS)


def read_feed(form: Form, workspace: Workspace, problems: Problems) -> FeedRead | None:
    """What a section says of a producer's topic; None, with problems, where it cannot be used."""
    before = len(problems.found)
    topic = _topic(form, problems)
    form.require("schema", "name the file that describes the records, without its ending")
    chosen = form.choice("format", tuple(FORMATS))
    if chosen is None and "format" in form:
        return None
    format_ = chosen or "avro"
    shape = _shape(form, format_, workspace, problems)
    if format_ == "protobuf":
        form.require("message", "name the message, with its package: message: shop.Click")
    elif "message" in form:
        problems.add(form.node_of("message"), f"records in {format_} are no messages", "take it out")
    deletes = form.choice("deletes", ("reject", "skip"))
    envelope = form.choice("envelope", tuple(ENVELOPES))
    if len(problems.found) > before or shape is None or topic is None:
        return None
    group, message, full_name = shape
    subjects = _subjects(form, format_, topic, full_name)
    others = form.choice("others", ("reject", "skip"))
    if others and not subjects:
        problems.add(form.node_of("others"), "only a subject tells records of other kinds", "name it: subject: record")
    made = FeedForm(
        format_,
        group,
        (),
        ENVELOPES[envelope] if envelope else None,
        deletes == "skip",
        others == "skip",
        subjects,
        message,
    )
    if made.envelope is not None:
        word = follow(group, made.envelope.operation)
        if isinstance(word, str) or not isinstance(word.type, Scalar) or word.type.reads != "string":
            at = ".".join(made.envelope.operation)
            problems.add(form.node_of("envelope"), f"the schema has no text {at}", "describe the envelope as well")
    columns, unread = _columns(form, made, problems)
    if len(problems.found) > before:
        return None
    return FeedRead(topic, form.text("schema") or "", replace(made, columns=tuple(columns)), unread)


def _topic(form: Form, problems: Problems) -> str | None:
    form.require("topic", "name the topic that the producer writes: headrace reads it, and never writes to it")
    topic = form.text("topic")
    if topic is not None and (not _TOPIC.match(topic) or topic in (".", "..")):
        problems.add(form.node_of("topic"), f"{topic!r} is no name of a topic", "use letters, digits, ., _ and -")
        return None
    return topic


def _shape(form: Form, format_: str, workspace: Workspace, problems: Problems) -> Loaded | None:
    """What the schema's file says, in the format's own language."""
    name = form.text("schema")
    if name is None:
        return None
    node, endings = form.node_of("schema"), FORMATS[format_]
    places = [(folder, f"{name}{ending}") for folder in FOLDERS for ending in endings]
    path = next((p for place in places if (p := workspace.find(*place))), None) if Path(name).name == name else None
    if path is None:
        known = [word for folder in FOLDERS for ending in endings for word in workspace.names(folder, ending)]
        files = " or ".join(f"{name}{ending}" for ending in endings)
        problems.add(node, f"no {files} in schemas/ or feeds/", closest(name, known))
        return None
    try:
        return _loaded(path, form.text("message") or "")
    except (ConfigurationError, ContractError) as error:
        problems.add(node, f"the schema cannot be used: {error}", "mend the schema")
        return None


def _subjects(form: Form, format_: str, topic: str, full_name: str) -> tuple[str, ...]:
    """The subject that the strategy of the producer's serialiser gives; none where the topic alone says it."""
    strategy = form.text("subject")
    if strategy is None:
        return ()
    if format_ != "avro":
        form.problems.add(
            form.node_of("subject"), f"records in {format_} are read without a look at their ids", "take it out"
        )
    named = {"topic": f"{topic}-value", "record": full_name, "topic_record": f"{topic}-{full_name}"}
    return (named.get(strategy, strategy),)


def _loaded(path: Path, message: str) -> Loaded:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ConfigurationError(f"{path} has {len(content)} bytes, at most {MOST_BYTES} are read")
    if path.suffix == ".desc":
        return *protobuf_schema.shape_of(content, message), message
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} is not a JSON object")
    if path.suffix == ".avsc":
        record = load_writer(document).record
        return avro_shape.shape_of(record), (0,), record.name
    return json_schema.shape_of(document, path.name), (0,), path.name


def _columns(form: Form, feed: FeedForm, problems: Problems) -> tuple[list[FeedColumn], dict[str, str]]:
    """All columns, and why fields of the schema are none."""
    times, casts = _times(form, problems), _casts(form)
    columns: list[FeedColumn] = []
    unread: dict[str, str] = {}
    listed = "fields" in form
    for name, path, node in _paths(form, feed, problems):
        found = _column(name, path, feed, times.get(name), casts.get(name))
        if isinstance(found, FeedColumn):
            columns.append(found)
        elif listed or name in times or name in casts:
            problems.add(node, found, "name a single value of the schema by its path, such as after.amount")
        else:
            unread[name] = found
    names = [column.name for column in columns] + list(unread)
    for key, told in (("times", times), ("as", casts)):
        for name in told:
            if name not in names and not problems.found:
                problems.add(form.node_of(key), f"{name} is none of the fields", closest(name, names))
    return columns, unread


def _paths(form: Form, feed: FeedForm, problems: Problems) -> list[tuple[str, tuple[str, ...], Node]]:
    """Name, path and place in the file of each field that is asked for: those listed, or all of a record."""
    if "fields" in form:
        node = form.node_of("fields")
        found = []
        for name, entry in Form(node, problems, None, "{amount: after.amount}").entries.items():
            if not _FIELD.match(name):
                problems.add(node.keys[name], f"{name!r} is no name of a field", "use letters, digits and _")
            elif entry.text is None or not all(entry.text.split(".")):
                problems.add(entry, "should be a path", "write names with dots between, such as after.amount")
            else:
                found.append((name, tuple(entry.text.split(".")), entry))
        return found
    row = feed.envelope.row if feed.envelope else ()
    inner = follow(feed.shape, row)
    if isinstance(inner, str) or not isinstance(inner.type, Group):
        where = ".".join(row)
        problems.add(form.node, f"the schema has no record {where}", "name the fields: fields: {amount: a.b}")
        return []
    return [(name, (*row, name), form.node_of("schema")) for name in inner.type.parts]


def _column(
    name: str, path: tuple[str, ...], feed: FeedForm, time: TimeNotation | None, cast: str | None
) -> FeedColumn | str:
    """The column of a path, or why there is none."""
    found = follow(feed.shape, path)
    place = ".".join(path)
    if not _FIELD.match(name):
        return f"{name!r} is no name that a column can have: rename it under fields"
    if isinstance(found, str):
        return f"{place} is not in the schema: {found}"
    if isinstance(found.type, Opaque):
        return f"{place} cannot be read: {found.type.why}"
    if isinstance(found.type, Group):
        return f"{place} is a record"
    scalar, nullable = found.type, found.nullable
    optional = found.optional
    if feed.envelope is not None and path[: len(feed.envelope.row)] == feed.envelope.row:
        # The row is there: changes without one are told apart before.
        inner = follow(feed.shape, feed.envelope.row)
        assert not isinstance(inner, str), "a path below it was found"
        rest = follow(inner.type, path[len(feed.envelope.row) :]) if isinstance(inner.type, Group) else found
        assert not isinstance(rest, str), "the same path was found"
        nullable, optional = rest.nullable, rest.optional
    kind: ColumnKind = scalar.reads
    time = time or scalar.time
    if time is not None:
        if (time.unit == "iso") != (scalar.reads == "string") or scalar.reads == "boolean":
            return f"{place} is {scalar.reads}, which is no time in {time.unit}"
        kind = "time"
    elif cast is not None and cast != scalar.reads:
        if (scalar.reads, cast) not in CASTS:
            return f"{place} is {scalar.reads}, which cannot be read as {cast}"
        kind = "integer" if cast == "integer" else "number" if cast == "number" else "string"
    return FeedColumn(name, path, scalar, kind, time, nullable, optional, found.parts)


def _times(form: Form, problems: Problems) -> dict[str, TimeNotation]:
    """The declared times, by field: a unit, or unit, zone and what an hour that comes twice means."""
    found = {}
    example = "{created_at: micros}, or {created_at: {unit: iso, zone: Europe/Paris}}"
    node = form.entries.get("times")
    for name, entry in Form(node, problems, None, example).entries.items() if node is not None else ():
        if entry.entries is None:
            if entry.text in UNITS:
                found[name] = TimeNotation(next(unit for unit in UNITS if unit == entry.text))
            else:
                problems.add(entry, f"{entry.text} is no unit of times", closest(str(entry.text), UNITS))
            continue
        told = Form(entry, problems, ("unit", "zone", "ambiguous"), example)
        told.require("unit", f"write one of {', '.join(UNITS)}")
        unit, zone, ambiguous = told.choice("unit", UNITS), told.text("zone"), told.choice("ambiguous", AMBIGUOUS)
        if zone is not None and not known_zone(zone):
            problems.add(told.node_of("zone"), f"unknown zone {zone}", "write an IANA name such as Europe/Paris")
        elif unit is not None:
            found[name] = TimeNotation(unit, zone, ambiguous or "refuse")  # type: ignore[arg-type]  # of the choices
    return found


def _casts(form: Form) -> dict[str, str]:
    """What fields are read as, where that is not what they are."""
    node = form.entries.get("as")
    inner = Form(node, form.problems, None, "{price: number}") if node is not None else None
    kinds = ("integer", "number", "string")
    return {name: kind for name in inner.entries if (kind := inner.choice(name, kinds))} if inner is not None else {}
