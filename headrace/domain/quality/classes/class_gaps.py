"""Gaps between groups of rows of several classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.domain.quality import calibration
from headrace.domain.quality.classes.confusion_matrix import ConfusionMatrix
from headrace.domain.quality.decisions import confusion
from headrace.domain.quality.fairness import LEAST, Gap, GroupFigure, largest
from headrace.domain.quality.ranking import Graded


@dataclass(frozen=True, slots=True, eq=False)
class ClassGroup:
    """Labelled rows of a group.

    Attributes:
        matrix: decisions by what turned out.
        known: rows by the chance of the class that was decided on, positive where it was right.
    """

    matrix: ConfusionMatrix
    known: Graded


def class_gaps(
    groups: Mapping[str, ClassGroup],
    threshold: float,
    costs: npt.NDArray[np.float64],
    names: Sequence[str],
    least: int = LEAST,
    level: float = 0.95,
) -> dict[str, Gap]:
    """The largest gap by figure, as `fairness.gaps` has them.

    `accuracy`, `selection_rate` (decisions that reach the threshold), `cost` per row, `calibration` (mean chance of
    the class decided on less how often it was right), and of each class `recall_` and `precision_` with its name.
    """
    return largest({name: _figures(group, threshold, costs, names) for name, group in groups.items()}, least, level)


def _figures(
    group: ClassGroup, threshold: float, costs: npt.NDArray[np.float64], names: Sequence[str]
) -> dict[str, GroupFigure]:
    matrix, decided = group.matrix, confusion(group.known, threshold)
    shares: dict[str, tuple[float, float]] = {
        "accuracy": (matrix.right, matrix.rows),
        "selection_rate": (decided.flagged, decided.rows),
    }
    for place, name in enumerate(names):
        hits = int(matrix.counts[place, place])
        shares[f"recall_{name}"] = (hits, int(matrix.support[place]))
        shares[f"precision_{name}"] = (hits, int(matrix.decided[place]))
    figures = {name: GroupFigure(hits / size, size, hits) for name, (hits, size) in shares.items() if size > 0}
    deviation = matrix.cost_deviation(costs)
    if deviation is not None:
        error = deviation / math.sqrt(matrix.rows)
        figures["cost"] = GroupFigure(matrix.cost(costs) / matrix.rows, matrix.rows, error=error)
    bias, square = calibration.bias(group.known), calibration.brier_score(group.known)
    if bias is not None and square is not None:
        error = math.sqrt(max(0.0, square - bias * bias) / matrix.rows)
        figures["calibration"] = GroupFigure(bias, matrix.rows, error=error)
    return figures
