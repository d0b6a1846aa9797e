"""How far realised figures may be from expected ones: labels drawn again and again from chances that might be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from headrace.domain.quality import score_table
from headrace.domain.quality.decisions import DecisionWorth, confusion
from headrace.domain.quality.estimation import Expected
from headrace.domain.quality.ranking import auc_roc, average_precision
from headrace.domain.quality.score_table import LEAST_CAP, ScoreTable

Floats = npt.NDArray[np.float64]
_SHARES = ("precision", "recall", "specificity", "f1", "accuracy", "balanced_accuracy")


def coarse(table: ScoreTable) -> ScoreTable:
    """At most 4,096 scores of it: as many as errors need."""
    return table if len(table) <= LEAST_CAP else score_table.merged([table], LEAST_CAP)


def errors(
    table: ScoreTable,
    chances: Floats,
    threshold: float,
    random: np.random.Generator,
    worth: DecisionWorth | None = None,
) -> Mapping[str, float]:
    """Standard errors of estimates of the figures that labels of these very rows will give; named as in `estimates`.

    Each line of `chances` gives every row a label, and the labels give the figures; the errors are the deviations of
    these. So they hold both what the labels of a window are by chance and what is not known of the chances. A figure
    that more than half of the lines do not define has none.

    Args:
        table: the window's rows, labelled or not.
        chances: float64[draws, scores], of the table's scores.
    """
    drawn = [_realised(table, each, threshold, random, worth) for each in chances]
    found = {}
    for name in drawn[0] if drawn else ():
        known = np.array([value for figures in drawn if (value := figures[name]) is not None])
        if len(known) > 1 and 2 * len(known) >= len(drawn):
            found[name] = float(np.std(known, ddof=1))
    return found


def _realised(
    table: ScoreTable, chances: Floats, threshold: float, random: np.random.Generator, worth: DecisionWorth | None
) -> dict[str, float | None]:
    positives = random.binomial(table.rows, chances).astype(np.float64)
    labelled = Expected(table.scores, positives, table.rows - positives)
    matrix = confusion(labelled, threshold)
    figures: dict[str, float | None] = {name: getattr(matrix, name) for name in _SHARES}
    figures["positive_rate"] = matrix.positives / matrix.rows if matrix.rows > 0 else None
    figures["auc_roc"] = auc_roc(labelled)
    figures["average_precision"] = average_precision(labelled)
    if worth is not None:
        figures["value"] = matrix.value(worth)
    return figures
