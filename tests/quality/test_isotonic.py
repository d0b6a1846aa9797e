"""Calibrators equal scikit-learn's isotonic regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from headrace.domain.quality.score_table import tabulated
from headrace.domain.quality.statistics.isotonic import AS_GIVEN, fitted
from tests.quality.cases import cases, one_class


def test_equal_to_sklearn() -> None:
    """Probabilities of known, unknown and far scores are scikit-learn's."""
    for scores, labels in cases():
        table = tabulated(scores, labels)
        model = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
        asked = np.concatenate([[-1.0, 0.0, 1.0, 2.0], np.linspace(0, 1, 57), scores])
        found = fitted(table)
        assert found(asked) == pytest.approx(model.predict(asked), abs=1e-12)
        assert not found.identity
        assert np.all(np.diff(found.rates) >= 0)


def test_few_points() -> None:
    """Flat stretches are told by their ends alone."""
    random = np.random.default_rng(0)
    scores = random.random(100_000)
    assert len(fitted(tabulated(scores, random.random(100_000) < scores)).scores) < 2_000


def test_one_class() -> None:
    """One class has one rate."""
    for scores, labels in one_class():
        if len(labels):
            assert fitted(tabulated(scores, labels))(np.array([0.0, 0.5])).tolist() == [labels[0]] * 2


def test_as_given() -> None:
    """The calibrator without points changes nothing."""
    assert AS_GIVEN.identity
    assert AS_GIVEN(np.array([0.3])).tolist() == [0.3]
