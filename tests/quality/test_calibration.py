"""Figures of probabilities equal scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from headrace.domain.quality import calibration
from headrace.domain.quality.score_table import EMPTY, tabulated
from tests.quality.cases import cases, one_class

FIGURES = [calibration.log_loss, calibration.brier_score, calibration.bias, calibration.reliability]


def test_log_loss() -> None:
    """The loss is scikit-learn's, also of scores that claim to be certain."""
    for scores, labels in cases():
        for given in (scores, np.round(scores)):
            found = calibration.log_loss(tabulated(given, labels))
            assert found == pytest.approx(log_loss(labels, given, labels=[0, 1]), rel=1e-12)


def test_brier_score() -> None:
    """The score is scikit-learn's."""
    for scores, labels in cases():
        expected = brier_score_loss(labels, scores)
        assert calibration.brier_score(tabulated(scores, labels)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 5, 10, 20])
def test_reliability(bins: int) -> None:
    """The bins are those of scikit-learn's curve by quantiles."""
    for scores, labels in cases():
        found = calibration.reliability(tabulated(scores, labels), bins)
        observed, claimed = calibration_curve(labels, scores, n_bins=bins, strategy="quantile")
        assert found.claimed == pytest.approx(claimed, abs=1e-12)
        assert found.observed == pytest.approx(observed, abs=1e-12)
        assert found.rows.sum() == len(labels)
        assert 0 <= found.expected_error <= 1


def test_bias() -> None:
    """Calibration in the large is the mean score less the rate."""
    for scores, labels in cases():
        assert calibration.bias(tabulated(scores, labels)) == pytest.approx(scores.mean() - labels.mean(), abs=1e-12)


def test_recalibration() -> None:
    """Intercept and slope are those of a logistic regression on the log odds."""
    for seed in range(5):
        random = np.random.default_rng(seed)
        odds = random.normal(-1, 1.5, 2000)
        labels = random.random(2000) < 1 / (1 + np.exp(-(0.3 + 0.6 * odds)))
        scores = 1 / (1 + np.exp(-odds))
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[:, None], labels)
        expected = (model.intercept_[0], model.coef_[0, 0])
        assert calibration.recalibration(tabulated(scores, labels)) == pytest.approx(expected, abs=1e-5)


def test_no_recalibration() -> None:
    """Separated classes, one class or one score have no best slope."""
    assert calibration.recalibration(tabulated(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1]))) is None
    assert calibration.recalibration(tabulated(np.full(4, 0.5), np.array([0, 0, 1, 1]))) is None
    for scores, labels in one_class():
        assert calibration.recalibration(tabulated(scores, labels)) is None


def test_one_class() -> None:
    """One class has a loss as well; it is None only without rows."""
    for scores, labels in one_class():
        for figure in FIGURES:
            assert (figure(tabulated(scores, labels)) is None) == (len(labels) == 0)
        if len(labels):
            found = calibration.log_loss(tabulated(scores, labels))
            assert found == pytest.approx(log_loss(labels, scores, labels=[0, 1]))


@pytest.mark.parametrize("score", [-0.1, 1.1])
def test_scores_that_are_no_probabilities(score: float) -> None:
    """A score outside 0 and 1 has no such figure, unless nobody knows its label."""
    for figure in (*FIGURES, calibration.recalibration):
        assert figure(tabulated(np.array([0.2, 0.8, score]), np.array([0, 1, 1]))) is None
    assert calibration.bias(tabulated(np.array([0.2, 0.8, score]), np.array([0, 1, np.nan]))) == pytest.approx(0)
    assert calibration.bias(EMPTY) is None
