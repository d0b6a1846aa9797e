"""Times as producers write them, as milliseconds since 1970, by columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.iso_time import LOCAL, NO_TIME, milliseconds
from headrace.streaming.records.feed.shape import MILLIS, PER_MILLI, TimeNotation

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
kernels: Any = pc  # its stubs know too few of the overloads
LEAST, MOST = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999: what is beyond was meant in another unit."""


def times_of(values: pa.Array, form: TimeNotation, there: Flags) -> tuple[Ints, list[tuple[Flags, str]]]:
    """Milliseconds of each value, and what is wrong with which of them; of those not `there` they mean nothing.

    Fractions of a millisecond of whole numbers and texts are cut off, downwards; floating-point numbers are rounded to
    the nearest, for they say no more than that.

    >>> times_of(pa.array([1_500_999, 2]), TimeNotation("micros"), np.array([True, True]))[0].tolist()
    [1500, 0]
    """
    faults: list[tuple[Flags, str]] = []
    if form.unit == "iso":
        times, kinds = milliseconds(values)
        local = kinds == LOCAL
        faults.append((there & (kinds == NO_TIME), "is no time of ISO 8601"))
        if form.zone is None:
            faults.append((there & local, "is a time without a zone: declare it in the pipeline file (zone: UTC)"))
    else:
        times, beyond = _numbers(values, form.unit)
        faults.append((there & beyond, f"is no time in {form.unit} of the years 1 to 9999: is it another unit?"))
        local = np.full(len(times), form.zone is not None)
    if form.zone is not None and (local & there).any():
        shown, times = times, times.copy()
        for mask, found in _in_zone(shown, form):
            if isinstance(found, str):
                faults.append((mask & local & there, found))
            else:
                times[local] = found[local]
    return times, [(mask, why) for mask, why in faults if mask.any()]


def _numbers(values: pa.Array, unit: str) -> tuple[Ints, Flags]:
    """Milliseconds, and which are beyond the years that there are."""
    found = values.to_numpy(zero_copy_only=False)
    if found.dtype.kind == "f":
        scaled = found * MILLIS.get(unit, 1) / PER_MILLI.get(unit, 1)
        beyond = ~((scaled >= LEAST) & (scaled <= MOST))
        return np.rint(np.where(beyond, 0, scaled)).astype(np.int64), beyond
    if unit in MILLIS:
        beyond = (found < LEAST // MILLIS[unit]) | (found > MOST // MILLIS[unit])
        return np.where(beyond, 0, found) * MILLIS[unit], beyond
    times = found // PER_MILLI[unit]
    return times, (times < LEAST) | (times > MOST)


def _in_zone(shown: Ints, form: TimeNotation) -> Iterator[tuple[Flags, Ints | str]]:
    """What a clock of the zone that shows these means, and those that it never or twice shows."""
    clock = pa.array(shown, pa.timestamp("ms"))

    def meant(ambiguous: str, nonexistent: str) -> Ints:
        found = kernels.assume_timezone(clock, form.zone, ambiguous=ambiguous, nonexistent=nonexistent)
        return np.asarray(found.cast(pa.int64()).to_numpy())

    early, late, beyond = meant("earliest", "earliest"), meant("latest", "earliest"), meant("earliest", "latest")
    yield np.ones(len(shown), np.bool_), late if form.ambiguous == "latest" else early
    yield early != beyond, f"is a time that clocks of {form.zone} never show: they were set forward"
    if form.ambiguous == "refuse":
        again = f"is shown twice by clocks of {form.zone}: say which (ambiguous: earliest or latest)"
        yield early != late, again
