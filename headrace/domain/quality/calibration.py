"""Whether scores are the probabilities that they claim to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.domain.quality.ranking import Counts, Floats, Graded

_TINY = float(np.finfo(np.float64).eps)  # scikit-learn's distance to 0 and 1 for 64 bits


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of about equally many rows, by ascending score; empty ones left out.

    Attributes:
        rows: float64, labelled rows of each bin.
        claimed: float64, the mean score.
        observed: float64, the share of positives.
    """

    rows: Floats
    claimed: Floats
    observed: Floats

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean distance of claimed and observed, weighted by rows (Naeini et al. 2015).

        Noise makes it positive even where scores are right: about sqrt(bins * rate / rows) for a small rate.
        """
        return float(np.sum(self.rows * np.abs(self.claimed - self.observed)) / self.rows.sum())


def probabilities(table: Graded) -> bool:
    """Whether all scores lie within 0 and 1, where there are labelled rows."""
    scores = table.scores[_labelled(table) > 0]
    return bool(len(scores)) and scores[0] >= 0 and scores[-1] <= 1


def log_loss(table: Graded) -> float | None:
    """Mean negative log-likelihood of the labels; None without labelled rows or when scores are no probabilities.

    Scores are kept 2.2e-16 away from 0 and 1; equals scikit-learn's `log_loss` of 64-bit scores.
    """
    if not probabilities(table):
        return None
    p = np.clip(table.scores, _TINY, 1 - _TINY)
    total = np.sum(table.positives * np.log(p)) + np.sum(table.negatives * np.log(1 - p))
    return float(-total / _labelled(table).sum())


def brier_score(table: Graded) -> float | None:
    """Mean squared distance of score and label (Brier 1950); None as in `log_loss`. As `brier_score_loss`."""
    if not probabilities(table):
        return None
    p = table.scores
    total = np.sum(table.positives * (1 - p) ** 2) + np.sum(table.negatives * p**2)
    return float(total / _labelled(table).sum())


def bias(table: Graded) -> float | None:
    """Mean score less the share of positives: calibration in the large; None as in `log_loss`."""
    if not probabilities(table):
        return None
    rows = _labelled(table)
    return float((np.sum(rows * table.scores) - table.positives.sum()) / rows.sum())


def reliability(table: Graded, bins: int = 10) -> Reliability | None:
    """Claimed and observed rates by quantiles of the score; None as in `log_loss`.

    Rows of one score share a bin. Equals scikit-learn's `calibration_curve(strategy="quantile")`.
    """
    if not probabilities(table):
        return None
    rows = _labelled(table)
    ends = np.cumsum(rows)
    places = np.linspace(0, 1, bins + 1)[1:-1] * (ends[-1] - 1)
    low = table.scores[np.searchsorted(ends, np.floor(places), side="right")]
    high = table.scores[np.searchsorted(ends, np.ceil(places), side="right")]
    edges = low + (high - low) * (places - np.floor(places))
    which = np.searchsorted(edges, table.scores, side="left")
    total = np.bincount(which, rows, bins).astype(np.float64)
    some = total > 0
    claimed = np.bincount(which, rows * table.scores, bins)[some] / total[some]
    observed = np.bincount(which, table.positives, bins)[some] / total[some]
    return Reliability(total[some], claimed, observed)


def recalibration(table: Graded) -> tuple[float, float] | None:
    """(intercept, slope) of the log odds of the label over the log odds of the score; (0, 1) is calibrated.

    A slope below 1 tells of scores that are too extreme (Cox 1958). Fitted by maximum likelihood with Newton's steps;
    None when a class is missing, scores are no probabilities, or none is best (classes that the scores separate).
    """
    positives, rows = table.positives.astype(np.float64), _labelled(table)
    if not probabilities(table) or not 0 < positives.sum() < rows.sum() or np.count_nonzero(rows) < 2:
        return None
    p = np.clip(table.scores, _TINY, 1 - _TINY)
    x = np.log(p) - np.log1p(-p)
    design = np.stack([np.ones_like(x), x])
    beta = np.array([0.0, 1.0])
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-np.clip(beta @ design, -700, 700)))
        gradient = design @ (positives - rows * fitted)
        curvature = (design * (rows * fitted * (1 - fitted))) @ design.T
        if not np.linalg.cond(curvature) < 1e14:
            return None
        step = np.linalg.solve(curvature, gradient)
        beta = beta + step * min(1.0, 5.0 / float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            return float(beta[0]), float(beta[1])
    return None


def _labelled(table: Graded) -> Floats:
    labelled: Counts = table.positives + table.negatives
    return labelled.astype(np.float64)
