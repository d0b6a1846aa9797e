"""The curve keeps what scores claim where that is right, and finds the chances where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.quality.chance_curve import chance_curve, labelled_scores, moved


def drawn(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(chances, labels)."""
    random = np.random.default_rng(seed)
    chances = random.beta(0.6, 2, rows)
    return chances, random.random(rows) < chances


@pytest.mark.parametrize("rows", [300, 20_000])
def test_right_claims_stand(rows: int) -> None:
    """Scores that are chances are left nearly alone, by few rows and by many."""
    for seed in range(5):
        chances, labels = drawn(seed, rows)
        curve = chance_curve(labelled_scores(chances, labels), np.ones(rows))
        assert np.abs(curve(chances) - chances).mean() < (0.04 if rows == 300 else 0.01)


@pytest.mark.parametrize(
    "warp",
    [lambda chances: chances / (chances + (1 - chances) / 8), lambda chances: 5 * np.log(chances), np.sqrt],
    ids=["too high", "no probabilities", "bent"],
)
def test_wrong_claims_are_set_right(warp: object) -> None:
    """Whatever rising function of the chance a score is."""
    chances, labels = drawn(7, 30_000)
    curve = chance_curve(labelled_scores(warp(chances), labels), np.ones(30_000))
    assert np.abs(curve(warp(chances)) - chances).mean() < 0.012


def test_rows_that_stand_for_several() -> None:
    """A table of scores and counts gives the curve of its rows."""
    random = np.random.default_rng(8)
    scores = np.round(random.random(5_000), 2)
    labels = random.random(5_000) < scores**2
    pairs, counts = np.unique(np.stack([scores, labels]), axis=1, return_counts=True)
    one = chance_curve(labelled_scores(scores, labels), np.ones(5_000))
    other = chance_curve(labelled_scores(pairs[0], pairs[1] > 0, counts), counts.astype(np.float64), 5_000.0)
    grid = np.linspace(0, 1, 11)
    assert one(grid) == pytest.approx(other(grid), abs=1e-6)


def test_weights() -> None:
    """The curve is that of the kind of rows that weighs most."""
    random = np.random.default_rng(9)
    scores, kind = random.random(40_000), random.random(40_000) < 0.5
    labels = random.random(40_000) < np.where(kind, scores**2, np.sqrt(scores))
    known = labelled_scores(scores, labels)
    grid = np.linspace(0.1, 0.9, 9)
    even = chance_curve(known, np.ones(40_000))
    for weights, chances in ((np.where(kind, 1, 1e-6), grid**2), (np.where(kind, 1e-6, 1), np.sqrt(grid))):
        assert chance_curve(known, weights)(grid) == pytest.approx(chances, abs=0.03)
        assert even.__call__(grid, moved(even, known, weights)) == pytest.approx(chances, abs=0.03)
    assert even(grid) == pytest.approx((grid**2 + np.sqrt(grid)) / 2, abs=0.03)


def test_one_score() -> None:
    """A model that answers the same to all has the rate of positives as chance."""
    labels = np.random.default_rng(10).random(4_000) < 0.3
    curve = chance_curve(labelled_scores(np.full(4_000, 0.5), labels), np.ones(4_000))
    assert curve(np.array([0.5])) == pytest.approx([labels.mean()], abs=0.01)


def test_draws_cover() -> None:
    """Chances mostly lie within what the draws say; a variance told by the data itself is at times told too small."""
    inside = []
    for seed in range(40):
        chances, labels = drawn(seed, 3_000)
        scores = np.sqrt(chances)
        curve = chance_curve(labelled_scores(scores, labels), np.ones(3_000))
        grid = np.array([0.2, 0.5, 0.8])
        low, high = np.quantile(
            curve(grid, curve.found.draws(200, np.random.default_rng(seed))), [0.025, 0.975], axis=0
        )
        inside.append((low <= grid**2) & (grid**2 <= high))
    assert 0.8 < np.mean(inside) < 1
