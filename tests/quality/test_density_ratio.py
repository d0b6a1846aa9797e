"""The ratio tells which kinds of rows became more frequent, and is 1 where none did."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.quality.density_ratio import density_ratio, effective_rows, uncovered

BINS = (3, 4, 12)


def rows(random: np.random.Generator, count: int, shares: tuple[float, ...] = (0.5, 0.3, 0.2)) -> np.ndarray:
    """Bins of three features, the first with these shares."""
    first = random.choice(3, count, p=shares)
    return np.stack([first, random.integers(0, 4, count), random.integers(0, 12, count)]).astype(np.uint8)


def test_the_ratio_of_what_moved() -> None:
    """Weights are the ratio of densities, though reference rows are ten times as many; the other features rest."""
    random = np.random.default_rng(1)
    reference, production = rows(random, 40_000), rows(random, 4_000, (0.2, 0.3, 0.5))
    found = density_ratio(reference, production, BINS)
    weights = found.weights(reference)
    for place, ratio in enumerate((0.4, 1.0, 2.5)):
        assert weights[reference[0] == place].mean() == pytest.approx(ratio, rel=0.08)
    assert weights.mean() == pytest.approx(1)
    assert found.moved[0] > 0.3
    assert found.moved[1:].max() < 0.02


def test_two_features_at_once() -> None:
    """Where both moved independently the ratio is the product."""
    random = np.random.default_rng(2)
    reference, production = rows(random, 30_000), rows(random, 30_000, (0.2, 0.3, 0.5))
    production = production[:, (production[1] < 2) | (random.random(30_000) < 0.25)]
    weights = density_ratio(reference, production, BINS).weights(reference)
    for place, first in enumerate((0.4, 1.0, 2.5)):
        for other, second in ((0, 1.6), (3, 0.4)):
            here = (reference[0] == place) & (reference[1] == other)
            assert weights[here].mean() == pytest.approx(first * second, rel=0.1)


def test_without_shift() -> None:
    """Nothing is weighed: the reference keeps nearly all its rows, for few production rows too."""
    for seed, count in enumerate((200, 1_000, 10_000) * 3):
        random = np.random.default_rng(seed)
        reference = rows(random, 10_000)
        found = density_ratio(reference, rows(random, count), BINS)
        assert not found.pairs
        weights = found.weights(reference)
        assert effective_rows(weights) > 0.95 * 10_000, (seed, count)


def test_two_features_together() -> None:
    """A shift that leaves each of two features as it was is found in the two together."""
    random = np.random.default_rng(5)
    reference = rows(random, 20_000)
    production = rows(random, 20_000)
    alike = (production[0] > 0) == (production[1] > 1)
    kept = random.random(20_000) < np.where(alike, 0.9, 0.3)
    found = density_ratio(reference, production[:, kept], BINS)
    weights = found.weights(found.rows(reference))
    assert found.pairs == ((0, 1),)
    alike = (reference[0] > 0) == (reference[1] > 1)
    assert weights[alike].mean() / weights[~alike].mean() == pytest.approx(3, rel=0.1)


def test_far_away() -> None:
    """Rows that are hardly met in the reference get their weight, without an overflow."""
    random = np.random.default_rng(3)
    reference = rows(random, 20_000, (0.98, 0.0195, 0.0005))
    weights = density_ratio(reference, rows(random, 5_000, (0.0, 0.0, 1.0)), BINS).weights(reference)
    assert np.all(np.isfinite(weights))
    assert weights[reference[0] == 2].sum() > 0.9 * weights.sum()
    assert effective_rows(weights) < 30


def test_uncovered() -> None:
    """What the reference has never met is told."""
    reference, production = np.array([[0, 1], [0, 0]], np.uint8), np.array([[0, 2, 1, 1], [0, 0, 0, 1]], np.uint8)
    assert uncovered(reference, production, (3, 2)) == 0.5
    assert uncovered(reference, reference, (3, 2)) == 0


def test_what_does_not_fit() -> None:
    """Other features, a bin that there is not, and no rows are refused."""
    good = rows(np.random.default_rng(4), 10)
    for bad in (good[:2], good[:, :0], good[0]):
        with pytest.raises(ValueError, match="shape"):
            density_ratio(good, bad, BINS)
    with pytest.raises(ValueError, match="a bin that its feature does not have"):
        density_ratio(good, good, (3, 4, 2))
