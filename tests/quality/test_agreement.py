"""Agreement, shift and rank correlation equal scikit-learn's and scipy's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from headrace.domain.quality.comparison.agreement import agreement, disagreements, shift
from headrace.domain.quality.comparison.correlation import kendall, spearman
from headrace.domain.quality.comparison.pairs import Pair, midranks


def pairs() -> Iterator[Pair]:
    """Scores that are alike, with and without ties, of several sizes."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        size = int(random.choice([2, 3, 10, 100, 1000]))
        a = random.random(size)
        b = np.clip(a + random.normal(0.05, 0.3, size), 0, 1)
        if seed % 2:
            a, b = np.round(a, 1), np.round(b, 1)
        yield Pair(a, b, np.full(size, np.nan), 0.5, 0.4)


def test_agreement() -> None:
    """Shares and kappa are scikit-learn's."""
    for pair in pairs():
        found = agreement(pair)
        a, b = pair.a >= 0.5, pair.b >= 0.4
        assert found.rows == len(pair)
        assert found.share == pytest.approx(np.mean(a == b))
        assert (found.both, found.only_a, found.only_b) == (np.sum(a & b), np.sum(a & ~b), np.sum(b & ~a))
        if len({*a, *b}) == 2:
            assert found.kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
        else:
            assert found.kappa is None


def test_shift() -> None:
    """The distance is that of scipy's two-sample test; equal scores have not shifted."""
    for pair in pairs():
        found = shift(pair)
        assert found.ks == pytest.approx(stats.ks_2samp(pair.a, pair.b).statistic)
        assert found.mean == pytest.approx(pair.b.mean() - pair.a.mean())
        assert found.psi >= 0
        same = shift(Pair(pair.a, pair.a, pair.labels))
        assert (same.mean, same.ks, same.psi) == (0, 0, 0)


def test_stability_index() -> None:
    """Over tenths of normal scores the index is what the normal distribution says."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=200_000), random.normal(0.5, 1, 200_000)
    edges = stats.norm.ppf(np.arange(1, 10) / 10)
    moved = np.diff(np.concatenate([[0], stats.norm.cdf(edges - 0.5), [1]]))
    expected = np.sum((moved - 0.1) * np.log(moved / 0.1))
    assert shift(Pair(a, b, np.full(len(a), np.nan))).psi == pytest.approx(expected, rel=0.03)


def test_rank_correlation() -> None:
    """Both coefficients are scipy's, ties or not."""
    for pair in pairs():
        expected = stats.spearmanr(pair.a, pair.b).statistic
        if np.isnan(expected):
            assert spearman(pair) is None
            assert kendall(pair) is None
        else:
            assert spearman(pair) == pytest.approx(expected, abs=1e-12)
            assert kendall(pair) == pytest.approx(stats.kendalltau(pair.a, pair.b).statistic, abs=1e-12)
        assert midranks(pair.a).tolist() == stats.rankdata(pair.a).tolist()


def test_nothing_to_correlate() -> None:
    """No rows, one row, and a model that gives every row the same score have no correlation."""
    for column in (np.zeros(0), np.zeros(1), np.zeros(5)):
        pair = Pair(column, np.arange(len(column)) / 10, column)
        assert spearman(pair) is None
        assert kendall(pair) is None
    nothing = Pair(np.zeros(0), np.zeros(0), np.zeros(0))
    assert shift(nothing) is None
    assert agreement(nothing).share is None
    assert len(disagreements(nothing).rows) == 0


def test_disagreements() -> None:
    """The rows named first are those whose places differ most; scores themselves do not matter."""
    a = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    b = np.array([0.0, 9.0, 0.3, 0.4, 0.41])
    found = disagreements(Pair(a, b, np.full(5, np.nan)), 2)
    assert found.rows.tolist() == [1, 2]
    assert found.rank_a.tolist() == pytest.approx([0.3, 0.5])
    assert found.rank_b.tolist() == pytest.approx([0.9, 0.3])


def test_columns_that_do_not_match() -> None:
    """Columns of different lengths, or scores that are no numbers, are no pair."""
    with pytest.raises(ValueError, match="rows long"):
        Pair(np.zeros(1), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="not finite"):
        Pair(np.zeros(1), np.full(1, np.nan), np.zeros(1))
