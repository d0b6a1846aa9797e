"""The chance that a row is positive as a smooth curve of its score, learnt from rows that count more or less."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.domain.quality.density_ratio import effective_rows
from headrace.domain.quality.statistics import shrunk_logistic
from headrace.domain.quality.statistics.shrunk_logistic import Likelihood, Shrunk

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_KNOTS = np.linspace(0.03, 0.97, 8)
_CELLS = 2_000
_TINY = 1e-6
_DOUBT = 0.05
"""Log odds by which a claim may always be off: few rows do not prove it right."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Where scores lie on the axis on which the curve is a curve.

    Attributes:
        claims: whether scores are taken as claims of a chance: the axis is then their log odds, and the curve is what
            is added to these. Otherwise it is the log odds of the score's rank in the reference, from nothing.
        scores, places: float64 ascending, the points between which it is read where scores claim nothing.
        knots: float64 ascending, on the axis; the curve is straight beyond the outermost.
    """

    claims: bool
    scores: Floats
    places: Floats
    knots: Floats

    def axis(self, scores: Floats) -> Floats:
        """Places of scores, float64."""
        return _log_odds(scores) if self.claims else np.asarray(np.interp(scores, self.scores, self.places), np.float64)

    def terms(self, scores: Floats) -> Floats:
        """Of the natural cubic spline, float64[rows, knots]: 1, the place, and what bends."""
        place, last = self.axis(scores), self.knots[-1]

        def bent(knot: float) -> Floats:
            cubes = np.maximum(place - knot, 0) ** 3 - np.maximum(place - last, 0) ** 3
            return np.asarray(cubes / (last - knot), np.float64)

        rest = [bent(knot) - bent(self.knots[-2]) for knot in self.knots[:-2]] if len(self.knots) > 2 else []
        return np.stack([np.ones_like(place), place, *rest], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class ChanceCurve:
    """The curve and what is known of it.

    Attributes:
        scale: its axis.
        turned: float64[terms, terms], from terms to those that rows tell apart equally well.
        groups: int64[terms], which of them are held together.
        found: their coefficients.
    """

    scale: Scale
    turned: Floats
    groups: Ints
    found: Shrunk

    def __call__(self, scores: Floats, coefficients: Floats | None = None) -> Floats:
        """Chances of scores, float64; `coefficients`: instead of those found, [d] or [draws, d] for [draws, rows]."""
        given = self.found.coefficients if coefficients is None else coefficients
        offset = self.scale.axis(scores) if self.scale.claims else 0.0
        log_odds = offset + given @ (self.scale.terms(scores) @ self.turned).T
        return np.asarray(_chances(log_odds), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledScores:
    """Reference rows in at most 2,000 cells of their score, so that weights can change at little cost.

    Attributes:
        cells: int64[rows], the cell of each row.
        positive: bool[rows].
        scores: float64[cells], mean of each.
        scale: for all curves that are learnt from them.
    """

    cells: Ints
    positive: npt.NDArray[np.bool_]
    scores: Floats
    scale: Scale

    def counts(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weighted rows and positives of each cell."""
        size = len(self.scores)
        sums = (np.bincount(self.cells, each, size) for each in (weights, weights * self.positive))
        rows, positives = (np.asarray(each, np.float64) for each in sums)
        return rows, positives


def labelled_scores(
    scores: Floats, positive: npt.NDArray[np.bool_], rows: npt.NDArray[np.integer] | None = None
) -> LabelledScores:
    """Of rows, at least one; scores that all lie within 0 and 1 claim to be chances.

    Args:
        rows: how many rows each entry stands for, one if not given.
    """
    many = np.ones(len(scores)) if rows is None else rows.astype(np.float64)
    distinct, which = np.unique(scores, return_inverse=True)
    sizes = np.bincount(which, many)
    if len(distinct) > _CELLS:
        middle = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
        _, which = np.unique((middle * _CELLS).astype(np.int64)[which], return_inverse=True)
    sizes = np.bincount(which, many)
    shares = many / sizes[which]  # a sum of scores may be larger than numbers are
    means = np.asarray(np.bincount(which, shares * scores), np.float64)
    claims = bool(distinct[0] >= 0 and distinct[-1] <= 1)
    middle = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
    scale = Scale(claims, means, np.log(middle) - np.log1p(-middle), np.zeros(0))
    axis = scale.axis(means)
    classes = [np.bincount(which, many * each, len(sizes)) for each in (positive, ~positive)]
    reached = np.cumsum(sum(each / max(each.sum(), 1.0) for each in classes))  # rare positives weigh as all negatives
    knots = np.unique(axis[np.searchsorted(reached / reached[-1], _KNOTS).clip(0, len(means) - 1)])
    if len(knots) < 2:
        knots = np.array([axis[0] - 1.0, axis[-1] + 1.0])
    return LabelledScores(which, positive, means, Scale(claims, scale.scores, scale.places, knots))


def chance_curve(reference: LabelledScores, weights: Floats, rows: float | None = None) -> ChanceCurve:
    """The curve under weights (float64[rows], above 0).

    Where scores claim a chance, the claim stands unless rows speak against it: what is added to it is held near 0.

    Args:
        rows: as how many rows they count all together; if not given `effective_rows`: rows of unequal weight tell less
            than as many of equal weight.
    """
    scale = reference.scale
    sizes, _ = reference.counts(weights)
    terms = scale.terms(reference.scores)
    chances = _chances(scale.axis(reference.scores)) if scale.claims else np.full(len(sizes), 0.5)
    shares = sizes * np.maximum(chances * (1 - chances), 1e-3)
    information = (terms * (shares / shares.sum())[:, None]).T @ terms
    information += np.diag(1e-9 * np.maximum(np.diag(information), 1e-9))
    turned = np.linalg.inv(np.linalg.cholesky(information).T)
    groups = np.array([0, 0, *[1] * (terms.shape[1] - 2)], np.int64)
    start = np.zeros(terms.shape[1])
    found = shrunk_logistic.shrunk(_Weighted(reference, weights, turned, rows).likelihood, groups, start, _DOUBT**2)
    return ChanceCurve(scale, turned, groups, found)


def moved(curve: ChanceCurve, reference: LabelledScores, weights: Floats) -> Floats:
    """The curve's coefficients under other weights, held as strongly as before; float64[terms]."""
    precisions = np.where(curve.groups >= 0, 1 / np.append(curve.found.variances, np.inf)[curve.groups], 0.0)
    weighted = _Weighted(reference, weights, curve.turned)
    return shrunk_logistic.most_likely(weighted.likelihood, precisions, curve.found.coefficients)[0]


class _Weighted:
    """What weighted rows say of a curve."""

    def __init__(self, reference: LabelledScores, weights: Floats, turned: Floats, rows: float | None = None) -> None:
        scale = (effective_rows(weights) if rows is None else rows) / float(weights.sum())
        self._rows, self._positives = (counts * scale for counts in reference.counts(weights))
        self._terms = reference.scale.terms(reference.scores) @ turned
        self._offset = reference.scale.axis(reference.scores) if reference.scale.claims else 0.0

    def likelihood(self, coefficients: Floats) -> Likelihood:
        log_odds = self._offset + self._terms @ coefficients
        chances = _chances(log_odds)
        logarithm = float(self._positives @ log_odds - self._rows @ np.logaddexp(0.0, log_odds))
        spread = self._rows * chances * (1 - chances)
        gradient = self._terms.T @ (self._positives - self._rows * chances)
        return Likelihood(logarithm, gradient, (self._terms * spread[:, None]).T @ self._terms)


def _log_odds(scores: Floats) -> Floats:
    chances = np.clip(scores, _TINY, 1 - _TINY)
    return np.asarray(np.log(chances) - np.log1p(-chances), np.float64)


def _chances(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -700, 700))), np.float64)
