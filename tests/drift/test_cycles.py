"""Cycles: what is usual at an hour raises no alarm, what is not does, and the calendar's own features are known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.drift.bets import bets_on, inflation_of
from headrace.domain.drift.cycles import calendar_features, calendar_share, cells_of, cycle_of, hours_of
from headrace.domain.drift.e_detector import LOOKED, EDetector
from headrace.domain.drift.reference_bins import Floats, Ints, numeric_bins

A_DAY, ASKED = 500, 50_000
HOUR_MS = 3_600_000


def stream(seed: int, days: int) -> tuple[Floats, Ints]:
    """A feature with a wave of the day and another level and spread at weekends, and its hours."""
    at = np.arange(days * A_DAY)
    hours = at * 24 // A_DAY % 168
    weekend = hours >= 120
    noise = np.random.default_rng(seed).normal(size=len(at))
    return np.sin(2 * np.pi * hours / 24) + np.where(weekend, 1 + 2 * noise, noise), hours


def first_alarm(values: Floats, hours: Ints, cyclic: bool) -> int | None:
    """Of a stream, against eight weeks."""
    known, then = stream(1, 56)
    cycle = cycle_of(known, then)
    left = cycle.residuals(known, then) if cyclic else known
    bins = numeric_bins(left)
    inflation = inflation_of(left) if cyclic else 1.0
    detector = EDetector([bins], [bets_on(bins, inflation=inflation)])
    held = cycle.residuals(values, hours) if cyclic else values
    over = np.flatnonzero(detector.advance(detector.begin(), bins.place(pa.array(held))[:, None]) >= ASKED)
    return int(over[0]) * LOOKED if len(over) else None


def test_a_day_is_no_drift() -> None:
    """Ten weeks of it raise nothing, and many alarms where nobody looks at the hour."""
    values, hours = stream(2, 70)
    assert first_alarm(values, hours, cyclic=True) is None
    assert first_alarm(values, hours, cyclic=False) is not None


def test_what_is_unusual_for_its_hour_is_seen() -> None:
    """Half a standard deviation, within a day."""
    values, hours = stream(3, 20)
    values[5_000:] += 0.5
    found = first_alarm(values, hours, cyclic=True)
    assert found is not None
    assert 5_000 <= found < 5_000 + A_DAY


def test_cells_with_few_rows_are_as_all_rows_are() -> None:
    """One value at an hour makes no rule of it; an hour without any has none of its own."""
    values, hours = np.append(np.tile([-1.0, 0.0, 1.0], 1_000), 50.0), np.append(np.zeros(3_000, np.int64), 5)
    cycle = cycle_of(values, hours)
    assert abs(cycle.centres[5]) < 1.5
    assert cycle.centres[7] == pytest.approx(np.median(values))
    assert np.all(cycle.spreads > 0)


def test_missing_values_stay_missing() -> None:
    """They take no part in what is usual."""
    values, hours = stream(4, 14)
    holes = np.where(np.arange(len(values)) % 3 == 0, np.nan, values)
    cycle = cycle_of(holes, hours)
    assert np.isnan(cycle.residuals(holes, hours)[::3]).all()
    assert np.abs(cycle.centres - cycle_of(values, hours).centres).max() < 1.0
    assert not np.isnan(cycle.centres).any()


def test_features_of_the_calendar_are_found() -> None:
    """Weekends, nights and the hour itself; not what only follows them, and nothing within a week."""
    values, hours = stream(5, 28)
    columns = {
        "amount": values,
        "weekend": (hours >= 120).astype(float),
        "night": (hours % 24 <= 6).astype(float),
        "minute": hours % 24 + np.linspace(0, 1, len(hours)) % 0.9,
        "constant": np.zeros(len(hours)),
    }
    assert calendar_features(columns, hours) == ("weekend", "night", "minute")
    week = 7 * A_DAY
    assert calendar_features({name: column[:week] for name, column in columns.items()}, hours[:week]) == ()
    assert calendar_share(np.full(3, np.nan), hours[:3]) == 0.0


def test_hours_are_counted_from_monday() -> None:
    """2026-01-05 was a Monday; before 1970 there were weeks as well."""
    monday = np.datetime64("2026-01-05T00:30").astype("datetime64[ms]").astype(np.int64)
    assert hours_of(np.array([monday, monday - HOUR_MS, -HOUR_MS])).tolist() == [0, 167, 71]
    assert cells_of(hours_of(np.array([monday - HOUR_MS]))).tolist() == [47]
