"""Figures of a window once its labels are known, which estimates are held against."""

from __future__ import annotations

from headrace.domain.pipeline.scorecards.spec import Worth
from headrace.domain.quality.decisions import confusion
from headrace.domain.quality.ranking import auc_roc, average_precision
from headrace.domain.quality.score_table import ScoreTable

WORTH = Worth(true_positive=100, false_positive=-5, false_negative=-100)
THRESHOLD = 0.3


def realised(table: ScoreTable) -> dict[str, float | None]:
    """The figures that labels give."""
    matrix = confusion(table, THRESHOLD)
    names = ("precision", "recall", "specificity", "f1", "accuracy", "balanced_accuracy")
    return {
        **{name: getattr(matrix, name) for name in names},
        "positive_rate": matrix.positives / matrix.rows,
        "auc_roc": auc_roc(table),
        "average_precision": average_precision(table),
        "value": matrix.value(WORTH),
    }
