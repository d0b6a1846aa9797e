"""Evaluates checked expressions by whole columns, with SQL's nulls; `expressions` says what a user may rely on.

A column of numbers is NumPy's, NaN where it is null; of strings Arrow's; of truth values a `TruthColumn`. What names no
column is a Python scalar.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar import elementary

Flags = npt.NDArray[np.bool_]
Numbers: TypeAlias = "npt.NDArray[Any] | int | float"


class TruthColumn(NamedTuple):
    """TruthColumn values: where they are true, and where it is not known (None: nowhere). Nothing is both."""

    true: Flags
    null: Flags | None = None

    @property
    def false(self) -> Flags:
        """Where they are false."""
        return ~self.true if self.null is None else ~(self.true | self.null)


Column: TypeAlias = "Numbers | pa.Array[Any] | str | TruthColumn"

_COMPARE: Mapping[type[ast.cmpop], tuple[Any, str]] = {
    ast.Lt: (np.less, "less"),
    ast.LtE: (np.less_equal, "less_equal"),
    ast.Gt: (np.greater, "greater"),
    ast.GtE: (np.greater_equal, "greater_equal"),
    ast.Eq: (np.equal, "equal"),
    ast.NotEq: (np.not_equal, "not_equal"),
}
_ARITHMETIC: Mapping[type[ast.operator], Any] = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply}


def value_of(node: ast.expr, names: Mapping[str, Column]) -> Any:
    """What a tree that passed the check gives, a `Column`; division by zero is not for NumPy to warn of."""
    match node:
        case ast.Constant(value=bool() as value):
            return TruthColumn(np.array([value]))
        case ast.Constant(value=value):
            return value  # Check let only numbers and strings through
        case ast.Name(id=name):
            return names[name]
        case ast.Attribute(value=ast.Name(id=view), attr=name):
            return names[f"{view}.{name}"]
        case ast.BoolOp(op=op, values=operands):
            join = _both if isinstance(op, ast.And) else _either
            return reduce(join, (value_of(operand, names) for operand in operands))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _opposite(value_of(operand, names))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return np.negative(value_of(operand, names))
        case ast.UnaryOp(operand=operand):
            return value_of(operand, names)
        case ast.BinOp(left=left, op=op, right=right):
            return _computed(value_of(left, names), op, value_of(right, names), isinstance(right, ast.Constant))
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as op]):
            null = _nulls(value_of(left, names))
            found = TruthColumn(np.zeros(1, np.bool_) if null is None else null)
            return found if isinstance(op, ast.Is) else _opposite(found)
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn() as op], comparators=[ast.Tuple(elts=values)]):
            own = value_of(left, names)
            found = reduce(_either, (_compared(own, ast.Eq(), value_of(value, names)) for value in values))
            return found if isinstance(op, ast.In) else _opposite(found)
        case ast.Compare(left=left, ops=ops, comparators=rights):
            sides = [value_of(side, names) for side in (left, *rights)]
            pairs = zip(sides, ops, sides[1:], strict=False)
            return reduce(_both, (_compared(one, op, other) for one, op, other in pairs))
        case ast.Call(func=ast.Name(id=name), args=given):
            return _called(name, [value_of(each, names) for each in given])
    raise AssertionError(f"{node} passed the check")


def _computed(left: Numbers, op: ast.operator, right: Numbers, constant: bool) -> Numbers:
    found: Numbers
    if isinstance(op, ast.Div):
        found = np.divide(left, right)
        return found if constant else np.where(np.equal(right, 0), np.nan, found)
    if isinstance(op, ast.Mod):
        return np.mod(left, right if constant else np.asarray(right, np.float64))
    found = _ARITHMETIC[type(op)](left, right)
    return found


def _called(name: str, given: list[Numbers]) -> Numbers:
    found: Numbers
    match name:
        case "coalesce":
            return reduce(_first_known, given)
        case "min" | "max":
            found = reduce(np.fmin if name == "min" else np.fmax, given)
            return found + 0  # 0, where processors differ in the sign of one that is the least or greatest
        case "abs":
            return np.abs(given[0])
        case "floor":
            return given[0] if np.asarray(given[0]).dtype.kind == "i" else np.floor(given[0])
        case "sqrt":
            return np.sqrt(given[0])
    numbers = np.atleast_1d(np.asarray(given[0], np.float64))
    return elementary.log(numbers) if name == "log" else elementary.exp(numbers)


def _first_known(one: Numbers, other: Numbers) -> Numbers:
    null = _nulls(one)
    return one if null is None else np.where(null, other, one)


def _nulls(column: Column) -> Flags | None:
    """Where a column is null; None where it cannot be."""
    found: Flags
    if isinstance(column, TruthColumn):
        return column.null
    if isinstance(column, pa.Array):
        found = column.is_null().to_numpy(zero_copy_only=False)
        return found if column.null_count else None
    if isinstance(column, np.ndarray | np.floating) and column.dtype.kind == "f":
        return np.atleast_1d(np.isnan(column))
    return None


def _any_null(one: Flags | None, other: Flags | None) -> Flags | None:
    if one is None or other is None:
        return other if one is None else one
    return one | other


def _both(one: TruthColumn, other: TruthColumn) -> TruthColumn:
    true = one.true & other.true
    if one.null is None and other.null is None:
        return TruthColumn(true)
    return TruthColumn(true, ~(true | one.false | other.false))


def _either(one: TruthColumn, other: TruthColumn) -> TruthColumn:
    true = one.true | other.true
    if one.null is None and other.null is None:
        return TruthColumn(true)
    return TruthColumn(true, ~(true | (one.false & other.false)))


def _opposite(given: TruthColumn) -> TruthColumn:
    return TruthColumn(given.false, given.null)


def _compared(left: Column, op: ast.cmpop, right: Column) -> TruthColumn:
    ufunc, kernel = _COMPARE[type(op)]
    if isinstance(left, pa.Array) or isinstance(right, pa.Array):
        answer = getattr(pc, kernel)(left, right)
        null = answer.is_null().to_numpy(zero_copy_only=False) if answer.null_count else None
        return TruthColumn(answer.fill_null(False).to_numpy(zero_copy_only=False), null)
    null = _any_null(_nulls(left), _nulls(right))
    if isinstance(left, TruthColumn) and isinstance(right, TruthColumn):
        left, right = left.true, right.true
    true = np.atleast_1d(ufunc(left, right))
    return TruthColumn(true) if null is None else TruthColumn(true & ~null, null)
