"""Which of two models of a quantity is further off."""

from __future__ import annotations

import math

import numpy as np

from headrace.domain.quality.comparison.influence_functions import normal, spread
from headrace.domain.quality.comparison.paired_tests import Difference
from headrace.domain.quality.comparison.pairs import Floats, Pair
from headrace.domain.quality.comparison.unpaired_tests import Answered


def paired_losses(pair: Pair, level: float = 0.95) -> dict[str, Difference]:
    """Differences in `mean_absolute_error` and `mean_squared_error` on the same rows, with normal intervals and tests.

    Empty with fewer than two labelled rows. On the squared error this is the test of Diebold and Mariano (1995) without
    correlation between rows.
    """
    pair = pair.labelled()
    if len(pair) < 2:
        return {}
    first, second = losses(pair.a, pair.labels), losses(pair.b, pair.labels)
    return {
        name: normal(
            float(first[name].mean()),
            float(second[name].mean()),
            math.sqrt(spread(second[name] - first[name])) / len(pair),
            level,
        )
        for name in first
    }


def unpaired_losses(a: Answered, b: Answered, level: float = 0.95) -> dict[str, Difference]:
    """The same for rows of each model's own."""
    if min(len(a.labels), len(b.labels)) < 2:
        return {}
    first, second = losses(a.scores, a.labels), losses(b.scores, b.labels)
    return {
        name: normal(
            float(first[name].mean()),
            float(second[name].mean()),
            math.hypot(*(math.sqrt(spread(each[name])) / len(each[name]) for each in (first, second))),
            level,
        )
        for name in first
    }


def losses(scores: Floats, labels: Floats) -> dict[str, Floats]:
    """What each row costs, by name."""
    error = scores - labels
    return {"mean_absolute_error": np.abs(error), "mean_squared_error": error**2}
