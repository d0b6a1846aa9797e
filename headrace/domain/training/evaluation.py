"""How good scores are, judged by labels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from headrace.domain.quality.regression import measured

Scores = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer] | npt.NDArray[np.float64]


def evaluate(labels: Labels, scores: Scores) -> dict[str, float]:
    """`auc_roc`, `average_precision`, `log_loss`, of how many rows and positives; labels of one class give no metrics.

    Of labels that are quantities (float): `root_mean_square_error`, `mean_absolute_error`, `r2`, and how many rows.

    >>> evaluate(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))["auc_roc"]
    0.75
    """
    if labels.dtype.kind == "f":
        return {"rows": float(len(labels)), **errors(labels, scores)}
    positives = int(labels.sum())
    found = {"rows": float(len(labels)), "positives": float(positives)}
    if 0 < positives < len(labels):
        found["auc_roc"] = auc_roc(labels, scores)
        found["average_precision"] = average_precision(labels, scores)
        found["log_loss"] = log_loss(labels, scores)
    return found


def errors(labels: Labels, scores: Scores) -> dict[str, float]:
    """How far quantities are off; `r2` is left out where all labels are the same.

    >>> errors(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))["r2"]
    0.5
    """
    sums = measured(scores, labels.astype(np.float64))
    told = {
        "root_mean_square_error": sums.root_mean_square,
        "mean_absolute_error": sums.mean_absolute,
        "r2": sums.r2,
    }
    return {name: value for name, value in told.items() if value is not None}


def conformal_half_width(labels: Labels, scores: Scores, coverage: float) -> float | None:
    """How far from the answer an interval has to go to hold a later label with a chance of `coverage` at least.

    Split conformal prediction: the ceil((n + 1) coverage)-th smallest size of n errors, of rows that are exchangeable
    with later ones and that the model was not fitted on (Vovk, Gammerman and Shafer 2005; Lei et al., JASA 113, 2018,
    theorem 2.2). None where n is too small for that.

    >>> conformal_half_width(np.array([0.0] * 9), np.arange(1.0, 10.0), 0.8)
    8.0
    >>> conformal_half_width(np.array([0.0] * 3), np.arange(3.0), 0.9) is None
    True
    """
    sizes = np.sort(np.abs(scores.astype(np.float64) - labels))
    place = math.ceil((len(sizes) + 1) * coverage - 1e-9)
    return float(sizes[place - 1]) if 1 <= place <= len(sizes) else None


def auc_roc(labels: Labels, scores: Scores) -> float:
    """The chance that a positive scores above a negative, ties counting half (Mann and Whitney's U).

    >>> auc_roc(np.array([0, 1, 1]), np.array([0.5, 0.5, 0.9]))
    0.75
    """
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return float((ranks[labels > 0].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(labels: Labels, scores: Scores) -> float:
    """Precision at each threshold, weighted by the recall it adds; equal scores are one threshold.

    >>> round(average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 6)
    0.833333
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order] > 0)
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    recall = hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * hits[last] / (last + 1)))


def log_loss(labels: Labels, scores: Scores) -> float:
    """Mean negative log-likelihood of the labels, scores being probabilities, kept 1e-15 away from 0 and 1.

    >>> round(log_loss(np.array([0, 1]), np.array([0.5, 0.5])), 6)
    0.693147
    """
    p = np.clip(scores.astype(np.float64), 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(labels > 0, np.log(p), np.log1p(-p))))
