"""Which rows of an answer are one, and which of those can be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ROUNDED = 1e-6
"""What a chance may lie outside 0 and 1: sums of 32 bits round so."""
SUMMED = 1e-3
"""What chances of all classes together may differ from 1: libraries that scale them do so in 32 bits, some roughly."""


def finite(scores: Scores) -> Flags:
    """Which rows have a finite score; of several classes ([n, classes]) one for each.

    >>> finite(np.array([0.5, np.nan])).tolist(), finite(np.array([[0.5, 0.5], [1.0, np.inf]])).tolist()
    ([True, False], [True, False])
    """
    found: Flags = np.isfinite(scores)
    return found if found.ndim == 1 else np.asarray(found.all(axis=1))


def outside(scores: Scores) -> Flags:
    """Which rows have finite scores that are no chances; those of several classes add up to 1.

    >>> outside(np.array([-0.1, 0.0, 1.0000001, 1.5, np.inf, np.nan])).tolist()
    [True, False, False, True, False, False]
    >>> outside(np.array([[0.5, 0.5], [0.5, 0.4], [1.5, -0.5], [np.nan, 2.0]])).tolist()
    [False, True, True, False]
    """
    beyond: Flags = (scores < -ROUNDED) | (scores > 1 + ROUNDED)
    if scores.ndim == 2:
        beyond = beyond.any(axis=1) | (np.abs(scores.sum(axis=1) - 1) > SUMMED)
    return finite(scores) & beyond
