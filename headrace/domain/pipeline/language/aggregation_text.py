"""Takes the text of an aggregation apart: `sum(price * quantity where device == "phone")`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.domain.pipeline.language.grammar import ExpressionError

REMEDY = "write count, or a function of a value: mean(amount), sum(price * quantity where device == 'phone')"
_CALL = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*(?:\((.*)\))?", re.DOTALL)
_WHERE = re.compile(r"where(?![A-Za-z0-9_])")


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part of the text, and the column (from 1) at which it begins."""

    text: str
    column: int


@dataclass(frozen=True, slots=True)
class AggregationText:
    """An aggregation, taken apart.

    Attributes:
        function: its name.
        of: what is aggregated, None where the brackets are missing, or begin with `where`.
        parameter: what stands behind a comma.
        where: the condition.
    """

    function: str
    of: TextPart | None = None
    parameter: TextPart | None = None
    where: TextPart | None = None


def taken_apart(text: str) -> AggregationText:
    """The parts of an aggregation.

    Raises:
        ExpressionError: it is none.

    >>> found = taken_apart('sum(a * b where kind == " where ")')
    >>> found.function, found.of.text, found.where.text, found.where.column
    ('sum', 'a * b', 'kind == " where "', 17)
    >>> taken_apart("quantile(max(a, b), 0.9)").parameter
    TextPart(text='0.9', column=21)
    """
    match = _CALL.fullmatch(text.rstrip())
    if match is None:
        if text.count("(") > text.count(")"):
            raise ExpressionError(
                1, f"{text} is cut short", f"put quotes around it where it has a comma: '{text}, ...)'"
            )
        raise ExpressionError(1, f"{text} is not an aggregation", REMEDY)
    if match[2] is None:
        return AggregationText(match[1])
    start, inner = match.start(2), match[2]
    comma = where = None
    depth, quote = 0, ""
    for at, letter in enumerate(inner):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            depth -= 1
            if depth < 0:
                raise ExpressionError(1, f"{text} is not an aggregation", REMEDY)
        elif depth == 0 and letter == "," and where is None:
            comma = at
        elif depth == 0 and _WHERE.match(inner, at) and not (at and (inner[at - 1].isalnum() or inner[at - 1] == "_")):
            if where is not None:
                raise ExpressionError(start + at + 1, "there is a second where", "join conditions by and")
            where = at
    if depth or quote:
        raise ExpressionError(1, f"{text} is not an aggregation", REMEDY)
    stop = len(inner) if where is None else where
    condition = None if where is None else _part(inner, where + len("where"), len(inner), start)
    if condition is not None and not condition.text:
        raise ExpressionError(condition.column, "where without a condition", 'write where device == "phone"')
    parameter = None if comma is None else _part(inner, comma + 1, stop, start)
    of = _part(inner, 0, stop if comma is None else comma, start)
    return AggregationText(match[1], of if of.text else None, parameter, condition)


def _part(inner: str, low: int, high: int, start: int) -> TextPart:
    text = inner[low:high]
    return TextPart(" ".join(text.split()), start + low + len(text) - len(text.lstrip()) + 1)
