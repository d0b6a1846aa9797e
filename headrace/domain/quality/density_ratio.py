"""How much more often rows of a kind are met in production than in the reference, told from features in bins.

A classifier that tells production rows from reference rows knows the ratio of their densities: the odds that it gives a
row, by the odds of the classes (Qin 1998; Sugiyama, Suzuki, Kanamori: Density Ratio Estimation in Machine Learning,
2012, chapter 4). Ours adds up a logarithm for each bin of each feature, and for each cell of pairs of features that
shifted together. Those of a feature are held near zero as strongly as the rows ask for, so that a feature that did not
shift takes no part, and without any shift the ratio is 1.

What it cannot see is a shift of three features together that leaves all pairs as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import frozen, kernel
from headrace.domain.quality.statistics import shrunk_logistic
from headrace.domain.quality.statistics.shrunk_logistic import FREE, Likelihood, Shrunk

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.uint8]


MOST_PAIRS = 8
"""Pairs of features that take part, at most: those with the strongest evidence."""
_SURE = 0.001
"""The chance that any pair is taken up although none shifted."""
_MOST_CELLS = 256
_SIDE = 16
_EXPECTED = 5.0
"""Expected rows of a cell below which its deviation is no evidence."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, eq=False)
class DensityRatio:
    """The ratio, up to a factor that makes its mean over given rows 1.

    Attributes:
        bins: how many bins each feature has.
        pairs: features that shifted together, by their places.
        found: the coefficients and what is known of them: one of the odds, then one for each bin of each feature and
            for each cell of each pair.
    """

    bins: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    found: Shrunk

    @property
    def moved(self) -> Floats:
        """By how much each feature, then each pair moved: the standard deviation of its logarithms, float64."""
        return np.sqrt(self.found.variances)

    def rows(self, places: Places) -> Places:
        """Rows as `weights` takes them: uint8[features and pairs, rows] of uint8[features, rows]."""
        return _with_pairs(places, self.bins, self.pairs)

    def weights(self, rows: Places, coefficients: Floats | None = None) -> Floats:
        """The ratio for `rows`, float64 with mean 1.

        Args:
            coefficients: instead of those found, such as one row of `found.draws`.
        """
        given = self.found.coefficients if coefficients is None else coefficients
        logarithms = np.empty(rows.shape[1])
        _sums(frozen(rows), _starts(_sizes(self.bins, self.pairs)), np.ascontiguousarray(given), logarithms)
        weights = np.exp(logarithms - logarithms.max())
        return np.asarray(weights / weights.mean(), np.float64)


def density_ratio(reference: Places, production: Places, bins: Sequence[int]) -> DensityRatio:
    """Learnt from rows of both, which need not be as many.

    A pass over the rows takes about 1 ns a row and pair of features; there are some 20, twice as many with pairs.

    Args:
        reference, production: uint8[features, rows]: the bin of each value.
        bins: how many bins each feature has.

    Raises ValueError for shapes that do not fit, a bin that there is not, or no rows.
    """
    sides = tuple(np.ascontiguousarray(side, np.uint8) for side in (reference, production))
    for side in sides:
        if side.ndim != 2 or len(side) != len(bins) or not side.shape[1]:
            raise ValueError(f"bins of rows have the shape {side.shape}, not ({len(bins)}, at least 1)")
        if np.any(side.max(axis=1) >= np.asarray(bins)):
            raise ValueError("a row is in a bin that its feature does not have")
    sizes = tuple(int(size) for size in bins)
    alone = _fitted(sides, sizes)
    pairs = _together(sides, sizes, alone.coefficients)
    both = _fitted(tuple(_with_pairs(side, sizes, pairs) for side in sides), _sizes(sizes, pairs)) if pairs else alone
    return DensityRatio(sizes, pairs, both)


def _fitted(sides: tuple[Places, ...], sizes: tuple[int, ...]) -> Shrunk:
    size, starts = 1 + sum(sizes), _starts(sizes)
    groups = np.append(FREE, np.repeat(np.arange(len(sizes)), sizes)).astype(np.int64)
    start = np.zeros(size)
    start[0] = np.log(sides[1].shape[1] / sides[0].shape[1])

    def likelihood(coefficients: Floats) -> Likelihood:
        gradient, curvature = np.zeros(size), np.zeros((size, size))
        logarithm = 0.0
        for side, label in zip(sides, (0.0, 1.0), strict=True):
            logarithm += _add(frozen(side), label, starts, coefficients, gradient, curvature)
        whole = curvature + np.triu(curvature, 1).T
        return Likelihood(logarithm, gradient, whole)

    return shrunk_logistic.shrunk(likelihood, groups, start)


def _together(sides: tuple[Places, ...], sizes: tuple[int, ...], alone: Floats) -> tuple[tuple[int, int], ...]:
    """Pairs in whose cells rows are not as each feature alone leads to expect: by a score test (Rao 1948) of each."""
    places = np.concatenate(sides, axis=1)
    labels = np.repeat([0.0, 1.0], [side.shape[1] for side in sides])
    logarithms = np.empty(places.shape[1])
    _sums(frozen(places), _starts(sizes), alone, logarithms)
    chances = 1 / (1 + np.exp(-np.clip(logarithms + alone[0], -700, 700)))
    slope, spread = labels - chances, chances * (1 - chances)
    every = list(combinations(range(len(sizes)), 2))
    found = []
    for pair in every:
        cells = _cells(places, sizes, pair)
        sums, expected = (np.bincount(cells, each, _MOST_CELLS) for each in (slope, spread))
        some = expected >= _EXPECTED
        free = int(some.sum()) - 1  # features that are held near zero leave what they could explain
        if free > 0:
            found.append((_deviations(float(np.sum(sums[some] ** 2 / expected[some])), free), pair))
    least = _NORMAL.inv_cdf(1 - _SURE / max(len(every), 1))
    strongest = sorted((each for each in found if each[0] > least), reverse=True)[:MOST_PAIRS]
    return tuple(sorted(pair for _, pair in strongest))


def _deviations(chi_square: float, free: int) -> float:
    """How far out a chi-square is, as a standard normal (Wilson and Hilferty 1931)."""
    part = 2 / (9 * free)
    return float((np.cbrt(chi_square / free) - (1 - part)) / np.sqrt(part))


def _side(size: int) -> int:
    return min(size, _SIDE)


def _cells(places: Places, sizes: tuple[int, ...], pair: tuple[int, int]) -> Places:
    """The cell of each row, uint8; features of more than 16 bins with neighbours together."""
    one, other = (
        places[each]
        if sizes[each] <= _SIDE
        else (places[each].astype(np.int64) * _SIDE // sizes[each]).astype(np.uint8)
        for each in pair
    )
    return np.asarray(one * np.uint8(_side(sizes[pair[1]])) + other, np.uint8)


def _with_pairs(places: Places, sizes: tuple[int, ...], pairs: tuple[tuple[int, int], ...]) -> Places:
    return np.ascontiguousarray(np.vstack([places, *(_cells(places, sizes, pair)[None] for pair in pairs)]), np.uint8)


def _sizes(bins: tuple[int, ...], pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return (*bins, *(_side(bins[one]) * _side(bins[other]) for one, other in pairs))


def _starts(sizes: tuple[int, ...]) -> Ints:
    """Where the coefficients of each begin, after that of the odds."""
    return 1 + np.append(0, np.cumsum(sizes)[:-1]).astype(np.int64)


def effective_rows(weights: Floats) -> float:
    """As many rows of equal weight would tell as much (Kish 1965).

    >>> effective_rows(np.array([1.0, 1.0, 0.0, 0.0]))
    2.0
    """
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def uncovered(reference: Places, production: Places, bins: Sequence[int]) -> float:
    """The share of production rows with a value in a bin that no reference row is in: of these the reference is silent.

    >>> uncovered(np.array([[0, 0, 1]], np.uint8), np.array([[1, 2]], np.uint8), [3])
    0.5
    """
    unmet = np.zeros(production.shape[1], np.bool_)
    for ours, theirs, size in zip(reference, production, bins, strict=True):
        unmet |= (np.bincount(ours, minlength=size) == 0)[theirs]
    return float(unmet.mean())


@kernel("~u1[:,::1] i8[::1] f8[::1] f8[::1]")
def _sums(places: Places, starts: Ints, coefficients: Floats, found: Floats) -> None:
    features, rows = places.shape
    for row in range(rows):
        total = 0.0
        for feature in range(features):
            total += coefficients[starts[feature] + places[feature, row]]
        found[row] = total


@kernel("~u1[:,::1] f8 i8[::1] f8[::1] f8[::1] f8[:,::1]")
def _add(
    places: Places, label: float, starts: Ints, coefficients: Floats, gradient: Floats, curvature: Floats
) -> float:
    """Add what rows of one label say to gradient and upper triangle of the curvature; returns their log-likelihood."""
    features, rows = places.shape
    which = np.empty(features, np.int64)
    logarithm = 0.0
    for row in range(rows):
        total = coefficients[0]
        for feature in range(features):
            which[feature] = starts[feature] + places[feature, row]
            total += coefficients[which[feature]]
        less = np.exp(-abs(total))
        chance = 1 / (1 + less) if total >= 0 else less / (1 + less)
        logarithm += label * total - max(total, 0.0) - np.log1p(less)
        slope, spread = label - chance, chance * (1 - chance)
        gradient[0] += slope
        curvature[0, 0] += spread
        for feature in range(features):
            one = which[feature]
            gradient[one] += slope
            curvature[0, one] += spread
            for other in range(feature, features):
                curvature[one, which[other]] += spread
    return logarithm
