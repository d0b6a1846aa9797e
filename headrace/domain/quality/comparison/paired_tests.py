"""Which of two models is better on the same labelled rows, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import kernel
from headrace.domain.quality.comparison.pairs import Floats, Ints, Pair, midranks
from headrace.domain.quality.decisions import DecisionWorth, confusion
from headrace.domain.quality.ranking import auc_roc, average_precision
from headrace.domain.quality.score_table import LEAST_CAP, ScoreTable, tabulated
from headrace.domain.quality.statistics.proportions import Interval, deviations

REPLICATES = 1_000
_FIGURES = ("auc_roc", "average_precision", "value")


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of both models on the same rows.

    Attributes:
        a, b: the figure of each.
        difference: b less a.
        interval: where the difference lies; it is certain who is better when zero is outside.
        p: how often chance alone would give a difference as large, two-sided.
    """

    a: float
    b: float
    difference: float
    interval: Interval
    p: float


def delong(pair: Pair, level: float = 0.95) -> Difference | None:
    """The paired difference in AUC ROC with a normal interval and test; None with fewer than two rows of a class.

    References:
        E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson: Comparing the Areas under Two or More Correlated Receiver
        Operating Characteristic Curves: A Nonparametric Approach, Biometrics 44 (1988); X. Sun, W. Xu: Fast
        Implementation of DeLong's Algorithm, IEEE Signal Processing Letters 21 (2014), for placements by ranks.
    """
    pair = pair.labelled()
    positive = pair.labels > 0
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        return None
    of_positives, of_negatives = np.empty((2, m)), np.empty((2, n))
    for which, scores in enumerate((pair.a, pair.b)):
        ranks = midranks(scores)
        of_positives[which] = (ranks[positive] - midranks(scores[positive])) / n
        of_negatives[which] = 1 - (ranks[~positive] - midranks(scores[~positive])) / m
    a, b = of_positives.mean(axis=1).tolist()
    variance = np.cov(of_positives) / m + np.cov(of_negatives) / n
    error = math.sqrt(max(0.0, float(variance[0, 0] + variance[1, 1] - 2 * variance[0, 1])))
    reach = deviations(level) * error
    p = 2 * NormalDist().cdf(-abs(a - b) / error) if error > 0 else float(a == b)
    return Difference(a, b, b - a, Interval(b - a - reach, b - a + reach), p)


def differences(
    pair: Pair,
    worth: DecisionWorth | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
    names: Collection[str] = _FIGURES,
) -> dict[str, Difference]:
    """Paired differences on labelled rows with bootstrap intervals; empty when a class is missing.

    Of `names` `auc_roc`, `average_precision`, and with `worth` `value` (of all rows together, at the two thresholds).
    Positives are drawn from positives, negatives from negatives, the same rows for both models (B. Efron, R. J.
    Tibshirani: An Introduction to the Bootstrap, 1993, percentile intervals). The same arguments give the same bits,
    whatever else is named.
    """
    wanted = [name for name in _FIGURES if name in names and (worth is not None or name != "value")]
    if not wanted:
        return {}
    pair = pair.labelled()
    positive = pair.labels > 0
    if not np.any(positive) or np.all(positive):
        return {}
    observed = [_observed(pair, worth, scores, limit) for scores, limit in _arms(pair)]
    payoffs = [np.zeros(len(pair)) if worth is None else _payoffs(pair, worth, flagged) for flagged in _flags(pair)]
    drawn = _replicates(
        *_descending(pair.a), *_descending(pair.b), positive, payoffs[1] - payoffs[0], replicates, np.uint64(seed),
        wanted != ["value"],
    )  # fmt: skip  # both rankings, the rows, the experiment
    found = {}
    for name in wanted:
        place = _FIGURES.index(name)
        a, b = observed[0][place], observed[1][place]
        low, high = np.quantile(drawn[:, place], [(1 - level) / 2, (1 + level) / 2]).tolist()
        sides = min(int(np.sum(drawn[:, place] <= 0)), int(np.sum(drawn[:, place] >= 0)))
        p = min(1.0, 2 * (sides + 1) / (replicates + 1))
        found[name] = Difference(a, b, b - a, Interval(low, high), p)
    return found


def _arms(pair: Pair) -> tuple[tuple[Floats, float], tuple[Floats, float]]:
    return (pair.a, pair.threshold_a), (pair.b, pair.threshold_b)


def _flags(pair: Pair) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return pair.flagged_a, pair.flagged_b


def _observed(pair: Pair, worth: DecisionWorth | None, scores: Floats, threshold: float) -> tuple[float, float, float]:
    table: ScoreTable = tabulated(scores, pair.labels, max(LEAST_CAP, len(scores)))
    area, average = auc_roc(table), average_precision(table)
    assert area is not None, "both classes are there"
    assert average is not None, "both classes are there"
    return area, average, 0.0 if worth is None else confusion(table, threshold).value(worth)


def _payoffs(pair: Pair, worth: DecisionWorth, flagged: npt.NDArray[np.bool_]) -> Floats:
    return np.where(
        pair.labels > 0,
        np.where(flagged, worth.true_positive, worth.false_negative),
        np.where(flagged, worth.false_positive, worth.true_negative),
    ).astype(np.float64)


def _descending(scores: Floats) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """(rows from the highest score down, whether a place is the last of its score)."""
    order = np.argsort(-scores, kind="stable")
    return order, np.append(np.diff(scores[order]) != 0, True)


@kernel("i8[::1] b1[::1] i8[::1] b1[::1] b1[::1] f8[::1] i8 u8 b1")
def _replicates(
    order_a: Ints, last_a: npt.NDArray[np.bool_], order_b: Ints, last_b: npt.NDArray[np.bool_],
    positive: npt.NDArray[np.bool_], gain: Floats, replicates: int, seed: np.uint64, ranks: bool,
) -> Floats:  # fmt: skip  # both rankings, the rows, the experiment
    """[replicates, 3] differences in area, average precision and value, each from rows drawn anew; without `ranks` the
    former two are not told.
    """
    classes = (np.flatnonzero(positive), np.flatnonzero(~positive))
    drawn = np.empty(len(positive), np.int64)
    found = np.empty((replicates, 3))
    state = seed
    for replicate in range(replicates):
        drawn[:] = 0
        value = 0.0
        for rows in classes:
            size = np.uint64(len(rows))
            for _ in range(len(rows)):
                # SplitMix64 (Steele, Lea, Flood 2014); its upper half times the size gives a place without dividing.
                state += np.uint64(0x9E3779B97F4A7C15)
                mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                mixed ^= mixed >> np.uint64(31)
                row = rows[((mixed >> np.uint64(32)) * size) >> np.uint64(32)]
                drawn[row] += 1
                value += gain[row]
        found[replicate, 2] = value
        if not ranks:
            continue
        area_a, average_a = _ranked(order_a, last_a, positive, drawn, len(classes[0]))
        area_b, average_b = _ranked(order_b, last_b, positive, drawn, len(classes[0]))
        found[replicate, 0] = area_b - area_a
        found[replicate, 1] = average_b - average_a
    return found


@kernel
def _ranked(
    order: Ints, last: npt.NDArray[np.bool_], positive: npt.NDArray[np.bool_], drawn: Ints, positives: int
) -> tuple[float, float]:
    """(AUC ROC, average precision) of rows that occur as often as drawn."""
    found, flagged, doubled, average = 0, 0, 0, 0.0
    found_here, flagged_here = 0, 0
    for place in range(len(order)):
        row = order[place]
        flagged_here += drawn[row]
        if positive[row]:
            found_here += drawn[row]
        if last[place]:
            below = flagged_here - found_here
            doubled += below * (2 * found + found_here)
            found += found_here
            flagged += flagged_here
            if found_here > 0:
                average += found_here * found / flagged
            found_here, flagged_here = 0, 0
    return doubled / (2.0 * positives * (len(order) - positives)), average / positives
