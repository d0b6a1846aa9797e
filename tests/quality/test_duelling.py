"""Differences are those of the definition, and their intervals hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from headrace.domain.pipeline.scorecards.spec import Worth
from headrace.domain.quality.comparison.paired_tests import delong, differences
from headrace.domain.quality.comparison.pairs import Pair

WORTH = Worth(true_positive=10, false_positive=-1, false_negative=-10)


def drawn(seed: int, size: int, edge: float = 0.0, places: int = 6) -> Pair:
    """Two models that see the same truth through different noise, `b` less of it with an `edge`."""
    random = np.random.default_rng(seed)
    labels = (random.random(size) < 0.2).astype(np.float64)
    common = random.normal(size=size)
    a, b = (labels + 0.6 * common + noise * random.normal(size=size) for noise in (0.8, 0.8 - edge))
    labels[::7] = np.nan
    return Pair(np.round(a, places), np.round(b, places), labels, 0.7, 0.7)


@pytest.mark.parametrize("places", [0, 6])
def test_delong(places: int) -> None:
    """Areas are scikit-learn's, and the variance that of all pairs' wins, written down (with and without ties)."""
    pair = drawn(3, 300, 0.2, places)
    found = delong(pair)
    known = pair.labelled()
    positive = known.labels > 0
    areas, wins = [], []
    for scores in (known.a, known.b):
        high, low = scores[positive][:, None], scores[~positive][None]
        areas.append(roc_auc_score(positive, scores))
        wins.append((high > low) + (high == low) / 2)
    apart = wins[1] - wins[0]
    variance = apart.mean(1).var(ddof=1) / apart.shape[0] + apart.mean(0).var(ddof=1) / apart.shape[1]
    assert (found.a, found.b) == pytest.approx(areas)
    assert found.difference == pytest.approx(areas[1] - areas[0])
    assert found.interval.high - found.difference == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)


def test_delong_without_a_difference() -> None:
    """Under no difference the test says so: its p is even, and rejects 5 of 100 times."""
    rejected = [delong(drawn(seed, 400)).p < 0.05 for seed in range(600)]
    assert 0.03 <= np.mean(rejected) <= 0.07
    same = drawn(1, 100)
    found = delong(Pair(same.a, same.a, same.labels))
    assert (found.difference, found.p) == (0, 1)


@pytest.mark.slow
def test_figures() -> None:
    """Figures of both models are scikit-learn's, and the value what each row brings."""
    pair = drawn(5, 1000, 0.3, 1)
    known = pair.labelled()
    positive = known.labels > 0
    found = differences(pair, WORTH, 200)
    for name, figure in (("auc_roc", roc_auc_score), ("average_precision", average_precision_score)):
        expected = figure(positive, known.a), figure(positive, known.b)
        assert (found[name].a, found[name].b) == pytest.approx(expected)
        assert found[name].difference == pytest.approx(expected[1] - expected[0])
    each = np.where(known.a >= 0.7, np.where(positive, 10, -1), np.where(positive, -10, 0))
    assert found["value"].a == each.sum()
    assert set(differences(pair, replicates=10)) == {"auc_roc", "average_precision"}


@pytest.mark.slow
def test_replicates_are_what_weights_give() -> None:
    """The spread of the bootstrap is that of a plain one, row by row, with scikit-learn's figures."""
    pair = drawn(7, 300, 0.2, 1)
    known = pair.labelled()
    positive = known.labels > 0
    random = np.random.default_rng(0)
    plain = []
    for _ in range(400):
        parts = [random.choice(np.flatnonzero(group), group.sum()) for group in (positive, ~positive)]
        rows = np.concatenate(parts)
        plain.append(
            [
                figure(positive[rows], known.b[rows]) - figure(positive[rows], known.a[rows])
                for figure in (roc_auc_score, average_precision_score)
            ]
        )
    found = differences(pair, WORTH, 4000)
    for name, column in zip(("auc_roc", "average_precision"), np.array(plain).T, strict=True):
        low, high = np.quantile(column, [0.025, 0.975])
        width = high - low
        assert found[name].interval.low == pytest.approx(low, abs=0.12 * width)
        assert found[name].interval.high == pytest.approx(high, abs=0.12 * width)
    normal = delong(pair).interval
    assert found["auc_roc"].interval == pytest.approx(normal, abs=0.1 * (normal.high - normal.low))


def test_coverage() -> None:
    """Where the models are equally good, intervals contain zero about 95 times in 100."""
    inside = {"auc_roc": 0, "average_precision": 0, "value": 0}
    for seed in range(300):
        for name, found in differences(drawn(1000 + seed, 300), WORTH, 300).items():
            inside[name] += found.interval.low <= 0 <= found.interval.high
    assert all(270 <= count <= 298 for count in inside.values()), inside


def test_a_better_model() -> None:
    """A clear edge is certain in all three figures; swapping the models turns the sign."""
    pair = drawn(9, 3000, 0.5)
    for name, found in differences(pair, WORTH).items():
        assert found.interval.low > 0, name
        assert found.p < 0.01
    swapped = differences(Pair(pair.b, pair.a, pair.labels, 0.7, 0.7), WORTH)
    assert swapped["auc_roc"].interval == pytest.approx([-end for end in differences(pair)["auc_roc"].interval][::-1])


def test_seeded() -> None:
    """The same seed gives the same bits, another seed others."""
    pair = drawn(11, 500)
    assert differences(pair, WORTH, 100, seed=3) == differences(pair, WORTH, 100, seed=3)
    assert differences(pair, WORTH, 100, seed=3) != differences(pair, WORTH, 100, seed=4)


def test_one_class() -> None:
    """Without labels, or with labels of one class, there is nothing to compare."""
    scores = np.linspace(0, 1, 10)
    for labels in (np.full(10, np.nan), np.zeros(10), np.ones(10)):
        assert differences(Pair(scores, scores, labels), WORTH) == {}
        assert delong(Pair(scores, scores, labels)) is None
