"""What may stand in an expression, and what type comes out of it. `expressions` evaluates what passes."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, Protocol

from headrace.errors import ConfigurationError

Type = Literal["boolean", "integer", "number", "string"]

CALENDAR: Mapping[str, str] = {
    "weekday": "0 is Monday, 6 is Sunday",
    "hour": "0 to 23",
    "minute": "0 to 59",
    "day": "of the month, 1 to 31",
    "month": "1 to 12",
}
"""Names that every expression may use, read off the event time, with what they mean."""

FUNCTIONS: Mapping[str, str] = {
    "log": "natural logarithm, null unless above 0",
    "exp": "e to the power",
    "sqrt": "square root, null below 0",
    "abs": "distance from 0",
    "floor": "greatest whole number that is not above it",
    "min": "least of several, nulls left out",
    "max": "greatest of several, nulls left out",
    "coalesce": "first of several that is not null",
}
"""What an expression may call, with what it gives."""
SEVERAL = ("min", "max", "coalesce")
"""Functions of two or more."""
NULL = "null"

ALLOWED = (
    "allowed are comparisons, in (...), is null, and, or, not, + - * / %, numbers, strings, "
    f"{', '.join(f'{name}()' for name in FUNCTIONS)}, event fields and {', '.join(CALENDAR)}"
)
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

    @property
    def nullable(self) -> bool:
        """Whether it may be null."""


@dataclass(slots=True)
class Check:
    """Walks a tree, refusing all that is not allowed, and gives each node its type.

    `columns`: whether feature columns of views, `view.name`, are among what is known.
    `fields` and `calendar` collect the names met, in order; `nullable` those of whole numbers that may be null.
    """

    known: Mapping[str, Typed]
    columns: bool = False
    fields: dict[str, None] = field(default_factory=dict)
    calendar: dict[str, None] = field(default_factory=dict)
    nullable: dict[str, None] = field(default_factory=dict)

    def type(self, node: ast.expr, depth: int = 0) -> Type:
        """The type of what a tree gives; ExpressionError where it gives nothing."""
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
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot()], comparators=[ast.Name(id="null")]):
                self.type(left, depth + 1)
                return "boolean"
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[ast.Tuple(elts=values)]) if values:
                return self._one_of(left, values, depth)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                return self._compare(node, left, ops, rights, depth)
            case ast.Call(func=ast.Name(id=name), args=given, keywords=[]):
                return self._call(node, name, given, depth)
            case ast.Attribute(value=ast.Name(id=view), attr=name) if self.columns:
                return self._name(node, f"{view}.{name}")
        raise _error(node, f"{_name_of(node)} is not allowed")

    def _constant(self, node: ast.expr, value: object) -> Type:
        match value:
            case bool():
                return "boolean"
            case int() if abs(value) < 2**53:
                return "integer"
            case int():
                raise _error(node, "the number is too large", "write a number below 2**53")
            case float() if isfinite(value):
                return "number"
            case str() if not any("\ud800" <= letter <= "\udfff" for letter in value):
                return "string"
        raise _error(node, f"{value!r} is not allowed")

    def _name(self, node: ast.expr, name: str) -> Type:
        if name in self.known and name in CALENDAR:
            raise _error(node, f"{name} is both a field of the event and a calendar name", "rename the event's field")
        if name in CALENDAR:
            self.calendar[name] = None
            return "integer"
        if name not in self.known:
            others = [other for other in self.known if other.startswith(name.partition(".")[0] + ".")]
            names = ", ".join(others if "." in name and others else [*CALENDAR, *self.known])
            raise _error(node, f"unknown name {name}", f"known names are {names}")
        self.fields[name] = None
        match self.known[name].type:
            case "integer" if self.known[name].nullable:
                self.nullable[name] = None
                return "number"  # only a float can say that a value is missing (NaN)
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

    def _one_of(self, left: ast.expr, values: list[ast.expr], depth: int) -> Type:
        found = self.type(left, depth + 1)
        for value in values:
            if not isinstance(value, ast.Constant):
                raise _error(value, "in looks among values that are written out", 'write channel in ("web", "app")')
            other = self.type(value, depth + 1)
            if found != other and {found, other} != {"integer", "number"}:
                raise _error(value, f"a {found} is compared with a {other}", "compare values of one type")
        return "boolean"

    def _call(self, node: ast.expr, name: str, given: list[ast.expr], depth: int) -> Type:
        if name not in FUNCTIONS:
            names = ", ".join(FUNCTIONS)
            raise _error(node, f"a function call is not allowed: {name}", f"functions of expressions are {names}")
        if name not in SEVERAL:
            if len(given) != 1:
                raise _error(node, f"{name} is of one value, not {len(given)}", f"write {name}(amount)")
            found = self._arithmetic(given[0], depth)
            return found if name in ("abs", "floor") else "number"
        if len(given) < 2:
            raise _error(node, f"{name} is of two values or more", f"write {name}(amount, 0)")
        types = {self._arithmetic(value, depth) for value in given}
        return "number" if "number" in types else "integer"

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
            if not isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE | ast.Eq | ast.NotEq):
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
