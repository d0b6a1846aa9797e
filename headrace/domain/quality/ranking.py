"""How well scores put positives before negatives; only their order counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | npt.NDArray[np.float64]


class Graded(Protocol):
    """Labelled rows by score: a `ScoreTable`, or an expected one whose counts are fractions."""

    @property
    def scores(self) -> Floats:
        """Ascending and distinct."""

    @property
    def positives(self) -> Counts:
        """Positive rows of each score."""

    @property
    def negatives(self) -> Counts:
        """Negative rows of each score."""


@dataclass(frozen=True, slots=True)
class Placements:
    """Where each row stands among the rows of the other class: the share of them that it is on the right side of.

    Attributes:
        positive: float64, for positives of each score the share of negatives below them, ties counting half.
        negative: float64, for negatives of each score the share of positives above them.
    """

    positive: Floats
    negative: Floats


def placements(table: Graded) -> Placements | None:
    """Placement values (DeLong et al. 1988, equations 3 to 5); None when a class is missing."""
    positives, negatives = table.positives.astype(np.float64), table.negatives.astype(np.float64)
    m, n = float(positives.sum()), float(negatives.sum())
    if not (m > 0 and n > 0):
        return None
    below = np.cumsum(negatives) - negatives / 2
    above = m - (np.cumsum(positives) - positives / 2)
    return Placements(below / n, above / m)


def auc_roc(table: Graded) -> float | None:
    """The chance that a positive scores above a negative, ties counting half; None when a class is missing.

    The area under the ROC curve is Mann and Whitney's U by the number of pairs (Hanley and McNeil 1982). Equals
    scikit-learn's `roc_auc_score`.
    """
    placed = placements(table)
    if placed is None:
        return None
    return float(np.sum(table.positives * placed.positive) / table.positives.sum())


def auc_error(table: Graded) -> float | None:
    """Standard error of `auc_roc`; None with fewer than two rows of a class.

    References:
        E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson: Comparing the Areas under Two or More Correlated Receiver
        Operating Characteristic Curves: A Nonparametric Approach, Biometrics 44 (1988).
    """
    placed = placements(table)
    m, n = float(table.positives.sum()), float(table.negatives.sum())
    if placed is None or m < 2 or n < 2:
        return None
    variance = 0.0
    for counts, values, size in ((table.positives, placed.positive, m), (table.negatives, placed.negative, n)):
        mean = np.sum(counts * values) / size
        variance += float(np.sum(counts * (values - mean) ** 2)) / (size - 1) / size
    return math.sqrt(variance)


def average_precision(table: Graded) -> float | None:
    """Precision at each score as threshold, weighted by the recall it adds; None without positives.

    A sum of steps, not of trapezoids; equals scikit-learn's `average_precision_score`.
    """
    found, flagged = descending(table)
    if not len(found) or not found[-1] > 0:
        return None
    gained = np.diff(found, prepend=0.0)
    some = flagged > 0
    return float(np.sum(gained[some] * found[some] / flagged[some]) / found[-1])


def descending(table: Graded) -> tuple[Floats, Floats]:
    """(true positives, flagged rows) with each score as threshold, from the highest down; float64, cumulative."""
    found = np.cumsum(table.positives[::-1], dtype=np.float64)
    return found, found + np.cumsum(table.negatives[::-1], dtype=np.float64)


def precision_at(table: Graded, k: int) -> float | None:
    """The share of positives among the `k` highest scores; of all rows when there are fewer; None without rows.

    Of rows tied at the border as many count as are needed, each as the mean of them: what a random choice among them
    gives on average (McSherry and Najork 2008).

    >>> from headrace.domain.quality.score_table import tabulated
    >>> precision_at(tabulated(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 1, 0, 0])), 2)
    0.75
    """
    found, flagged = descending(table)
    if not len(flagged) or not flagged[-1] > 0:
        return None
    wanted = min(float(k), float(flagged[-1]))
    return float(np.interp(wanted, np.append(0.0, flagged), np.append(0.0, found))) / wanted


def recall_at(table: Graded, k: int) -> float | None:
    """The share of all positives that are among the `k` highest scores, ties as in `precision_at`."""
    found, flagged = descending(table)
    if not len(found) or not found[-1] > 0:
        return None
    return float(np.interp(float(k), np.append(0.0, flagged), np.append(0.0, found))) / float(found[-1])
