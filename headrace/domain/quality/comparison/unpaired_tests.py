"""Which of two models is better when each scored other rows: a canary and the champion that it stands beside."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headrace.domain.quality.comparison.influence_functions import Flags, normal, payoffs, precision_influences, spread
from headrace.domain.quality.comparison.paired_tests import Difference
from headrace.domain.quality.comparison.pairs import Floats
from headrace.domain.quality.decisions import DecisionWorth
from headrace.domain.quality.ranking import auc_error, auc_roc
from headrace.domain.quality.score_table import LEAST_CAP, tabulated


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The labelled rows of one model.

    Attributes:
        scores: float64, finite.
        labels: float64, without NaN; above zero is positive.
        flagged: bool, what was decided.
    """

    scores: Floats
    labels: Floats
    flagged: Flags


def unpaired(
    a: Answered, b: Answered, worth: DecisionWorth | None = None, level: float = 0.95
) -> dict[str, Difference]:
    """Differences with normal intervals for independent rows; empty unless both have two rows of each class.

    `auc_roc` (DeLong's error of each), `average_precision` (each's by the influence of its rows), and with `worth`
    `value_per_event`, for groups of different sizes cannot be compared by their sums. Intervals are wider than those of
    the same rows would be, and what differs between the rows is told as a difference between the models.
    """
    if any(min(np.sum(each.labels > 0), np.sum(each.labels <= 0)) < 2 for each in (a, b)):
        return {}
    figures = [_figures(each, worth) for each in (a, b)]
    return {
        name: normal(
            figures[0][name][0], figures[1][name][0], math.hypot(figures[0][name][1], figures[1][name][1]), level
        )
        for name in figures[0]
    }


def _figures(each: Answered, worth: DecisionWorth | None) -> dict[str, tuple[float, float]]:
    """(figure, standard error) by name."""
    positive = each.labels > 0
    table = tabulated(each.scores, each.labels, max(LEAST_CAP, len(each.scores)))
    area, error = auc_roc(table), auc_error(table)
    assert area is not None, "both classes are there"
    assert error is not None, "twice"
    average, influences = precision_influences(each.scores, positive)
    of_average = math.sqrt(spread(influences[positive]) + spread(influences[~positive]))
    found = {"auc_roc": (area, error), "average_precision": (average, of_average)}
    if worth is not None:
        worths, rows = payoffs(positive, each.flagged, worth), len(positive)
        found["value_per_event"] = (float(worths.mean()), math.sqrt(spread(worths)) / rows)
    return found
