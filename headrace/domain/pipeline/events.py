"""Reads the `events` and `rules` sections: what an event looks like and what must hold for it."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline import units
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.feed.section import FEED_KEYS
from headrace.domain.pipeline.feed.spec import Feed
from headrace.domain.pipeline.form import Form
from headrace.domain.pipeline.spec import HOUR, Event, Field, FieldType, Late, Otherwise, Repeats, Rule, Value
from headrace.domain.pipeline.views import read_field

EVENTS = ("schema", "id", "time", "key", "allowed_lateness", "late", "repeats", "repeats_within", *FEED_KEYS)
RULE = ("type", "required", "range", "one_of", "else", "value")
LATE: tuple[Late, ...] = ("reject", "score")
REPEATS: tuple[Repeats, ...] = ("drop", "keep")
OTHERWISE: tuple[Otherwise, ...] = ("reject", "impute", "warn")
EXAMPLE = "{schema: card_transaction, id: transaction_id, time: tx_datetime, key: customer_id}"

_TYPES: Mapping[str, FieldType] = {
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "string": "string",
    "boolean": "boolean",
}

LARGEST: Mapping[str, float] = {"int": 2**31 - 1, "long": 2**63 - 1, "float": 3.4028234e38}
"""Of fields of these Avro types."""


def fields_of(schema: Mapping[str, Any]) -> dict[str, Field]:
    """The fields of an Avro record, with the types that pipelines speak of."""
    enums: set[str] = set()
    return {entry["name"]: _field(entry["name"], entry["type"], enums) for entry in schema.get("fields", ())}


def _field(name: str, avro: Any, enums: set[str]) -> Field:
    """`enums` collects the names of enums met so far: a later field may use one by its name alone."""
    nullable = isinstance(avro, list) and "null" in avro
    if isinstance(avro, list):
        others = [branch for branch in avro if branch != "null"]
        if len(others) != 1:
            return Field(name, "other", nullable, avro)
        avro = others[0]
    if isinstance(avro, str) and avro in enums:
        return Field(name, "string", nullable, "string")
    if not isinstance(avro, dict):
        return Field(name, _TYPES.get(str(avro), "other"), nullable, avro)
    if avro.get("type") == "enum":
        # Carried on as a string: a named type could be defined only once in the records made from this one.
        enums |= {avro["name"], f"{avro.get('namespace', '')}.{avro['name']}"}
        return Field(name, "string", nullable, "string")
    logical = avro.get("logicalType")
    if logical == "timestamp-millis":
        return Field(name, "time", nullable, avro)
    # A date or a decimal is stored as a number but is none: its days since 1970 or its bytes mean nothing to a model.
    known = "other" if logical not in (None, "uuid") else _TYPES.get(str(avro.get("type")), "other")
    return Field(name, known, nullable, avro)


def read_events(form: Form, fields: Mapping[str, Field], problems: Problems, feed: Feed | None = None) -> Event:
    """The `events` section; `fields` of its schema, empty where that could not be read; `feed`: where it has one."""
    form.require("id", "name the event's field that identifies it, such as id: transaction_id")
    form.require("time", "name the event's field that says when it happened, such as time: tx_datetime")
    form.require("key", "name the event's field that says whose it is, such as key: customer_id")
    late = form.choice("late", LATE)
    lateness = form.duration("allowed_lateness") or 0
    keeps = form.choice("repeats", REPEATS) == "keep"
    return Event(
        schema=form.text("schema") or "",
        id=read_field(form, "id", fields, problems, ("integer", "string"), "an id") or "",
        time=read_field(form, "time", fields, problems, ("time",), "an event time") or "",
        key=read_field(form, "key", fields, problems, ("integer", "string"), "a key") or "",
        allowed_lateness=lateness,
        late="score" if late == "score" else "reject",
        repeats="keep" if keeps else "drop",
        repeats_within=_repeats_within(form, lateness, keeps),
        fields=fields,
        feed=feed,
    )


def _repeats_within(form: Form, lateness: int, keeps: bool) -> int:
    """How long ids are remembered: what may still be folded must be known again."""
    within = form.duration("repeats_within", least=1)
    if within is None:
        return max(HOUR, lateness)
    node = form.node_of("repeats_within")
    if keeps:
        form.problems.add(
            node, "repeats_within has no use where repeats are kept", "write repeats: drop, or take it out"
        )
    if within < lateness:
        form.problems.add(
            node,
            f"a repeat may come {units.duration(lateness)} late and be counted twice",
            f"write at least {units.duration(lateness)}, which is allowed_lateness",
        )
    return within


def read_rules(node: Node | None, fields: Mapping[str, Field], problems: Problems) -> tuple[Rule, ...]:
    """The rules, in the file's order; a field has one rule or a list of them."""
    if node is None:
        return ()
    form = Form(node, problems, None, "amount: {range: [0, 100000], else: reject}")
    rules: list[Rule] = []
    for name, entry in form.entries.items():
        if fields and name not in fields:
            problems.add(form.node.keys[name], f"the event has no field {name}", closest(name, fields))
            continue
        field = fields.get(name, Field(name, "other", True, None))
        for part in entry.items if entry.items is not None else (entry,):
            rules.append(_rule(field, bool(fields), part, problems))
    return tuple(rules)


def _rule(field: Field, known: bool, node: Node, problems: Problems) -> Rule:
    form = Form(node, problems, RULE, "{range: [0, 100000], else: reject}")
    if (stated := form.text("type")) is not None and known and stated != field.type:
        problems.add(
            form.node_of("type"),
            f"{field.name} is {field.type} in the event's schema, not {stated}",
            f"write {field.type}, or leave type out",
        )
    low_high = _range(form, field, known, problems)
    one_of = tuple(
        value
        for entry in form.items("one_of", "[web, shop]")
        if (value := value_of(entry, field, known, problems)) is not None
    )
    required = bool(form.flag("required"))
    if form.entries.keys() <= {"else", "value", "type"} and node.entries is not None:
        problems.add(node, "the rule checks nothing", "write required: true, range: [LOW, HIGH] or one_of: [A, B]")
    if form.node_of("one_of").items == ():
        problems.add(form.node_of("one_of"), "no value is allowed", "write at least one")
    choice = form.choice("else", OTHERWISE)
    otherwise: Otherwise = next((o for o in OTHERWISE if o == choice), "reject")
    return Rule(
        field.name,
        field.type,
        required,
        low_high,
        one_of or None,
        otherwise,
        _imputed(form, field, known, otherwise, low_high, one_of, problems),
    )


def _range(form: Form, field: Field, known: bool, problems: Problems) -> tuple[float, float] | None:
    if "range" not in form:
        return None
    node = form.node_of("range")
    if known and field.type not in ("integer", "number"):
        problems.add(node, f"{field.name} is {field.type}: it has no range", "use one_of, or required: true")
        return None
    ends = form.items("range", "[0, 100000]")
    if node.items is not None and len(ends) != 2:
        problems.add(node, f"a range has two ends, not {len(ends)}", "write [0, 100000]; null leaves an end open")
    if len(ends) != 2:
        return None
    low, high = (None if _open(end) else forms.number(end, problems) for end in ends)
    if low is not None and high is not None and low > high:
        problems.add(node, "the range is empty: its low end is above its high end", f"write [{high:g}, {low:g}]")
    return (-inf if low is None else low, inf if high is None else high)


def _open(node: Node) -> bool:
    return node.value is None and node.text is not None


def value_of(node: Node, field: Field, known: bool, problems: Problems) -> Value | None:
    """A scalar of the field's type, and within its ends."""
    value = forms.scalar(node, problems)
    if value is None or not known:
        return value
    fits = {
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "string": True,
    }.get(field.type, False)
    if field.type == "string":
        return node.text
    if not fits:
        problems.add(
            node, f"{node.text} is {node.kind}, not {field.type} as {field.name}", f"write one of type {field.type}"
        )
        return None
    most = LARGEST.get(_avro_of(field), inf)
    if isinstance(value, int | float) and not -most <= value <= most:
        problems.add(node, f"{node.text} does not fit into {field.name}", f"write one between {-most:g} and {most:g}")
        return None
    return value


def _avro_of(field: Field) -> str:
    return str(field.avro.get("type") if isinstance(field.avro, dict) else field.avro)


def _imputed(
    form: Form,
    field: Field,
    known: bool,
    otherwise: Otherwise,
    low_high: tuple[float, float] | None,
    one_of: tuple[Value, ...],
    problems: Problems,
) -> Value | None:
    if otherwise != "impute":
        if "value" in form:
            problems.add(form.node_of("value"), "value without else: impute", "write else: impute, or take value out")
        return None
    if form.require("value", "write the value to put in its place, such as value: 0") is None:
        return None
    value = value_of(form.node_of("value"), field, known, problems)
    inside = low_high is None or (isinstance(value, int | float) and low_high[0] <= value <= low_high[1])
    if value is not None and (not inside or (one_of and value not in one_of)):
        problems.add(form.node_of("value"), f"{value} breaks the very rule", "write a value that the rule allows")
    return value
