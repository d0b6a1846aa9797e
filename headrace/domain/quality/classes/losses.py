"""What chances of several classes lose, row by row: rows do not show in one another, wherever batches are cut."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.columnar.elementary import log

Floats = npt.NDArray[np.float64]
TINY = float(np.finfo(np.float64).eps)  # scikit-learn's distance to 0 and 1 for 64 bits
_SUM = 1e-3
"""Chances of all classes add up to 1 but for so much: models compute in 32 bits."""


def half_brier(chances: Floats, truths: Floats) -> Floats:
    """Half the Brier score of each row (Brier 1950), float64, in [0, 1]: of two classes it is the binary one.

    Args:
        chances: float64 [rows, classes].
        truths: float64 [rows], the place of the class that was true; NaN gives NaN.

    >>> half_brier(np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]), np.array([0.0, 1.0])).tolist()
    [0.1875, 1.0]
    """
    total = np.zeros(len(chances))
    for place in range(chances.shape[1]):
        total += (chances[:, place] - (truths == place)) ** 2
    return np.where(np.isnan(truths), np.nan, 0.5 * total)


def surprise(chances: Floats, truths: Floats) -> Floats:
    """Minus the logarithm of the chance that the class had which was true, float64; NaN where that is not known.

    Chances are kept 2.2e-16 away from 0 and 1, as in scikit-learn's `log_loss`.

    >>> surprise(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0.0, np.nan])).round(3).tolist()
    [0.693, nan]
    """
    unknown = np.isnan(truths)
    places = np.where(unknown, 0, truths).astype(np.int64)
    given = np.clip(chances[np.arange(len(chances)), places], TINY, 1 - TINY)
    return np.where(unknown, np.nan, 0.0 - log(given))


def are_chances(chances: Floats) -> npt.NDArray[np.bool_]:
    """Whether the numbers of each row can be chances: each from 0 to 1, and all together 1."""
    found: npt.NDArray[np.bool_] = np.all((chances >= 0) & (chances <= 1), axis=1)
    found &= np.abs(chances.sum(axis=1) - 1) <= _SUM
    return found
