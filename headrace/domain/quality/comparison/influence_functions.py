"""Differences of two models without drawing rows anew: by what each row adds to a figure. For millions of rows."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from headrace.domain.quality.comparison.paired_tests import Difference
from headrace.domain.quality.comparison.pairs import Floats, Pair
from headrace.domain.quality.decisions import DecisionWorth
from headrace.domain.quality.statistics.proportions import Interval, deviations

Flags = npt.NDArray[np.bool_]


def linearised(
    pair: Pair, worth: DecisionWorth | None = None, flags: tuple[Flags, Flags] | None = None, level: float = 0.95
) -> dict[str, Difference]:
    """`average_precision` and, with `worth`, `value` (of all rows together); empty when a class is missing.

    What `duelling.differences` finds by drawing rows, to the first order, in n log n steps: the variance of a figure is
    that of the sum of its rows' influences, within each class.

    Args:
        pair: the rows.
        worth: what decisions are worth.
        flags: what was decided, row by row of the pair; by the pair's thresholds when it is not told.
        level: chance that the interval holds the difference.

    References:
        L. A. Jaeckel: The Infinitesimal Jackknife, Bell Laboratories Memorandum MM 72-1215-11 (1972); B. Efron: The
        Jackknife, the Bootstrap and Other Resampling Plans, SIAM (1982), chapter 6.
    """
    known = ~np.isnan(pair.labels)
    decided = [part[known] for part in (flags or (pair.flagged_a, pair.flagged_b))]
    pair = pair.labelled()
    positive = pair.labels > 0
    if not np.any(positive) or np.all(positive):
        return {}
    (a, own), (b, other) = precision_influences(pair.a, positive), precision_influences(pair.b, positive)
    found = {"average_precision": normal(a, b, _error(other - own, positive), level)}
    if worth is not None:
        first, second = (payoffs(positive, part, worth) for part in decided)
        error = _error(second - first, positive)
        found["value"] = normal(math.fsum(first), math.fsum(second), error, level)
    return found


def precision_influences(scores: Floats, positive: Flags) -> tuple[float, Floats]:
    """(average precision, by how much it changes with each row's weight); there must be positives.

    Influences sum to zero: how much all rows weigh together makes no difference.

    >>> average, influences = precision_influences(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
    >>> round(average, 4), influences.round(4).tolist()
    (0.8333, [0.1389, -0.1111, -0.0278])
    """
    order = np.argsort(-scores, kind="stable")
    ranked = positive[order]
    last = np.append(np.diff(scores[order]) != 0, True)
    group = np.append(0, np.cumsum(last[:-1]))
    found = np.cumsum(ranked)[last].astype(np.float64)
    flagged = (np.flatnonzero(last) + 1).astype(np.float64)
    here, precision, positives = np.diff(found, prepend=0.0), found / flagged, found[-1]
    average = float(np.sum(here * precision) / positives)
    loss = here * found / flagged**2  # by which one more row above these positives lowers their precision
    of_negative = -np.cumsum(loss[::-1])[::-1]
    of_positive = precision + np.cumsum((here / flagged - loss)[::-1])[::-1] - average
    influences = np.empty(len(scores))
    influences[order] = np.where(ranked, of_positive[group], of_negative[group]) / positives
    return average, influences


def payoffs(positive: Flags, flagged: Flags, worth: DecisionWorth) -> Floats:
    """What each decision was worth."""
    right = np.where(flagged, worth.true_positive, worth.false_negative)
    wrong = np.where(flagged, worth.false_positive, worth.true_negative)
    return np.where(positive, right, wrong).astype(np.float64)


def normal(a: float, b: float, error: float, level: float = 0.95) -> Difference:
    """A difference whose standard error is known, with a normal interval and test."""
    reach = deviations(level) * error
    p = 2 * NormalDist().cdf(-abs(b - a) / error) if error > 0 else float(a == b)
    return Difference(a, b, b - a, Interval(b - a - reach, b - a + reach), p)


def _error(influences: Floats, positive: Flags) -> float:
    return math.sqrt(sum(spread(influences[rows]) for rows in (positive, ~positive)))


def spread(values: Floats) -> float:
    """The sum of squared distances from the mean: the variance of a sum of rows drawn anew from these."""
    return float(np.sum((values - values.mean()) ** 2)) if len(values) else 0.0
