"""Reads the aggregations of a view: what is computed over its windows, checked against the event's fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headrace.domain.aggregations.registry import NAMES, OF_LABELS, function_named
from headrace.domain.pipeline import form as forms
from headrace.domain.pipeline import units
from headrace.domain.pipeline.document import Node, Problems, closest
from headrace.domain.pipeline.language.aggregation import LABEL, Aggregation, ValueColumn
from headrace.domain.pipeline.language.aggregation_text import AggregationText, TextPart, taken_apart
from headrace.domain.pipeline.language.expressions import Expression, compile
from headrace.domain.pipeline.language.grammar import ExpressionError
from headrace.domain.pipeline.spec import Field, Labels

NUMERIC = ("integer", "number", "boolean")


@dataclass(frozen=True, slots=True)
class Readable:
    """What views may read.

    Attributes:
        fields: the event's; where its schema could not be read they are empty, and nothing is said about fields.
        key: the one that keys the events, where that is known.
        labels: where truth comes from; None for a pipeline without labels.
        listed: of fields whose values a rule lists, these.
    """

    fields: Mapping[str, Field]
    key: str | None = None
    labels: Labels | None = None
    listed: Mapping[str, tuple[str, ...]] | None = None


def read_aggregation(node: Node, readable: Readable, timezone: str, problems: Problems) -> Aggregation | None:
    """One aggregation; None, with a problem noted, where it cannot be used."""
    text = forms.text(node, problems)
    if text is None:
        return None
    try:
        return _aggregation(taken_apart(text.strip()), readable, timezone)
    except ExpressionError as error:
        if readable.fields or "unknown name" not in error.message:
            place = f" (column {error.column})" if error.column > 1 else ""
            problems.add(node, f"{error.message}{place}", error.remedy)
    return None


def _aggregation(parts: AggregationText, readable: Readable, timezone: str) -> Aggregation:
    name = parts.function
    if name not in NAMES:
        raise ExpressionError(1, f"unknown function {name}", closest(name, NAMES))
    function = function_named(name)
    if (
        parts.of is not None
        and parts.of.text == LABEL
        and (readable.labels is not None or LABEL not in readable.fields)
    ):
        return _of_label(parts, readable)
    if parts.of is not None and not function.takes_field and not function.field_optional:
        raise ExpressionError(1, f"{name} takes no value: it {function.gloss}", f"write {name}, or {name}(where ...)")
    if parts.of is None and function.takes_field:
        raise ExpressionError(1, f"{name} needs a field", f"write {name}(FIELD), with a numeric field of the event")
    parameter = _parameter(parts, timezone)
    if parts.of is None and parts.where is None:
        return Aggregation(name, parameter=parameter)
    where = None
    if parts.where is not None:
        where = _compiled(parts.where, readable, timezone)
        if where.type != "boolean":
            said = f"where needs a condition, {where.text} is {where.type}"
            raise ExpressionError(parts.where.column, said, 'compare it with something: device == "phone"')
    if parts.of is None:
        return Aggregation(name, of=ValueColumn(where=where), parameter=parameter)
    if where is None and _plain(parts.of.text, readable.fields):
        return Aggregation(name, parts.of.text, parameter=parameter)
    return Aggregation(name, of=_value(parts.of, where, name, readable, timezone), parameter=parameter)


def _plain(text: str, fields: Mapping[str, Field]) -> bool:
    """Whether it is a numeric field and nothing else; or may be, where fields are not known."""
    return text.isidentifier() and (not fields or (text in fields and fields[text].type in NUMERIC))


def _value(part: TextPart, where: Expression | None, name: str, readable: Readable, timezone: str) -> ValueColumn:
    function = function_named(name)
    of = _compiled(part, readable, timezone)
    if of.type != "string":
        return ValueColumn(of=of, where=where)
    if not function.strings:
        raise ExpressionError(part.column, f"{name} of {of.text}, which is string", _numbers_of(readable.fields))
    if function.codes == "hash":
        return ValueColumn(of=of, where=where, codes="hash")
    listed = (readable.listed or {}).get(of.plain or "", ())
    if not listed and readable.fields:
        remedy = f"list its values by a rule: {of.plain or of.text}: {{one_of: [a, b]}}"
        raise ExpressionError(part.column, f"{name} gives the place of a value among those listed", remedy)
    return ValueColumn(of=of, where=where, codes="place", listed=listed)


def _compiled(part: TextPart, readable: Readable, timezone: str) -> Expression:
    """A part of the text as an expression; where it is wrong, by the column of the whole text."""
    truth = readable.labels
    if truth is not None and part.text == truth.value and truth.value not in readable.fields:
        raise ExpressionError(
            part.column, f"the event has no field {part.text}", f"views call what came true {LABEL}: mean({LABEL})"
        )
    if part.text.isidentifier() and readable.fields and part.text not in readable.fields and part.text not in ("True",):
        raise ExpressionError(part.column, f"the event has no field {part.text}", closest(part.text, readable.fields))
    try:
        return compile(part.text, readable.fields, timezone, strings=True)
    except ExpressionError as error:
        raise ExpressionError(part.column + error.column - 1, error.message, error.remedy) from None


def _numbers_of(fields: Mapping[str, Field]) -> str:
    names = [f.name for f in fields.values() if f.type in NUMERIC]
    return f"the event's fields of that type are {', '.join(names)}" if names else "the event has no field of that type"


def _parameter(parts: AggregationText, timezone: str) -> float:
    function, given = function_named(parts.function), parts.parameter
    name = parts.function
    if function.parameter is None:
        if given is not None:
            raise ExpressionError(given.column, f"{name} takes one value", f"take {given.text} out")
        return 0.0
    example = f"{name}(amount, {'0.95' if function.parameter == 'share' else '1h'})"
    if given is None:
        raise ExpressionError(1, f"{name} needs a {function.parameter} behind a comma", f"write '{example}'")
    read: Callable[[str], float] = _share if function.parameter == "share" else units.milliseconds
    try:
        found = float(read(given.text))
    except ValueError as error:
        raise ExpressionError(given.column, f"{given.text} is not a {function.parameter}", str(error)) from None
    if found <= 0 and function.parameter == "duration":
        raise ExpressionError(given.column, f"{given.text} is too short", f"write '{example}'")
    return found


def _share(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError("write a number between 0 and 1, such as 0.95")
    return found


def _of_label(parts: AggregationText, readable: Readable) -> Aggregation:
    name = parts.function
    if readable.labels is None:
        raise ExpressionError(
            1, "the pipeline has no labels", "say where truth comes from: labels: {id: transaction_id, value: fraud}"
        )
    if LABEL in readable.fields:
        raise ExpressionError(
            1,
            f"{LABEL} means what events turned out to be, and the event has a field {LABEL}",
            "give the event's field another name",
        )
    if name not in OF_LABELS:
        raise ExpressionError(1, f"{name} of labels is not kept", f"write one of {', '.join(OF_LABELS)}: mean({LABEL})")
    if readable.labels.names:
        raise ExpressionError(
            1,
            f"a label is one of {', '.join(readable.labels.names)}, and their places are no quantities",
            "take the feature out: views fold labels of two classes and of quantities alone",
        )
    if parts.where is not None:
        raise ExpressionError(
            parts.where.column,
            "labels are not told by condition",
            "make a view whose key has the field of the condition in it: key: [terminal_id, device]",
        )
    return Aggregation(name, of_label=True)
