"""How much more often rows of a kind are met in production than in the reference, told from features in bins.

A classifier that tells production rows from reference rows knows the ratio of their densities: the odds that it gives a
row, by the odds of the classes (Qin 1998; Sugiyama, Suzuki, Kanamori: Density Ratio Estimation in Machine Learning,
2012, chapter 4). Ours adds up a logarithm for each bin of each feature. Those of a feature are held near zero as
strongly as the rows ask for, so that a feature that did not shift takes no part, and without any shift the ratio is 1.

What it cannot see is a shift of features together that leaves each of them, and their sums of logarithms, as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import frozen, kernel
from headrace.domain.quality.statistics import shrunk_logistic
from headrace.domain.quality.statistics.shrunk_logistic import FREE, Likelihood, Shrunk

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class DensityRatio:
    """The ratio, up to a factor that makes its mean over given rows 1.

    Attributes:
        starts: int64[features], where the logarithms of each feature begin among the coefficients; 0 is the odds'.
        found: the coefficients and what is known of them.
    """

    starts: Ints
    found: Shrunk

    @property
    def moved(self) -> Floats:
        """By how much each feature moved: the standard deviation of its bins' logarithms, float64[features]."""
        return np.sqrt(self.found.variances)

    def weights(self, places: Places, coefficients: Floats | None = None) -> Floats:
        """The ratio for reference rows, float64 with mean 1.

        Args:
            places: uint8[features, rows], C-contiguous: the bin of each value.
            coefficients: instead of those found, such as one row of `found.draws`.
        """
        given = self.found.coefficients if coefficients is None else coefficients
        logarithms = np.empty(places.shape[1])
        _sums(frozen(places), self.starts, np.ascontiguousarray(given), logarithms)
        weights = np.exp(logarithms - logarithms.max())
        return np.asarray(weights / weights.mean(), np.float64)


def density_ratio(reference: Places, production: Places, bins: Sequence[int]) -> DensityRatio:
    """Learnt from rows of both, which need not be as many.

    About 10 ns a row, feature and feature that it is paired with in a pass over all rows, of which there are some 20.

    Args:
        reference, production: uint8[features, rows]: the bin of each value.
        bins: how many bins each feature has.

    Raises ValueError for shapes that do not fit, a bin that there is not, or no rows.
    """
    parts = tuple(np.ascontiguousarray(part, np.uint8) for part in (reference, production))
    for part in parts:
        if part.ndim != 2 or len(part) != len(bins) or not part.shape[1]:
            raise ValueError(f"bins of rows have the shape {part.shape}, not ({len(bins)}, at least 1)")
        if np.any(part.max(axis=1) >= np.asarray(bins)):
            raise ValueError("a row is in a bin that its feature does not have")
    size = 1 + int(sum(bins))
    starts = 1 + np.append(0, np.cumsum(bins)[:-1]).astype(np.int64)
    groups = np.append(FREE, np.repeat(np.arange(len(bins)), bins)).astype(np.int64)
    start = np.zeros(size)
    start[0] = np.log(parts[1].shape[1] / parts[0].shape[1])

    def likelihood(coefficients: Floats) -> Likelihood:
        gradient, curvature = np.zeros(size), np.zeros((size, size))
        logarithm = 0.0
        for part, label in zip(parts, (0.0, 1.0), strict=True):
            logarithm += _add(frozen(part), label, starts, coefficients, gradient, curvature)
        whole = curvature + np.triu(curvature, 1).T
        return Likelihood(logarithm, gradient, whole)

    return DensityRatio(starts, shrunk_logistic.shrunk(likelihood, groups, start))


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
