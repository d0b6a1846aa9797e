"""Estimates without labels are what labels then bring, when scores keep meaning the same chance."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.quality import calibration
from headrace.domain.quality.estimation import calibrator, estimates, expected, fared
from headrace.domain.quality.ranking import auc_roc, average_precision
from headrace.domain.quality.score_table import EMPTY, tabulated
from headrace.domain.quality.statistics.isotonic import AS_GIVEN
from tests.quality.realised import THRESHOLD, WORTH, realised


def distorted(chances: np.ndarray) -> np.ndarray:
    """Scores that rank as the chances do and are none, as of a model trained on balanced classes."""
    return chances / (chances + (1 - chances) / 8)


@pytest.mark.slow
@pytest.mark.parametrize("warp", [np.asarray, distorted], ids=["calibrated", "distorted"])
def test_as_realised(warp: object) -> None:
    """Windows whose inputs drift bring what was estimated: no bias, and within 3 standard errors nearly always."""
    random = np.random.default_rng(11)
    chances = random.beta(0.4, 4, 60_000)
    reference = tabulated(warp(chances), random.random(60_000) < chances)
    calibrated = calibrator(reference)
    assert calibrated.identity == (warp is np.asarray)
    pairs: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(60):
        window = random.beta(0.4, random.uniform(3, 6), 3000)
        unlabelled = tabulated(warp(window), np.full(3000, np.nan))
        found = estimates(expected(unlabelled, calibrated), THRESHOLD, WORTH, reference)
        for name, figure in realised(tabulated(warp(window), random.random(3000) < window)).items():
            pairs.setdefault(name, []).append((found[name].value, found[name].error, figure))
    for name, rows in pairs.items():
        estimate, error, figure = np.array(rows).T
        result = fared(estimate, error, figure)
        assert result.pairs == 60
        assert result.coverage >= 0.95, name
        assert abs(result.bias) < 0.5 * error.mean(), name
        assert result.mean_absolute < 1.2 * error.mean(), name


def test_expected_order() -> None:
    """On a small window with tied scores, the order's figures are nearly their means over all that labels may be."""
    random = np.random.default_rng(2)
    chances = np.round(random.random(60), 1)
    found = estimates(expected(tabulated(chances, np.full(60, np.nan)), AS_GIVEN), 0.5)
    drawn = [tabulated(chances, random.random(60) < chances) for _ in range(4000)]
    assert found["auc_roc"].value == pytest.approx(np.mean([auc_roc(table) for table in drawn]), abs=0.003)
    averages = [average_precision(table) for table in drawn]
    assert found["average_precision"].value == pytest.approx(np.mean(averages), abs=0.006)


def test_calibrated() -> None:
    """Scores that are no probabilities become such."""
    random = np.random.default_rng(4)
    chances = random.beta(1, 5, 50_000)
    table = tabulated(np.log(chances), random.random(50_000) < chances)
    found = calibrator(table)
    assert np.abs(found(np.log(chances)) - chances).mean() < 0.01
    assert calibration.bias(expected(tabulated(chances, np.full(50_000, np.nan)), AS_GIVEN)) == pytest.approx(0)


def test_too_little_to_calibrate() -> None:
    """With few positives scores are taken as given, unless they are no probabilities: then there is no estimate."""
    scores = np.linspace(0, 1, 500)
    assert calibrator(tabulated(scores, scores > 0.98)) is AS_GIVEN
    assert calibrator(tabulated(scores * 2, scores > 0.98)) is None
    assert calibrator(EMPTY) is AS_GIVEN


def test_nothing_to_estimate() -> None:
    """A window without rows has no figures; one without flagged rows no precision."""
    assert set(estimates(expected(EMPTY, AS_GIVEN), 0.5, WORTH).values()) == {None}
    low = expected(tabulated(np.array([0.1, 0.2]), np.full(2, np.nan)), AS_GIVEN)
    found = estimates(low, 0.5)
    assert found["precision"] is None
    assert found["recall"].value == 0
    assert "value" not in found


def test_without_reference() -> None:
    """The expected counts stand in for a reference, with nearly its errors."""
    random = np.random.default_rng(6)
    chances = random.beta(0.4, 4, 20_000)
    window = expected(tabulated(chances, np.full(20_000, np.nan)), AS_GIVEN)
    own = estimates(window, THRESHOLD, WORTH)
    given = estimates(window, THRESHOLD, WORTH, tabulated(chances, random.random(20_000) < chances))
    for name, estimate in own.items():
        assert estimate.error == pytest.approx(given[name].error, rel=0.2), name


def test_fared() -> None:
    """Pairs with a gap are left out; without errors there is no coverage."""
    nan = np.nan
    found = fared(np.array([1.0, 2.0, nan, 4.0]), np.array([0.1, 1.0, 1.0, nan]), np.array([1.5, 2.5, 3.0, 3.0]))
    assert (found.pairs, found.coverage) == (3, 0.5)
    assert found.bias == pytest.approx(0)
    assert found.mean_absolute == pytest.approx(2 / 3)
    assert fared(np.array([1.0]), np.array([nan]), np.array([1.0])).coverage is None
    assert fared(np.array([nan]), np.array([1.0]), np.array([1.0])) is None
