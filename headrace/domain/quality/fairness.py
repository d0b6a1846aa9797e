"""Gaps between groups of rows: the largest for each figure, with an interval, and silence where rows are too few."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from headrace.domain.quality import calibration
from headrace.domain.quality.decisions import DecisionWorth, confusion
from headrace.domain.quality.ranking import Graded, auc_error, auc_roc
from headrace.domain.quality.statistics.proportions import Interval, deviations, difference

LEAST = 30  # rows that a figure is made of: positives for a true positive rate, flagged ones for precision


@dataclass(frozen=True, slots=True)
class GroupFigure:
    """A figure of one group: a share of rows (`hits` of `size`), or a value with its standard error."""

    value: float
    size: float
    hits: float | None = None
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Gap:
    """The largest difference in one figure between any two groups that have rows enough.

    Attributes:
        figure: what was compared.
        highest, lowest: the two groups.
        gap: the figure of the highest less that of the lowest.
        interval: where that difference lies; the level holds for all pairs together (Bonferroni), for the pair was
            chosen because it differs most.
        values: the figure of each group that was compared.
        too_small: groups that have the figure, but of fewer than `least` rows, and were not.
    """

    figure: str
    highest: str
    lowest: str
    gap: float
    interval: Interval
    values: Mapping[str, float]
    too_small: tuple[str, ...]

    @property
    def certain(self) -> bool:
        """Whether chance alone hardly explains the gap."""
        return self.interval.low > 0


def gaps(
    groups: Mapping[str, Graded],
    threshold: float,
    worth: DecisionWorth | None = None,
    least: int = LEAST,
    level: float = 0.95,
) -> dict[str, Gap]:
    """The largest gap by figure; without those for which fewer than two groups have rows enough.

    `selection_rate`, `true_positive_rate`, `false_positive_rate`, `precision`, `auc_roc`, `calibration` (mean score
    less rate: it has no error of its own in small groups, as binned ones have), and with `worth` `value` per row.

    Intervals: Newcombe's for shares; for the others normal, groups being independent, with DeLong's error for areas.
    """
    return largest({name: _figures(table, threshold, worth) for name, table in groups.items()}, least, level)


def largest(
    figures: Mapping[str, Mapping[str, GroupFigure]], least: int = LEAST, level: float = 0.95
) -> dict[str, Gap]:
    """The largest gap by figure, of figures by group and name; see `gaps`."""
    names = dict.fromkeys(name for of_group in figures.values() for name in of_group)
    found = {name: _gap(name, {g: f[name] for g, f in figures.items() if name in f}, least, level) for name in names}
    return {name: gap for name, gap in found.items() if gap is not None}


def _figures(table: Graded, threshold: float, worth: DecisionWorth | None) -> dict[str, GroupFigure]:
    """What the group has; a figure that divides by nothing is left out."""
    matrix = confusion(table, threshold)
    shares = {
        "selection_rate": (matrix.flagged, matrix.rows),
        "true_positive_rate": (matrix.true_positive, matrix.positives),
        "false_positive_rate": (matrix.false_positive, matrix.negatives),
        "precision": (matrix.true_positive, matrix.flagged),
    }
    figures = {name: GroupFigure(hits / size, size, hits) for name, (hits, size) in shares.items() if size > 0}
    area, error = auc_roc(table), auc_error(table)
    if area is not None and error is not None:
        figures["auc_roc"] = GroupFigure(area, min(matrix.positives, matrix.negatives), error=error)
    bias, square = calibration.bias(table), calibration.brier_score(table)
    if bias is not None and square is not None:
        error = math.sqrt(max(0.0, square - bias * bias) / matrix.rows)
        figures["calibration"] = GroupFigure(bias, matrix.rows, error=error)
    deviation = matrix.value_deviation(worth) if worth is not None else None
    if worth is not None and deviation is not None:
        each = matrix.value(worth) / matrix.rows
        figures["value"] = GroupFigure(each, matrix.rows, error=deviation / math.sqrt(matrix.rows))
    return figures


def _gap(name: str, figures: Mapping[str, GroupFigure], least: int, level: float) -> Gap | None:
    judged = {group: figure for group, figure in figures.items() if figure.size >= least}
    if len(judged) < 2:
        return None
    values = {group: figure.value for group, figure in judged.items()}
    highest, lowest = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
    if highest == lowest:
        highest, lowest = list(values)[:2]  # all the same
    pairs = len(list(combinations(judged, 2)))
    interval = _interval(judged[highest], judged[lowest], 1 - (1 - level) / pairs)
    small = tuple(group for group in figures if group not in judged)
    return Gap(name, highest, lowest, values[highest] - values[lowest], interval, values, small)


def _interval(high: GroupFigure, low: GroupFigure, level: float) -> Interval:
    if high.hits is not None and low.hits is not None:
        found = difference((high.hits, high.size), (low.hits, low.size), level)
        assert found is not None, "both have rows"
        return found
    gap, reach = high.value - low.value, deviations(level) * math.hypot(high.error, low.error)
    return Interval(gap - reach, gap + reach)
