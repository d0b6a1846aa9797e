"""Differences by the influence of rows: what drawing rows anew finds, without drawing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind
from sklearn.metrics import average_precision_score, roc_auc_score

from headrace.domain.pipeline.scorecards.spec import Worth
from headrace.domain.quality.comparison.influence_functions import linearised, precision_influences
from headrace.domain.quality.comparison.paired_tests import delong, differences
from headrace.domain.quality.comparison.pairs import Pair
from headrace.domain.quality.comparison.unpaired_tests import Answered, unpaired
from tests.quality.cases import cases

WORTH = Worth(true_positive=100, false_positive=-5, false_negative=-100)


def rivals(seed: int, rows: int, decimals: int = 9) -> Pair:
    """Two models of one truth, the second a little noisier."""
    random = np.random.default_rng(seed)
    truth = random.beta(0.4, 8, rows)
    noisy = [np.clip(truth + random.normal(0, size, rows), 0, 1).round(decimals) for size in (0.02, 0.05)]
    return Pair(noisy[0], noisy[1], (random.random(rows) < truth).astype(np.float64), 0.3, 0.25)


def test_an_influence_is_what_a_little_weight_changes() -> None:
    """The derivative by a row's weight is what scikit-learn's weighted figure says it is, ties included."""
    for scores, labels in cases():
        if len(scores) > 200:
            continue
        average, influences = precision_influences(scores, labels > 0)
        assert average == pytest.approx(average_precision_score(labels, scores))
        for row in range(min(len(scores), 20)):
            moved = []
            for step in (-1e-5, 1e-5):
                weights = np.ones(len(scores))
                weights[row] += step
                moved.append(average_precision_score(labels, scores, sample_weight=weights))
            assert influences[row] == pytest.approx((moved[1] - moved[0]) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("decimals", [9, 2])
def test_intervals_are_those_of_the_bootstrap(decimals: int) -> None:
    """Differences are the same, and intervals as wide within the noise of a thousand drawings."""
    pair = rivals(1, 20_000, decimals)
    drawn, found = differences(pair, WORTH), linearised(pair, WORTH)
    for name, difference in found.items():
        assert difference.difference == pytest.approx(drawn[name].difference)
        width = drawn[name].interval.high - drawn[name].interval.low
        assert difference.interval.high - difference.interval.low == pytest.approx(width, rel=0.12), name
        assert difference.interval.low == pytest.approx(drawn[name].interval.low, abs=0.12 * width)


def test_decisions_count_as_they_were_taken() -> None:
    """Where the threshold was moved meanwhile, the value is of what was decided, not of what a threshold would."""
    pair = rivals(2, 500)
    never = np.zeros(500, np.bool_)
    found = linearised(pair, WORTH, (never, ~never))["value"]
    positives = int(pair.labels.sum())
    assert found.a == -100 * positives
    assert found.b == 100 * positives - 5 * (500 - positives)


def test_other_rows_are_compared_as_other_rows() -> None:
    """Figures are each model's own, as scikit-learn has them; the test of the value is Welch's for many rows."""
    pair, other = rivals(3, 5_000), rivals(4, 3_000)
    a = Answered(pair.a, pair.labels, pair.flagged_a)
    b = Answered(other.b, other.labels, other.flagged_b)
    found = unpaired(a, b, WORTH)
    assert found["auc_roc"].a == pytest.approx(roc_auc_score(pair.labels, pair.a))
    assert found["average_precision"].b == pytest.approx(average_precision_score(other.labels, other.b))
    payoff = [
        np.where(each.labels > 0, np.where(each.flagged, 100, -100), np.where(each.flagged, -5, 0)) for each in (a, b)
    ]
    test = ttest_ind(payoff[1], payoff[0], equal_var=False)
    assert found["value_per_event"].p == pytest.approx(test.pvalue, rel=0.02)
    assert found["value_per_event"].interval.low == pytest.approx(test.confidence_interval().low, rel=0.02)


def test_the_same_rows_tell_more() -> None:
    """On rows of both models the paired interval is narrower than that of independent rows."""
    pair = rivals(5, 4_000)
    a, b = (Answered(s, pair.labels, f) for s, f in ((pair.a, pair.flagged_a), (pair.b, pair.flagged_b)))
    paired = delong(pair)
    assert paired is not None
    apart = unpaired(a, b)["auc_roc"].interval
    assert paired.interval.high - paired.interval.low < apart.high - apart.low


def test_one_class_tells_nothing() -> None:
    """Without positives or without negatives there is no difference to tell."""
    scores, labels = np.linspace(0, 1, 5), np.zeros(5)
    assert linearised(Pair(scores, scores, labels)) == {}
    assert unpaired(Answered(scores, labels, scores > 1), Answered(scores, labels, scores > 1)) == {}
