"""Figures of scorecards by name: which are shown, what they are called, how they are written."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.scorecards.card import (
    COVERED,
    ESTIMATED,
    FARED,
    RESTS_ON,
    SHIFTED,
    SHIFTED_FARED,
    UNMATCHED,
)
from headrace.domain.scorecards.figure import Figure
from headrace.errors import ConfigurationError
from headrace.operations.scorecard_query.span import Summary

ALL = "all"
_GUESSED = ("positive_rate", "auc_roc", "average_precision", "precision", "recall", "value")
KEY = (
    "decision_rate", "mean_score", "latency_p50_ms", "latency_p99_ms", "backfilled_share",
    "compute_ms_per_prediction",
    "bytes_per_prediction", "coverage", UNMATCHED,
    "positive_rate", "auc_roc", "average_precision", "precision", "recall", "f1",
    "log_loss", "calibration_error", "calibration_bias", "value", "value_per_prediction", "label_delay_p50_hours",
    "bias", "mean_absolute_error", "root_mean_square_error", "r2", COVERED,
    *(prefix + name for prefix in (ESTIMATED, SHIFTED) for name in _GUESSED), SHIFTED + RESTS_ON, SHIFTED + "uncovered",
    *(f"{kind}precision_at_" for kind in ("", "entity_")),
)  # fmt: skip
OF_SEVERAL = (
    "accuracy", "decided_accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc_roc", "brier_score",
    "cost", "cost_per_prediction",
)  # fmt: skip
"""What is shown beside of models of several classes, and in groups the recall of each."""
"""What is shown when nobody asks for more; a name that ends with `_` stands for all that begin with it."""
SHARES = {
    "decision_rate",
    "coverage",
    COVERED,
    "positive_rate",
    "labelled_share",
    "conflicting_share",
    "backfilled_share",
    "estimated_positive_rate",
    "shifted_positive_rate",
    "shifted_uncovered",
}


def picked(text: str | None, found: Sequence[Summary]) -> list[str] | None:
    """The figures that a person asked for, with their estimates; None when nobody did.

    Raises:
        ConfigurationError: there is no such figure; says what there is.
    """
    if text is None:
        return None
    known = list(dict.fromkeys(name for each in found for made in each.windows.values() for name in made.figures))
    if text.strip() == ALL:
        return known
    names = []
    for wanted in (part.strip() for part in text.split(",")):
        others = [prefix + wanted for prefix in (ESTIMATED, FARED, SHIFTED, SHIFTED_FARED)]
        some = [name for name in known if name in (wanted, *others)]
        if not some:
            raise ConfigurationError(f"--figures: there is no figure {wanted}: {closest(wanted, known)}")
        names += some
    return names


def usual(pipeline: Pipeline) -> tuple[str, ...]:
    """Figures of a pipeline that are shown when nobody asks for more."""
    names = field_names(pipeline.model.classes)
    return (*KEY, *OF_SEVERAL, *(f"recall_{name}" for name in names)) if names else KEY


def shown(name: str, names: Sequence[str]) -> bool:
    """Whether a figure is among some names.

    >>> shown("precision_at_100", ["precision_at_"]), shown("precision", ["precision_at_"])
    (True, False)
    """
    return name in names or any(each.endswith("_") and name.startswith(each) for each in names)


def title(name: str) -> str:
    """A figure's name for people.

    >>> title("entity_precision_at_100_per_day"), title("latency_p99_ms"), title("shifted_auc_roc")
    ("entities' precision@100", 'latency p99, ms', 'AUC ROC')
    """
    text = name.removeprefix(ESTIMATED).removeprefix(SHIFTED)
    if text.startswith("entity_precision_at_"):
        return f"entities' precision@{text.split('_')[3]}"
    if text.startswith("precision_at_"):
        return f"precision@{text.split('_')[2]}"
    for unit, told in (("_ms", ", ms"), ("_hours", ", h")):
        if text.endswith(unit):
            text = text.removesuffix(unit) + told
    named = {"auc_roc": "AUC ROC", "f1": "F1", "mcc": "MCC", "r2": "R2", "compute_ms_per_prediction": "model ms a row"}
    named |= {
        "bytes_per_prediction": "bytes a row",
        "value_per_prediction": "value a row",
        "cost_per_prediction": "cost a row",
        "macro_auc_roc": "macro AUC ROC",
        "macro_f1": "macro F1",
        "coverage": "outcomes known",
        RESTS_ON: "rows that count",
        "uncovered": "kinds never met",
    }
    return named.get(text, text.replace("_", " "))


def cell(figure: Figure) -> str:
    """A figure with half the width of its interval: `0.8183 ±0.0162`; `-` where it is not defined."""
    if figure.value is None:
        return "-"
    share = figure.name in SHARES
    told = short(figure.value, share)
    if figure.low is None or figure.high is None or figure.name == "positive_rate":
        return told
    return f"{told} ±{short((figure.high - figure.low) / 2, share)}"


def short(value: float, share: bool = False) -> str:
    """A number in few characters.

    >>> short(0.81834), short(-38_012), short(1234.5), short(0.0463, True), short(12.5), short(1e200)
    ('0.8183', '-38.0k', '1,234', '4.630%', '12.50', '1.0e+200')
    """
    if share:
        return f"{value:.3%}" if abs(value) < 0.1 else f"{value:.2%}" if abs(value) < 1 else f"{value:.0%}"
    size = abs(value)
    if size >= 1e12:
        return f"{value:.1e}"
    if size >= 1e6:
        return f"{value / 1e6:,.1f}M"
    if size >= 1e4:
        return f"{value / 1e3:,.1f}k"
    return (
        f"{value:,.0f}"
        if size >= 1e3
        else f"{value:.1f}"
        if size >= 100
        else f"{value:.2f}"
        if size >= 10
        else f"{value:.4f}"
    )
