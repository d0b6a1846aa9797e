"""What a model's chances stood for on its reference: how often rows of about the same score came true.

Cells of scores are grouped so that each group says about as much. Within a group the log odds of all scores are off by
the same number, which makes as many come true as did: so a score that moves within its group still says what it says.
How far off that number may be is the score interval: all numbers under which as many as came true are within z
standard deviations of what is expected (Wilson 1927, for a group of unequal chances).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.domain.drift.reference_bins import Floats, Ints

MOST_GROUPS = 10
INFORMATION = 50.0
"""Of a group at least: the sum of chance times counter-chance over its rows, where one more group is made."""
BOUND = 2.0
"""Standard deviations: how sure a group's bounds are."""
FARTHEST = 14.0
"""Log odds by which chances may be off at most."""
STEPS = 50


@dataclass(frozen=True, slots=True, eq=False)
class ScoreGroups:
    """What each cell of scores stands for.

    Attributes:
        chances: float64, cells: the chance that a row of it comes true, by the reference.
        least, most: float64, cells: how small and how large that may be.
    """

    chances: Floats
    least: Floats
    most: Floats


def chance_groups(scores: Floats, counts: Ints, inflation: float) -> ScoreGroups:
    """Learn it.

    Args:
        scores: float64, cells, ascending: the chance that each claims.
        counts: int64, cells x (came not true, came true).
        inflation: how much more sums of rows vary than those of independent ones.
    """
    rows = counts.sum(axis=1)
    weight = rows * scores * (1 - scores)
    total = float(weight.sum())
    count = int(np.clip(total / INFORMATION, 1, MOST_GROUPS))
    middle = np.cumsum(weight) - weight / 2
    wanted = np.minimum((middle / max(total, 1e-300) * count).astype(np.int64), count - 1)
    _, first, group = np.unique(wanted, return_index=True, return_inverse=True)
    odds = log_odds(scores)
    off = _offsets(odds, rows, counts[:, 1], first, group, inflation)
    chances, least, most = chance_of(odds + off[:, group])
    return ScoreGroups(chances, np.minimum(least, chances), np.maximum(most, chances))


def _offsets(odds: Floats, rows: Ints, true: Ints, first: Ints, group: Ints, inflation: float) -> Floats:
    """By how much the log odds of each group are off, float64, (likely, at least, at most) x groups; by halving."""
    came = np.add.reduceat(true, first).astype(np.float64)
    among = np.add.reduceat(rows, first)
    wanted = np.stack([np.clip(came, 0.5, np.maximum(among - 0.5, 0.5)), came - 0.5, came + 0.5])
    sides = np.array([[0.0], [BOUND], [-BOUND]])
    low, high = np.full(wanted.shape, -FARTHEST), np.full(wanted.shape, FARTHEST)
    for _ in range(STEPS):
        off = (low + high) / 2
        chances = chance_of(odds + off[:, group])
        mean = np.add.reduceat(rows * chances, first, axis=1)
        variance = inflation * np.add.reduceat(rows * chances * (1 - chances), first, axis=1)
        above = mean + sides * np.sqrt(variance) > wanted
        high, low = np.where(above, off, high), np.where(above, low, off)
    found: Floats = (low + high) / 2
    return found


def log_odds(chances: Floats) -> Floats:
    """Of chances above 0 and below 1.

    >>> log_odds(np.array([0.5])).tolist()
    [0.0]
    """
    found: Floats = np.log(chances) - np.log1p(-chances)
    return found


def chance_of(odds: Floats) -> Floats:
    """The chances of log odds, within 1e-12 of neither 0 nor 1."""
    found: Floats = np.clip(1 / (1 + np.exp(-odds)), 1e-12, 1 - 1e-12)
    return found
