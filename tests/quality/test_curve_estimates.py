"""Estimates by a curve of chances are what labels then bring, whatever scores are, and say how far they may be off."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.quality.curve_estimates import steady_estimates
from headrace.domain.quality.estimation import calibrator, estimates, expected
from headrace.domain.quality.ranking import auc_roc
from headrace.domain.quality.score_table import EMPTY, tabulated
from tests.quality.realised import THRESHOLD, WORTH, realised


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1_000, 20_000])
@pytest.mark.parametrize("warp", [np.asarray, np.sqrt, lambda chances: 7 * chances], ids=["right", "bent", "no chance"])
def test_intervals_cover(warp: object, rows: int) -> None:
    """With a reference of few rows (a little less than nine times in ten then) or many, each drawn anew."""
    inside = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        chances, window = random.beta(0.4, 3, rows), random.beta(0.4, random.uniform(2, 5), 3_000)
        reference = tabulated(warp(chances), random.random(rows) < chances)
        found = steady_estimates(reference, tabulated(warp(window), np.full(3_000, np.nan)), float(warp(0.3)), WORTH)
        real = realised(tabulated(window, random.random(3_000) < window))  # at the same threshold, before the warp
        inside.append([abs(found[name].value - value) < 1.96 * found[name].error for name, value in real.items()])
    assert np.all(np.mean(inside, axis=0) >= 0.8)
    assert (0.87 if rows == 1_000 else 0.9) <= np.mean(inside) <= 0.99


@pytest.mark.slow
def test_nearer_than_isotonic_on_few_rows() -> None:
    """With a reference of 1,000 rows and scores that are wrong, it errs clearly less than isotonic regression."""
    curve, isotonic = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        chances, window = random.beta(0.4, 3, 1_000), random.beta(0.4, 3, 20_000)
        reference = tabulated(np.sqrt(chances), random.random(1_000) < chances)
        unlabelled = tabulated(np.sqrt(window), np.full(20_000, np.nan))
        real = auc_roc(tabulated(window, random.random(20_000) < window))
        calibrated = calibrator(reference)
        assert not calibrated.identity
        curve.append(steady_estimates(reference, unlabelled, THRESHOLD)["auc_roc"].value - real)
        isotonic.append(estimates(expected(unlabelled, calibrated), THRESHOLD)["auc_roc"].value - real)
    assert np.abs(curve).mean() < 0.9 * np.abs(isotonic).mean()


def test_few_rows_are_less_sure() -> None:
    """Errors grow as the reference shrinks."""
    random = np.random.default_rng(1)
    window = tabulated(random.beta(0.4, 3, 5_000), np.full(5_000, np.nan))
    errors = []
    for rows in (500, 50_000):
        chances = random.beta(0.4, 3, rows)
        found = steady_estimates(tabulated(chances, random.random(rows) < chances), window, THRESHOLD)
        errors.append(found["auc_roc"].error)
    assert errors[0] > 1.5 * errors[1]


@pytest.mark.parametrize(
    "scores",
    [
        np.full(200, 0.3),
        np.repeat([0.0, 1.0], 100),
        np.repeat([1e300, -1e300], 100),
        np.linspace(0, 1e-9, 200),
        np.linspace(-1e6, 1e6, 200),
    ],
    ids=["one", "two", "huge", "tiny", "no chances"],
)
def test_strange_scores(scores: np.ndarray) -> None:
    """Figures and errors are numbers, also where scores separate the classes and for scores that were never met."""
    reference = tabulated(scores, np.arange(200) >= 100)
    window = tabulated(np.append(scores[::9], [-1e300, 0.5, 1e300]), np.full(26, np.nan))
    with np.errstate(all="raise", under="ignore"):
        found = steady_estimates(reference, window, 0.5, WORTH)
    for name in ("accuracy", "auc_roc", "value"):
        assert np.isfinite(found[name].value), name
        assert np.isfinite(found[name].error), name


def test_too_little() -> None:
    """Fewer than 30 rows of a class give no estimates; a window without rows has no figures."""
    scores = np.linspace(0, 1, 500)
    assert steady_estimates(tabulated(scores, scores > 0.95), tabulated(scores, np.full(500, np.nan)), 0.5) is None
    assert set(steady_estimates(tabulated(scores, scores > 0.5), EMPTY, 0.5, WORTH).values()) == {None}
