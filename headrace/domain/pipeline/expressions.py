"""Calendar and field expressions: a small, safe language that is evaluated by whole columns.

`weekday >= 5`, `hour <= 6 or channel == "web"`, `amount / (1 + tip)`: comparisons, `and` `or` `not`, `+ - * / %`,
numbers, strings, fields of the event, and the names in `CALENDAR`, which are read off the event time. Python's own
parser reads the text; a strict allow-list decides what may stay, and types are checked before any event is seen.

Zones other than UTC follow Arrow's tables, whose daylight saving ends with 2037.
A comparison with a null is false and arithmetic with one gives NaN. Integers are int64 and wrap at its ends; those that
may be null are float64 in every batch, whether it holds a null or not.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.grammar import CALENDAR, Check, ExpressionError, Type, Typed

__all__ = ["CALENDAR", "Expression", "ExpressionError", "compile"]

LONGEST = 500
"""Characters of an expression."""

Column: TypeAlias = "npt.NDArray[Any] | pa.Array[Any] | int | float | str | bool"


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    Attributes:
        text: as written.
        type: of the result: `boolean` (bool), `integer` (int64) or `number` (float64).
        fields: event fields that it reads, in the order they are met.
        timezone: IANA name of the zone that the calendar names are in.
        nullable: those of `fields` that are whole numbers and may be null: they are read as float64.
    """

    text: str
    type: Type
    fields: tuple[str, ...]
    timezone: str = "UTC"
    nullable: tuple[str, ...] = ()
    _calendar: tuple[str, ...] = field(default=(), repr=False)
    _tree: ast.expr = field(default_factory=lambda: ast.Constant(True), repr=False, compare=False)

    def evaluate(self, columns: pa.RecordBatch, time_ms: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The value for every row.

        Args:
            columns: the event's fields, one row an event.
            time_ms: int64, event times in milliseconds since the epoch, one a row.

        Returns:
            One value a row: bool, int64 or float64, by `type`.
        """
        names: dict[str, Column] = {name: _numbers(columns.column(name), name in self.nullable) for name in self.fields}
        if self._calendar:
            names |= _calendar(self._calendar, time_ms, self.timezone)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = _value(self._tree, names)
        dtype = {"boolean": np.bool_, "integer": np.int64}.get(self.type, np.float64)
        return np.broadcast_to(np.asarray(value, dtype=dtype), (columns.num_rows,))


def compile(text: str, fields: Mapping[str, Typed], timezone: str = "UTC") -> Expression:
    """Check an expression against an event's fields.

    Raises:
        ExpressionError: it is no expression, uses something that is not allowed, or mixes types.

    >>> compile("weekday >= 5", {}).evaluate(pa.record_batch([pa.array([1, 2])], ["x"]), np.array([0, 172_800_000]))
    array([False,  True])
    """
    if len(text) > LONGEST:
        raise ExpressionError(LONGEST, f"longer than {LONGEST} characters", "split it into several features")
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(error.offset or 1, "not an expression") from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError(1, "not an expression") from None
    try:
        if timezone == "localtime":  # another zone on every machine
            raise ValueError(timezone)
        ZoneInfo(timezone)
        _calendar(("hour",), np.zeros(1, np.int64), timezone)  # Arrow does not know all the names that Python does
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ExpressionError(1, f"unknown timezone {timezone!r}", "write an IANA name such as Europe/Paris") from None
    check = Check(fields)
    found = check.type(tree)
    if found == "string":
        raise ExpressionError(1, "a feature cannot be a string", 'compare it with something: channel == "web"')
    return Expression(text, found, tuple(check.fields), timezone, tuple(check.nullable), tuple(check.calendar), tree)


def _numbers(column: pa.Array[Any], nullable: bool) -> Column:
    """Strings stay Arrow's; the rest becomes NumPy: floats, NaN for null, where integers may be null."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    if pa.types.is_boolean(column.type):
        return column.fill_null(False).to_numpy(zero_copy_only=False)
    if nullable or column.null_count:
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    values = column.to_numpy(zero_copy_only=False)
    return values.astype(np.int64 if values.dtype.kind in "iu" else np.float64, copy=False)


def _calendar(wanted: tuple[str, ...], time_ms: npt.NDArray[np.int64], timezone: str) -> dict[str, Column]:
    if timezone != "UTC":
        instants: Any = pa.array(time_ms, pa.timestamp("ms", tz=timezone))
        local: Any = pc.local_timestamp(instants)
        time_ms = local.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return {name: _CALENDAR[name](time_ms) for name in wanted}


def _months(time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
    return time_ms.view("datetime64[ms]").astype("datetime64[M]")


def _day(time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    first = _months(time_ms).astype("datetime64[D]").astype(np.int64)
    return time_ms // 86_400_000 - first + 1


# 1 January 1970 was a Thursday, weekday 3. Floor division keeps times before it right.
_CALENDAR: Mapping[str, Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]] = {
    "weekday": lambda time_ms: (time_ms // 86_400_000 + 3) % 7,
    "hour": lambda time_ms: time_ms // 3_600_000 % 24,
    "minute": lambda time_ms: time_ms // 60_000 % 60,
    "day": _day,
    "month": lambda time_ms: _months(time_ms).astype(np.int64) % 12 + 1,
}

_COMPARE: Mapping[type[ast.cmpop], tuple[Any, str]] = {
    ast.Lt: (np.less, "less"),
    ast.LtE: (np.less_equal, "less_equal"),
    ast.Gt: (np.greater, "greater"),
    ast.GtE: (np.greater_equal, "greater_equal"),
    ast.Eq: (np.equal, "equal"),
    ast.NotEq: (np.not_equal, "not_equal"),
}
_ARITHMETIC: Mapping[type[ast.operator], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


def _value(node: ast.expr, names: Mapping[str, Column]) -> Column:
    match node:
        case ast.Constant(value=value):
            return value  # Check let only numbers, strings and booleans through
        case ast.Name(id=name):
            return names[name]
        case ast.BoolOp(op=op, values=operands):
            join = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return reduce(join, (_value(operand, names) for operand in operands))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return np.logical_not(_value(operand, names))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return np.negative(_value(operand, names))
        case ast.UnaryOp(operand=operand):
            return _value(operand, names)
        case ast.BinOp(left=left, op=ast.Mod(), right=right):
            divisor = _value(right, names)
            exact = isinstance(right, ast.Constant)
            return np.mod(_value(left, names), divisor if exact else np.asarray(divisor, np.float64))
        case ast.BinOp(left=left, op=op, right=right):
            found: Column = _ARITHMETIC[type(op)](_value(left, names), _value(right, names))
            return found
        case ast.Compare(left=left, ops=ops, comparators=rights):
            sides = [_value(side, names) for side in (left, *rights)]
            pairs = zip(sides, ops, sides[1:], strict=False)
            return reduce(np.logical_and, (_compared(one, op, other) for one, op, other in pairs))
    raise AssertionError(f"{node} passed the check")


def _compared(left: Column, op: ast.cmpop, right: Column) -> npt.NDArray[np.bool_]:
    ufunc, kernel = _COMPARE[type(op)]
    if isinstance(left, pa.Array) or isinstance(right, pa.Array):
        answer: npt.NDArray[np.bool_]
        answer = getattr(pc, kernel)(left, right).fill_null(False).to_numpy(zero_copy_only=False)
        return answer
    answer = ufunc(left, right)
    if kernel == "not_equal":  # the only comparison that NaN, which stands for null, would pass
        for side in (left, right):
            if isinstance(side, np.ndarray) and side.dtype.kind == "f":
                answer &= ~np.isnan(side)
    return answer
