"""Figures of the order of scores equal scikit-learn's, or what their definition gives when written down row by row."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from headrace.domain.quality.ranking import auc_error, auc_roc, average_precision, placements, precision_at, recall_at
from headrace.domain.quality.score_table import EMPTY, tabulated
from tests.quality.cases import cases, one_class


def test_auc_roc() -> None:
    """The area is scikit-learn's."""
    for scores, labels in cases():
        assert auc_roc(tabulated(scores, labels)) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_average_precision() -> None:
    """The average is scikit-learn's."""
    for scores, labels in cases():
        expected = average_precision_score(labels, scores)
        assert average_precision(tabulated(scores, labels)) == pytest.approx(expected, abs=1e-12)


def test_unlabelled_rows_count_for_nothing() -> None:
    """Rows without a label change no figure."""
    for scores, labels in cases():
        table = tabulated(scores, labels)
        more = tabulated(np.append(scores, [0.05, 0.5, 2.0]), np.append(labels, [np.nan] * 3))
        for figure in (auc_roc, average_precision, lambda t: precision_at(t, 3)):
            assert figure(more) == pytest.approx(figure(table), rel=1e-12)


def test_one_class() -> None:
    """A figure that needs both classes is None with one, and with no rows at all."""
    for scores, labels in one_class():
        table = tabulated(scores, labels)
        assert placements(table) is None
        assert auc_roc(table) is None
        assert auc_error(table) is None
        assert (average_precision(table) is None) == (labels.sum() == 0)
    assert precision_at(EMPTY, 5) is None
    assert recall_at(EMPTY, 5) is None


def test_auc_error_from_the_definition() -> None:
    """The variance is DeLong's: that of each class's placements, by its size."""
    for scores, labels in cases():
        high, low = scores[labels == 1], scores[labels == 0]
        wins = (high[:, None] > low) + (high[:, None] == low) / 2
        if min(wins.shape) < 2:
            assert auc_error(tabulated(scores, labels)) is None
            continue
        variance = wins.mean(axis=1).var(ddof=1) / len(high) + wins.mean(axis=0).var(ddof=1) / len(low)
        assert auc_error(tabulated(scores, labels)) == pytest.approx(np.sqrt(variance), abs=1e-12)


def test_auc_error_is_the_spread_of_the_area() -> None:
    """Over repeated samples the area spreads as its standard error says."""
    random = np.random.default_rng(7)
    areas, errors = [], []
    for _ in range(400):
        labels = random.random(500) < 0.2
        table = tabulated(random.normal(labels, 1.0), labels)
        areas.append(auc_roc(table))
        errors.append(auc_error(table))
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.1)


@pytest.mark.slow
def test_precision_at_k() -> None:
    """Among tied rows at the border, the figure is what random choices among them give on average."""
    random = np.random.default_rng(3)
    for scores, labels in cases():
        table = tabulated(scores, labels)
        for k in (1, 2, 10):
            size = min(k, len(scores))
            shuffled = [random.permutation(len(scores)) for _ in range(300)]
            found = [labels[p][np.argsort(-scores[p], kind="stable")][:size].sum() for p in shuffled]
            error = np.std(found) / np.sqrt(300) + 1e-9
            assert abs(precision_at(table, k) * size - np.mean(found)) < 5 * error
            assert recall_at(table, k) == pytest.approx(precision_at(table, k) * size / labels.sum())


def test_cells_cost_little() -> None:
    """A table whose scores were put into cells tells the figures of the exact one closely."""
    random = np.random.default_rng(5)
    scores = random.beta(1, 30, 200_000)
    labels = random.random(200_000) < scores
    exact, cells = tabulated(scores, labels, 10**6), tabulated(scores, labels, 4096)
    assert not cells.exact
    assert auc_roc(cells) == pytest.approx(auc_roc(exact), abs=1e-5)
    assert average_precision(cells) == pytest.approx(average_precision(exact), abs=3e-4)
