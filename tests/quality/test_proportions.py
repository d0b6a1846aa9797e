"""Intervals of shares equal scipy's and the published examples, and bands hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headrace.domain.quality.statistics.beta_binomial import _quantiles, expectation
from headrace.domain.quality.statistics.proportions import difference, wilson


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (10, 10), (1, 3), (250, 1000), (0, 1), (1, 10**6)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_wilson(hits: int, rows: int, level: float) -> None:
    """The interval is scipy's."""
    expected = stats.binomtest(hits, rows).proportion_ci(level, method="wilson")
    assert wilson(hits, rows, level) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0, 0) is None


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
    ],
)
def test_newcombe(a: tuple[int, int], b: tuple[int, int], expected: tuple[float, float]) -> None:
    """Examples (a), (b), (h) and (e) of Newcombe's table II, method 10."""
    assert difference(a, b) == pytest.approx(expected, abs=6e-5)
    low, high = difference(b, a)
    assert (-high, -low) == pytest.approx(expected, abs=6e-5)
    assert difference(a, (0, 0)) is None


@pytest.mark.parametrize("rows", [1, 7, 1000, 50_000])
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.3, 4.0), (5.0, 0.7), (3.0, 400.0), (900.0, 20.0), (2e5, 3e7)])
def test_beta_binomial(rows: int, a: float, b: float) -> None:
    """The quantiles are scipy's."""
    levels = np.array([0.001, 0.025, 0.5, 0.975, 0.999])
    found = _quantiles(rows, a, b, levels)
    for level, count in zip(levels, found.tolist(), strict=True):
        assert stats.betabinom.cdf(count, rows, a, b) >= level - 1e-9
        assert count == 0 or stats.betabinom.cdf(count - 1, rows, a, b) <= level + 1e-9


@pytest.mark.parametrize("rows", [1, 2, 7, 1000, 50_000])
@pytest.mark.parametrize(
    ("a", "b"),
    [(0.9, 90_000.0), (0.02, 50.0), (1.0, 1e6), (1e4, 1.0), (3.0, 0.01), (0.01, 0.01), (1e-4, 0.9), (7e5, 0.5)],
)
def test_both_sides_are_alike(rows: int, a: float, b: float) -> None:
    """Near 0 and near 1, with a peak at an end or at both, the quantiles are scipy's, on either side."""
    levels = np.array([0.001, 0.025, 0.5, 0.975, 0.999])
    for first, second in ((a, b), (b, a)):
        for level, count in zip(levels, _quantiles(rows, first, second, levels).tolist(), strict=True):
            assert stats.betabinom.cdf(count, rows, first, second) >= level - 1e-7
            assert count == 0 or stats.betabinom.cdf(count - 1, rows, first, second) <= level + 1e-7


@given(
    st.sampled_from([0.0, 1e-6, 1e-5, 1e-3, 0.094, 0.5, 0.9, 0.999, 0.99999, 1 - 1e-6, 1.0]),
    st.integers(1, 200_000),
    st.integers(1, 8),
    st.integers(1, 200_000),
    st.integers(0, 1000),
)
@settings(max_examples=300, deadline=None)
def test_bands_of_any_rate(rate: float, rows: int, windows: int, of: int, seed: int) -> None:
    """A band lies about the rate that it was made from, holds it, and is that of the negatives turned round."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, of + 1, windows)
    positives = random.binomial(sizes, rate)
    found, turned = expectation(rows, positives, sizes), expectation(rows, sizes - positives, sizes)
    assert found is not None
    assert turned is not None
    assert found.rate == pytest.approx(1 - turned.rate, abs=1e-12)
    low, high = found.band
    assert 0 <= low <= high <= 1
    assert low - 1 / rows <= found.rate <= high + 1 / rows
    # Counts are whole, so either end may be one further out.
    assert (1 - turned.band.high, 1 - turned.band.low) == pytest.approx((low, high), abs=1.001 / rows)


def test_nearly_all_are_positive() -> None:
    """Where one in 100,000 is negative, a window of as many rows is expected to be like that."""
    found = expectation(100_000, np.array([99_999] * 7), np.array([100_000] * 7))
    assert found is not None
    assert 0.9999 < found.band.low <= 0.99999 <= found.band.high == 1.0


def held(rates: np.ndarray, sizes: np.ndarray, seed: int) -> tuple[float, float]:
    """(share of windows within the band made from those before, mean overdispersion), over many streams."""
    random = np.random.default_rng(seed)
    inside, found = [], []
    for _ in range(400):
        own = random.choice(rates, len(sizes))
        positives = random.binomial(sizes, own)
        band = expectation(int(sizes[-1]), positives[:-1], sizes[:-1])
        inside.append(band.band.low <= positives[-1] / sizes[-1] <= band.band.high)
        found.append(band.overdispersion)
    return float(np.mean(inside)), float(np.mean(found))


def test_the_band_holds_what_it_promises() -> None:
    """A window like those before it lies within the band about 95 times in 100, whether they differ or not."""
    sizes = np.full(31, 5000)
    inside, spread = held(np.array([0.01]), sizes, 1)
    assert 0.93 <= inside <= 0.985
    assert spread < 0.0005
    inside, spread = held(np.array([0.006, 0.014]), sizes, 2)
    assert inside >= 0.93
    assert spread == pytest.approx(0.004**2 / (0.01 * 0.99), rel=0.1)
    inside, _ = held(np.array([0.01]), np.array([300, 5000]), 3)  # one small reference, which may be wrong
    assert 0.93 <= inside <= 0.995


def test_nothing_to_expect() -> None:
    """Without reference or rows there is no band."""
    none = np.zeros(0, np.int64)
    assert expectation(10, none, none) is None
    assert expectation(10, np.array([0]), np.array([0])) is None
    assert expectation(0, np.array([1]), np.array([10])) is None
    only = expectation(10, np.array([0]), np.array([100]))
    assert only.band.low == 0 < only.band.high


@pytest.mark.parametrize(("hits", "rows"), [(-1, 10), (11, 10), (1, -3), (0, 0), (float("nan"), 2)])
def test_no_part(hits: float, rows: float) -> None:
    """Hits that are no part of the rows are no share of them, so there is no interval."""
    assert wilson(hits, rows) is None
