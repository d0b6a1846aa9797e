"""Coefficients are those of maximum likelihood where nothing holds them, and nothing where they have no use."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headrace.domain.quality.statistics.shrunk_logistic import FREE, Likelihood, most_likely, shrunk


def likelihood(design: np.ndarray, labels: np.ndarray) -> object:
    """Of a logistic regression on a matrix."""

    def at(coefficients: np.ndarray) -> Likelihood:
        log_odds = design @ coefficients
        chances = np.exp(-np.logaddexp(0, -log_odds))
        height = float(labels @ log_odds - np.logaddexp(0, log_odds).sum())
        curvature = (design * (chances * (1 - chances))[:, None]).T @ design
        return Likelihood(height, design.T @ (labels - chances), curvature)

    return at


def drawn(seed: int, coefficients: np.ndarray, rows: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    """(design, labels) of a model with these coefficients, the first an intercept's."""
    random = np.random.default_rng(seed)
    design = np.column_stack([np.ones(rows), random.standard_normal((rows, len(coefficients) - 1))])
    return design, (random.random(rows) < 1 / (1 + np.exp(-design @ coefficients))).astype(np.float64)


def test_unheld() -> None:
    """Without a prior they are scikit-learn's without a penalty, far from where the search began."""
    design, labels = drawn(1, np.array([-2.0, 3.0, 0.0, -1.0]))
    found = shrunk(likelihood(design, labels), np.full(4, FREE), np.array([4.0, -4.0, 0.0, 0.0]))
    theirs = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(design, labels)
    assert found.coefficients == pytest.approx(theirs.coef_[0], abs=1e-3)
    assert len(found.variances) == 0


def test_groups_are_held_as_the_data_asks() -> None:
    """A group without effect vanishes; one with effects keeps them, and a variance of their size."""
    effects = np.array([0.5, *[0.0] * 10, *np.random.default_rng(3).normal(0, 0.8, 10)])
    design, labels = drawn(2, effects)
    groups = np.array([FREE, *[0] * 10, *[1] * 10])
    found = shrunk(likelihood(design, labels), groups, np.zeros(21))
    free, _ = most_likely(likelihood(design, labels), np.zeros(21), np.zeros(21))
    assert np.abs(found.coefficients[1:11]).max() < 0.2 * np.abs(free[1:11]).max()
    assert found.coefficients[11:] == pytest.approx(free[11:], rel=0.03, abs=0.02)
    assert np.sqrt(found.variances[1]) == pytest.approx(np.std(effects[11:]), rel=0.3)


def test_draws() -> None:
    """They lie about the coefficients as the covariance says, which is that of the estimate over samples."""
    truth = np.array([-1.0, 1.0, 0.5])
    several = [shrunk(likelihood(*drawn(seed, truth)), np.full(3, FREE), np.zeros(3)) for seed in range(200)]
    deviations = np.std([each.coefficients for each in several], axis=0)
    draws = several[0].draws(4_000, np.random.default_rng(0))
    assert draws.mean(axis=0) == pytest.approx(several[0].coefficients, abs=0.01)
    assert draws.std(axis=0) == pytest.approx(deviations, rel=0.15)
