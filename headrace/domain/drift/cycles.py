"""Daily and weekly cycles: what is usual at an hour is no drift, and what the calendar determines is none at all.

Values are held against those of the same hour, on weekdays or at weekends: from each value its cell's median is taken
away, and what is left is divided by the cell's spread, both drawn towards those of all rows where a cell has few. The
residuals are binned and bet on like any feature. Other shapes at other hours stay in them: they follow one another, and
`inflation_of` finds them there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.domain.drift.reference_bins import Floats, Ints

HOURS, CELLS = 168, 48
"""Hours of a week, from Monday's first on, and cells: the hours of weekdays and those of weekends."""
WEEKDAYS = 120
SHRUNK = 50.0
"""Rows that the whole reference counts for in each cell."""
HOUR_MS, THURSDAY = 3_600_000, 72
DETERMINED = 0.98
"""Share of a feature's variance that the hour of the week explains, from which on it is the calendar's."""


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """What a numeric feature usually is, by cell.

    Attributes:
        centres: float64, by cell.
        spreads: float64, by cell, above 0.
    """

    centres: Floats
    spreads: Floats

    def residuals(self, values: Floats, hours: Ints) -> Floats:
        """Values in spreads from what is usual at their hour, float64; NaN where missing.

        Args:
            hours: int64, of the week, 0 to 167.
        """
        cells = cells_of(hours)
        found: Floats = (values - self.centres[cells]) / self.spreads[cells]
        return found


def hours_of(times: Ints) -> Ints:
    """The hour of the week of event times (int64, milliseconds since 1970, UTC).

    >>> hours_of(np.array([0, 4 * 24 * 3_600_000])).tolist()
    [72, 0]
    """
    return (times // HOUR_MS + THURSDAY) % HOURS


def cells_of(hours: Ints) -> Ints:
    """The cell of each hour of the week.

    >>> cells_of(np.array([0, 23, 24, 120, 167])).tolist()
    [0, 23, 0, 24, 47]
    """
    return hours % 24 + np.where(hours >= WEEKDAYS, 24, 0)


def cycle_of(values: Floats, hours: Ints) -> Cycle:
    """Learn it from a reference.

    Args:
        values: float64, NaN where missing.
        hours: int64, of the week.
    """
    cells = cells_of(hours)
    centre, spread = _middle(values)
    centres, spreads = np.full(CELLS, centre), np.full(CELLS, spread)
    order = np.argsort(cells, kind="stable")
    for cell, rows in enumerate(np.split(order, np.searchsorted(cells[order], np.arange(1, CELLS)))):
        known = values[rows]
        count = int((~np.isnan(known)).sum())
        if count:
            own = _middle(known)
            share = count / (count + SHRUNK)
            centres[cell] += share * (own[0] - centre)
            spreads[cell] += share * (own[1] - spread)
    return Cycle(centres, np.where(spreads > 0, spreads, 1.0))


def _middle(values: Floats) -> tuple[float, float]:
    """The median, and half of what the middle two thirds span: a standard deviation, were they normal."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    low, middle, high = np.quantile(known, [0.1587, 0.5, 0.8413])
    spread = float(high - low) / 2
    return float(middle), spread if spread > 0 else float(known.std())


def calendar_share(values: Floats, hours: Ints) -> float:
    """How much of a feature's variance the hour of the week explains: 0 to 1; 0 where it does not vary.

    Args:
        values: float64, NaN where missing.
        hours: int64, of the week.

    >>> hours = np.arange(5_000) % 168
    >>> calendar_share((hours >= 120).astype(float), hours)
    1.0
    """
    known = ~np.isnan(values)
    values, hours = values[known], hours[known]
    total = float(np.var(values)) if len(values) else 0.0
    if total == 0:
        return 0.0
    counts = np.bincount(hours, minlength=HOURS)
    means = np.bincount(hours, values, minlength=HOURS) / np.maximum(counts, 1)
    return float(1 - np.mean((values - means[hours]) ** 2) / total)


def calendar_features(columns: dict[str, Floats], hours: Ints) -> tuple[str, ...]:
    """Those features that the calendar determines, in their order: their changes say what day it is.

    A reference of less than two weeks cannot tell: whatever rises in a week looks like a calendar.
    """
    weeks = np.count_nonzero(np.diff(hours) < 0)
    if weeks < 2:
        return ()
    return tuple(name for name, values in columns.items() if calendar_share(values, hours) >= DETERMINED)
