"""Calendar and field expressions: a small, safe language that is evaluated by whole columns.

`weekday >= 5`, `hour <= 6 or channel == "web"`, `amount / (1 + tip)`: comparisons, `and` `or` `not`, `+ - * / %`,
numbers, strings, fields of the event, and the names in `CALENDAR`, which are read off the event time. Python's own
parser reads the text; a strict allow-list decides what may stay, and types are checked before any event is seen.

A comparison with a null is false and arithmetic with one gives NaN. Integers are int64 and wrap at its ends.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal, Protocol, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.kit.errors import ConfigurationError

Type = Literal["boolean", "integer", "number", "string"]

CALENDAR: Mapping[str, str] = {
    "weekday": "0 is Monday, 6 is Sunday",
    "hour": "0 to 23",
    "minute": "0 to 59",
    "day": "of the month, 1 to 31",
    "month": "1 to 12",
}
"""Names that every expression may use, read off the event time, with what they mean."""

ALLOWED = "allowed are comparisons, and, or, not, + - * / %, numbers, strings, event fields and " + ", ".join(CALENDAR)
_LONGEST = 500
_DEEPEST = 30


class ExpressionError(ConfigurationError):
    """An expression cannot be used: `column` (from 1) is where in its text, `remedy` what to write instead."""

    def __init__(self, column: int, message: str, remedy: str = ALLOWED) -> None:
        super().__init__(f"column {column}: {message}: {remedy}")
        self.column = column
        self.message = message
        self.remedy = remedy


class Typed(Protocol):
    """What an expression must know of an event field."""

    @property
    def type(self) -> str:
        """`integer`, `number`, `string`, `boolean`, or something that expressions cannot use."""


Column: TypeAlias = "npt.NDArray[Any] | pa.Array[Any] | int | float | str | bool"


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    Attributes:
        text: as written.
        type: of the result: `boolean` (bool), `integer` (int64) or `number` (float64).
        fields: event fields that it reads, in the order they are met.
        timezone: IANA name of the zone that the calendar names are in.
    """

    text: str
    type: Type
    fields: tuple[str, ...]
    timezone: str = "UTC"
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
        names: dict[str, Column] = {name: _numbers(columns.column(name)) for name in self.fields}
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
    if len(text) > _LONGEST:
        raise ExpressionError(_LONGEST, f"longer than {_LONGEST} characters", "split it into several features")
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(error.offset or 1, "not an expression") from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError(1, "not an expression") from None
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ExpressionError(1, f"unknown timezone {timezone!r}", "write an IANA name such as Europe/Paris") from None
    check = _Check(fields)
    found = check.type(tree)
    if found == "string":
        raise ExpressionError(1, "a feature cannot be a string", 'compare it with something: channel == "web"')
    return Expression(text, found, tuple(check.fields), timezone, tuple(check.calendar), tree)


@dataclass(slots=True)
class _Check:
    """Walks a tree, refusing all that is not allowed, and gives each node its type."""

    known: Mapping[str, Typed]
    fields: dict[str, None] = field(default_factory=dict)
    calendar: dict[str, None] = field(default_factory=dict)

    def type(self, node: ast.expr, depth: int = 0) -> Type:
        if depth > _DEEPEST:
            raise _error(node, "nested too deeply", "split it into several features")
        match node:
            case ast.Constant(value=value):
                return self._constant(node, value)
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.BoolOp(values=operands):
                for operand in operands:
                    self._expect(operand, depth, "boolean", "and, or")
                return "boolean"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._expect(operand, depth, "boolean", "not")
                return "boolean"
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self._arithmetic(operand, depth)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Mod() as op, right=right):
                return self._binary(left, op, right, depth)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                return self._compare(node, left, ops, rights, depth)
        raise _error(node, f"{_name_of(node)} is not allowed")

    def _constant(self, node: ast.expr, value: object) -> Type:
        match value:
            case bool():
                return "boolean"
            case int() if abs(value) < 2**53:
                return "integer"
            case int():
                raise _error(node, "the number is too large", "write a number below 2**53")
            case float() if np.isfinite(value):
                return "number"
            case str():
                return "string"
        raise _error(node, f"{value!r} is not allowed")

    def _name(self, node: ast.expr, name: str) -> Type:
        if name in self.known and name in CALENDAR:
            raise _error(node, f"{name} is both a field of the event and a calendar name", "rename the event's field")
        if name in CALENDAR:
            self.calendar[name] = None
            return "integer"
        if name not in self.known:
            names = ", ".join([*CALENDAR, *self.known])
            raise _error(node, f"unknown name {name}", f"known names are {names}")
        self.fields[name] = None
        match self.known[name].type:
            case "boolean" | "integer" | "number" | "string" as known:
                return known
            case "time":
                raise _error(node, f"{name} is a time", "use " + ", ".join(CALENDAR) + ", which are read off it")
        raise _error(node, f"{name} is not a number, string or boolean", "use another field")

    def _arithmetic(self, node: ast.expr, depth: int) -> Type:
        found = self.type(node, depth + 1)
        if found not in ("integer", "number"):
            raise _error(node, f"arithmetic on a {found}", "use numbers, or compare it first")
        return found

    def _expect(self, node: ast.expr, depth: int, wanted: Type, user: str) -> None:
        if (found := self.type(node, depth + 1)) != wanted:
            raise _error(node, f"{user} needs a {wanted}, not a {found}", "compare it with something: hour <= 6")

    def _binary(self, left: ast.expr, op: ast.operator, right: ast.expr, depth: int) -> Type:
        types = {self._arithmetic(left, depth), self._arithmetic(right, depth)}
        if isinstance(op, ast.Div | ast.Mod) and isinstance(right, ast.Constant) and right.value == 0:
            raise _error(right, "division by zero", "divide by something else")
        if isinstance(op, ast.Div) or (isinstance(op, ast.Mod) and not isinstance(right, ast.Constant)):
            return "number"  # a remainder by a column may meet a zero, which only a float can answer (NaN)
        return "number" if "number" in types else "integer"

    def _compare(
        self, node: ast.expr, left: ast.expr, ops: list[ast.cmpop], rights: list[ast.expr], depth: int
    ) -> Type:
        previous = self.type(left, depth + 1)
        for op, right in zip(ops, rights, strict=True):
            if type(op) not in _COMPARE:
                raise _error(node, f"{type(op).__name__.lower()} is not allowed", "compare with < <= > >= == !=")
            found = self.type(right, depth + 1)
            if ("string" in (previous, found) or "boolean" in (previous, found)) and previous != found:
                raise _error(right, f"a {previous} is compared with a {found}", "compare values of one type")
            previous = found
        return "boolean"


def _error(node: ast.expr, message: str, remedy: str = ALLOWED) -> ExpressionError:
    return ExpressionError(node.col_offset + 1, message, remedy)


def _name_of(node: ast.expr) -> str:
    names = {ast.Call: "a function call", ast.Attribute: "an attribute", ast.Subscript: "an index", ast.IfExp: "if"}
    return names.get(type(node), f"{type(node).__name__.lower()}")


def _numbers(column: pa.Array[Any]) -> Column:
    """Strings stay Arrow's; the rest becomes NumPy, floats with NaN where integers or floats have nulls."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    if pa.types.is_boolean(column.type):
        return column.fill_null(False).to_numpy(zero_copy_only=False)
    if column.null_count:
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
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
            return value  # type: ignore[return-value]  # _Check let only numbers, strings and booleans through
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
