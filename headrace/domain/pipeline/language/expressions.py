"""Expressions over an event: a small, safe language that is evaluated by whole columns.

`weekday >= 5`, `hour <= 6 or channel == "web"`, `amount / (1 + tip)`, `log(amount)`, `tip is null`: what may stand in
one is in `grammar`. Python's own parser reads the text; a strict allow-list decides what may stay, and types are
checked before any event is seen.

Zones other than UTC follow Arrow's tables, whose daylight saving ends with 2037.
Nulls are SQL's: arithmetic and comparisons with a null are null; `and`, `or`, `not` know three values; a condition that
is null does not hold. What is no number (0 / 0, 1 / 0, the logarithm of 0) is null as well. Integers are int64 and wrap
at its ends; those that may be null are float64 in every batch, whether it holds a null or not.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.language.evaluation import Column, TruthColumn, value_of
from headrace.domain.pipeline.language.grammar import CALENDAR, Check, ExpressionError, Type, Typed

__all__ = ["CALENDAR", "Expression", "ExpressionError", "compile"]

LONGEST = 500
"""Characters of an expression."""

Features = Mapping[str, npt.NDArray[Any]]
"""Feature columns of views, by `view.name`; NaN is null."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    Attributes:
        text: as written.
        type: of the result: `boolean` (bool), `integer` (int64), `number` (float64) or `string`.
        fields: event fields that it reads, in the order they are met.
        timezone: IANA name of the zone that the calendar names are in.
        nullable: those of `fields` that are whole numbers and may be null: they are read as float64.
        columns: feature columns of views that it reads, as `view.name`.
    """

    text: str
    type: Type
    fields: tuple[str, ...]
    timezone: str = "UTC"
    nullable: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    _calendar: tuple[str, ...] = field(default=(), repr=False)
    _tree: ast.expr = field(default_factory=lambda: ast.Constant(True), repr=False, compare=False)

    @property
    def plain(self) -> str | None:
        """The field that it is and nothing else; None for any other."""
        return self._tree.id if isinstance(self._tree, ast.Name) and self.fields else None

    @property
    def reads_time(self) -> bool:
        """Whether it reads the event's time: `weekday`, `hour` and the like."""
        return bool(self._calendar)

    def evaluate(
        self, columns: pa.RecordBatch, time_ms: npt.NDArray[np.int64], features: Features | None = None
    ) -> npt.NDArray[Any]:
        """The value for every row.

        Args:
            columns: the event's fields, one row an event.
            time_ms: int64, event times in milliseconds since the epoch, one a row.
            features: what `self.columns` names.

        Returns:
            One value a row: bool (null is false), int64 or float64 (null is NaN), by `type`.
        """
        value = self._evaluated(columns, time_ms, features)
        if isinstance(value, TruthColumn):
            return np.broadcast_to(value.true, (columns.num_rows,))
        dtype = np.int64 if self.type == "integer" else np.float64
        return np.broadcast_to(np.asarray(value, dtype=dtype), (columns.num_rows,))

    def numbers(self, columns: pa.RecordBatch, time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The same as float64, NaN for null; 1 and 0 for true and false."""
        value = self._evaluated(columns, time_ms, None)
        if isinstance(value, TruthColumn):
            found = value.true.astype(np.float64)
            if value.null is not None:
                found[np.broadcast_to(value.null, found.shape)] = np.nan
            value = found
        return np.broadcast_to(np.asarray(value, np.float64), (columns.num_rows,))

    def texts(self, columns: pa.RecordBatch, time_ms: npt.NDArray[np.int64]) -> pa.Array[Any]:
        """The value of a `string` for every row."""
        value = self._evaluated(columns, time_ms, None)
        return value if isinstance(value, pa.Array) else pa.array([value] * columns.num_rows, pa.string())

    def _evaluated(self, columns: pa.RecordBatch, time_ms: npt.NDArray[np.int64], features: Features | None) -> Any:
        names: dict[str, Column] = {name: _numbers(columns.column(name), name in self.nullable) for name in self.fields}
        if self._calendar:
            names |= _calendar(self._calendar, time_ms, self.timezone)
        if self.columns:
            assert features is not None, "features that it reads are given"
            names |= {name: _feature(features[name]) for name in self.columns}
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return value_of(self._tree, names)


def known_zone(name: str) -> bool:
    """Whether a time zone is known, the same on every machine.

    >>> known_zone("Europe/Paris"), known_zone("localtime")
    (True, False)
    """
    try:
        ZoneInfo(name)
        _calendar(("hour",), np.zeros(1, np.int64), name)  # Arrow does not know all the names that Python does
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return name != "localtime"  # another zone on every machine


def compile(
    text: str,
    fields: Mapping[str, Typed],
    timezone: str = "UTC",
    columns: Mapping[str, Typed] | None = None,
    strings: bool = False,
) -> Expression:
    """Check an expression against an event's fields, and the feature columns of views where it may read these.

    Args:
        columns: by `view.name`.
        strings: whether it may give strings.

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
    if not known_zone(timezone):
        raise ExpressionError(1, f"unknown timezone {timezone!r}", "write an IANA name such as Europe/Paris")
    check = Check({**fields, **(columns or {})}, columns=bool(columns))
    found = check.type(tree)
    if found == "string" and not strings:
        raise ExpressionError(1, "a feature cannot be a string", 'compare it with something: channel == "web"')
    own = tuple(name for name in check.fields if "." not in name)
    others = tuple(name for name in check.fields if "." in name)
    return Expression(text, found, own, timezone, tuple(check.nullable), others, tuple(check.calendar), tree)


def _feature(values: npt.NDArray[Any]) -> Column:
    return TruthColumn(values) if values.dtype == np.bool_ else values


def _numbers(column: pa.Array[Any], nullable: bool) -> Column:
    """Strings stay Arrow's; the rest becomes NumPy: floats, NaN for null, where integers may be null."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    if pa.types.is_boolean(column.type):
        true = column.fill_null(False).to_numpy(zero_copy_only=False)
        return TruthColumn(true, column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None)
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
