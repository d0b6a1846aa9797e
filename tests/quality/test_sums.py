"""Sums are exact, and so the same in any order."""

from __future__ import annotations

from fractions import Fraction
from math import fsum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.domain.quality.statistics.exact_sum import ZERO, squares, summed

NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40)
LARGE = st.floats(1e-140, 1.7e308) | st.floats(-1.7e308, -1e-140) | st.just(0.0)
MODERATE = st.lists(LARGE, max_size=40)


@given(NUMBERS)
def test_exact(values: list[float]) -> None:
    """The sum is the sum of the fractions that floats are, whatever their magnitudes."""
    assert summed(np.array(values, np.float64)).fraction == sum(map(Fraction, values), Fraction(0))


@given(MODERATE)
def test_squares(values: list[float]) -> None:
    """So is the sum of squares."""
    assert squares(np.array(values, np.float64)).fraction == sum((Fraction(v) ** 2 for v in values), Fraction(0))


def test_many() -> None:
    """A column's sum is the nearest float, as fsum's, and parts add up to it."""
    values = np.random.default_rng(0).normal(size=100_000) * 10.0 ** np.random.default_rng(1).integers(-9, 9, 100_000)
    whole = summed(values)
    assert float(whole) == fsum(values)
    assert sum((summed(part) for part in np.array_split(values[::-1], 13)), ZERO) == whole
    assert whole - whole == ZERO


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_number(bad: float) -> None:
    """What is not finite has no exact sum."""
    with pytest.raises(ValueError, match="not finite"):
        summed(np.array([1.0, bad]))


@pytest.mark.parametrize("size", [1.0, 1e-100, 1e150, 1e200, 1.7e308])
def test_means_of_large_numbers(size: float) -> None:
    """A mean, and the root of a mean square, are told even where the sum or the square is beyond float64."""
    values = np.array([size, size, size, size])
    assert summed(values).mean(4) == size
    assert squares(values).root_mean(4) == pytest.approx(size, rel=1e-15)
    assert float(squares(np.array([1e200]))) == np.inf
    assert ZERO.root_mean(3) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_square(bad: float) -> None:
    """Nor has what is not finite a sum of squares, whatever stands beside it."""
    for beside in (1.0, 1e200):
        with pytest.raises(ValueError, match="not finite"):
            squares(np.array([beside, bad]))
