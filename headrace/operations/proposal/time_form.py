"""How a column writes times: in ISO 8601, in another format, or as numbers since 1970."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.files.spec import TimeLayout
from headrace.errors import ConfigurationError
from headrace.operations.tables.cells import CellPlace, words
from headrace.operations.tables.timestamps import MICROS, NAMES, PLAUSIBLE, Moments, Reading

kernels: Any = pc  # its stubs know too few of the overloads

DATES = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%y", "%d/%m/%y",
    "%m/%d/%y", "%d %b %Y", "%b %d %Y", "%b %d, %Y", "%d-%b-%Y", "%d %B %Y", "%B %d, %Y",
)  # fmt: skip  # one list
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %H:%M:%S", "T%H:%M:%S")
WHOLE = (
    "%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S %z", "%Y%m%dT%H%M%S", "%Y%m%d %H%M%S",
    "%Y%m%d %H:%M:%S", "%Y-%m-%d-%H.%M.%S", "%Y-%m-%d_%H:%M:%S",
)  # fmt: skip  # one list
COMPACT = {4: "%Y", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Formats of whole numbers, by their digits."""
SOME = 200
"""Values that a format is tried on before all are."""
TIME = pa.field("time", pa.timestamp("us", tz="UTC"))


@dataclass(frozen=True, slots=True, eq=False)
class TimeForm:
    """A column that can be read as times.

    Attributes:
        layout: what `files` must say so that it is.
        written: how it is written, in words.
        sure: whether it can hardly be anything else; numbers can.
        ties: formats that fit all values, too.
        local: whether no zone is written.
        moments: int64 microseconds since 1970, in the order of rows; those without one are left out.
        day_only: whether no value has a time of day.
        typed: whether its type says that it is times.
    """

    layout: TimeLayout
    written: str
    sure: bool
    ties: tuple[str, ...]
    local: bool
    moments: Any
    day_only: bool
    typed: bool = False

    @property
    def ordered(self) -> bool:
        """Whether no row is older than the one before it."""
        return bool(np.all(self.moments[1:] >= self.moments[:-1]))

    @property
    def behind(self) -> int:
        """Milliseconds that a row is older than the newest before it, at the most."""
        newest = np.maximum.accumulate(self.moments)
        return int((newest - self.moments).max() // 1000)


def time_of_text(name: str, values: pa.ChunkedArray) -> TimeForm | None:
    """Text that is times and no numbers, in ISO 8601 or in a format; None where it is not."""
    said = words(values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)).drop_null()
    if not len(said):
        return None
    if (iso := _read(said, Reading(any_time=True))) is not None:
        zoned = bool(
            kernels.all(kernels.match_substring_regex(said, r"([Zz]|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?)$")).as_py()
        )
        whole = not kernels.all(kernels.match_substring_regex(said, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")).as_py()
        return _form(TimeLayout(), "ISO 8601", iso, local=not (zoned and whole))
    fits: list[tuple[str, Any]] = []
    for pattern in (*WHOLE, *("".join(pair) for pair in product(DATES, CLOCKS))):
        if not _strict(said[0].as_py(), pattern) or _read(said.slice(0, SOME), _formatted(pattern)) is None:
            continue
        if (found := _read(said, _formatted(pattern))) is not None:
            fits.append((pattern, found))
    return _best(fits)


def time_of_numbers(name: str, values: pa.Array) -> TimeForm | None:
    """Whole numbers that could be times, since 1970 or as digits of a date; never sure. None where they could not."""
    there = values.drop_null()
    if not len(there):
        return None
    low, high = kernels.min_max(there.cast(pa.float64(), safe=False)).as_py().values()
    for unit, factor in MICROS.items():
        if PLAUSIBLE[0] <= low * factor and high * factor < PLAUSIBLE[1]:
            found = _read(there, Reading(unit=unit))
            if found is not None:
                layout = TimeLayout(unit=unit)
                return replace(_form(layout, f"numbers, {NAMES[unit]} since 1970", found, local=False), sure=False)
    if not pa.types.is_integer(there.type) or low < 1980:
        return None
    pattern = COMPACT.get(len(str(int(low)))) if len(str(int(low))) == len(str(int(high))) else None
    if pattern is None or (found := _read(there, _formatted(pattern))) is None:
        return None
    return replace(_form(TimeLayout(format=pattern), f"numbers, as {pattern}", found, local=True), sure=False)


def time_of_typed(values: pa.ChunkedArray) -> TimeForm | None:
    """A column that is typed as times."""
    kind = values.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return None
    found = _read(values.combine_chunks().drop_null(), Reading(any_time=True))
    local = pa.types.is_date(kind) or kind.tz is None
    return None if found is None else replace(_form(TimeLayout(), f"typed as {kind}", found, local=local), typed=True)


def _formatted(pattern: str) -> Reading:
    return Reading(any_time=True, format=pattern)


def _strict(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text, pattern)  # only whether it can be read
    except ValueError:
        return False
    return True


def _read(values: pa.Array, reading: Reading) -> Any:
    """Microseconds, as `headrace publish` reads them; None where it refuses one."""
    place = CellPlace("time", TIME, text=pa.types.is_string(values.type))
    try:
        return Moments(place, reading).read(values, 1).cast(pa.int64()).to_numpy()
    except (ConfigurationError, pa.ArrowException):
        return None


def _form(layout: TimeLayout, written: str, moments: Any, *, local: bool) -> TimeForm:
    day_only = bool(np.all(moments % 86_400_000_000 == 0))
    return TimeForm(layout, written, True, (), local, moments, day_only)


def _best(fits: list[tuple[str, Any]]) -> TimeForm | None:
    """Of formats that read all values, the one in which rows are in order, else the first."""
    if not fits:
        return None
    ordered = [fit for fit in fits if np.all(fit[1][1:] >= fit[1][:-1])]
    pattern, moments = (ordered or fits)[0]
    different = [other for other, found in fits if other != pattern and not np.array_equal(found, moments)]
    rivals = tuple(other for other in different if not ordered or other in dict(ordered))
    form = _form(TimeLayout(format=pattern), f"text, as {pattern}", moments, local="%z" not in pattern)
    return replace(form, ties=rivals)
