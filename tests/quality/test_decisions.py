"""Figures at a threshold equal scikit-learn's; where it warns and says 0, we say that there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn import metrics

from headrace.domain.pipeline.scorecards.spec import Worth
from headrace.domain.quality.decisions import Confusion, best_threshold, confusion
from headrace.domain.quality.score_table import EMPTY, tabulated
from tests.quality.cases import cases, one_class

WORTH = Worth(true_positive=100, false_positive=-5, false_negative=-100, true_negative=0.25)


@dataclass
class Sklearn:
    """What scikit-learn says of decisions."""

    labels: np.ndarray
    flagged: np.ndarray

    def figures(self) -> dict[str, float]:
        """By our names; NaN for those that divide by nothing."""
        given = {"zero_division": np.nan}
        return {
            "precision": metrics.precision_score(self.labels, self.flagged, **given),
            "recall": metrics.recall_score(self.labels, self.flagged, **given),
            "specificity": metrics.recall_score(1 - self.labels, 1 - self.flagged, **given),
            "f1": metrics.f1_score(self.labels, self.flagged, **given),
            "accuracy": metrics.accuracy_score(self.labels, self.flagged),
            "balanced_accuracy": metrics.balanced_accuracy_score(self.labels, self.flagged),
        }


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.5, 1.1])
def test_figures(threshold: float) -> None:
    """Confusion and all its figures are scikit-learn's; a score equal to the threshold is flagged."""
    for scores, labels in cases():
        found = confusion(tabulated(scores, labels), threshold)
        flagged = (scores >= threshold).astype(int)
        matrix = metrics.confusion_matrix(labels, flagged, labels=[0, 1])
        assert [[found.true_negative, found.false_positive], [found.false_negative, found.true_positive]] == (
            matrix.tolist()
        )
        for name, expected in Sklearn(labels, flagged).figures().items():
            assert getattr(found, name) == (None if np.isnan(expected) else pytest.approx(expected)), name
        if 0 < flagged.sum() < len(flagged):
            assert found.mcc == pytest.approx(metrics.matthews_corrcoef(labels, flagged))
        else:
            assert found.mcc is None
        assert found.selection_rate == pytest.approx(flagged.mean())
        assert found.false_positive_rate == pytest.approx(1 - found.specificity)


def test_one_class() -> None:
    """What one class cannot tell is None, and no warning is given."""
    for scores, labels in one_class():
        found = confusion(tabulated(scores, labels), 0.5)
        assert found.balanced_accuracy is None
        assert found.mcc is None
        assert (found.recall is None) == (labels.sum() == 0)
    nothing = confusion(EMPTY, 0.5)
    assert (nothing.precision, nothing.f1, nothing.accuracy, nothing.selection_rate) == (None,) * 4
    assert nothing.value(WORTH) == 0
    assert nothing.value_deviation(WORTH) is None
    assert best_threshold(EMPTY, WORTH) is None


def test_value() -> None:
    """Decisions are worth what the matrix says, and spread as the worth of each row does."""
    for scores, labels in cases():
        flagged = scores >= 0.3
        each = np.where(flagged, np.where(labels, 100, -5), np.where(labels, -100, 0.25))
        found = confusion(tabulated(scores, labels), 0.3)
        assert found.value(WORTH) == pytest.approx(each.sum())
        assert found.value_deviation(WORTH) == pytest.approx(each.std())


def test_best_threshold() -> None:
    """No threshold is worth more than the best one, and of equals it is the highest."""
    for scores, labels in cases():
        table = tabulated(scores, labels)
        threshold, value = best_threshold(table, WORTH)
        values = {t: confusion(table, t).value(WORTH) for t in [*table.scores.tolist(), 2.0]}
        assert value == pytest.approx(max(values.values()))
        assert confusion(table, threshold).value(WORTH) == pytest.approx(value)
        assert not [t for t in values if t < 2 and t > threshold and values[t] >= value + 1e-9]


def test_flagging_nothing_may_be_best() -> None:
    """Where every alarm costs, the best threshold lies above all scores."""
    table = tabulated(np.array([0.2, 0.9]), np.array([0, 0]))
    threshold, value = best_threshold(table, Worth(false_positive=-1))
    assert threshold > 0.9
    assert value == 0


def test_expected_counts() -> None:
    """Counts may be fractions, as an estimate's are."""
    assert Confusion(0.5, 0.5, 2.0, 1.0).precision == 0.5


def test_counts_below_zero() -> None:
    """Where more was taken back than there was no figure is made up, and none raises."""
    short = Confusion(3.0, -1.0, 2.0, -2.0)
    assert short.mcc is None
    assert short.value_deviation(Worth(1.0, 2.0, 3.0, 4.0)) is None


def test_worth_beyond_squares() -> None:
    """The spread of worths as large as numbers are is told."""
    found = Confusion(1.0, 1.0, 0.0, 0.0).value_deviation(Worth(1e200, -1e200, 0.0, 0.0))
    assert found == pytest.approx(1e200)
