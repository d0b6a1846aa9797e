"""Figures that a rule may watch, by name, and on what they rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PREDICTIONS, OUTCOMES, ESTIMATE = "predictions", "outcomes", "estimate"
ON_PREDICTIONS = (
    "decision_rate", "mean_score", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "backfilled_share",
    "backfill_latency_p50_ms", "compute_ms_per_prediction", "bytes_per_prediction", "coverage",
)  # fmt: skip
ON_LABELS = ("labelled_share", "conflicting_share", "label_delay_p50_hours", "label_delay_p95_hours")
OF_CLASSES = (
    "positive_rate", "auc_roc", "average_precision", "log_loss", "brier_score", "calibration_error",
    "calibration_bias", "precision", "recall", "specificity", "false_positive_rate", "f1", "accuracy",
    "balanced_accuracy", "mcc",
)  # fmt: skip
OF_SEVERAL = (
    "accuracy", "decided_accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "mcc",
    "macro_auc_roc", "macro_average_precision", "log_loss", "brier_score", "calibration_error", "calibration_bias",
    "cost", "cost_per_prediction",
)  # fmt: skip
OF_EACH_CLASS = ("support", "class_rate", "precision", "recall", "f1", "auc_roc", "average_precision")
"""Figures of each of several classes, before its name."""
OF_VALUE = ("value", "value_per_prediction", "best_threshold", "value_at_best_threshold")
OF_QUANTITIES = ("bias", "mean_absolute_error", "median_absolute_error", "root_mean_square_error", "r2")
ESTIMATED = (
    "positive_rate", "auc_roc", "average_precision", "precision", "recall", "specificity", "f1", "accuracy",
    "balanced_accuracy", "value",
)  # fmt: skip
GAPS = (
    "gap_selection_rate", "gap_true_positive_rate", "gap_false_positive_rate", "gap_precision", "gap_auc_roc",
    "gap_calibration", "gap_value",
)  # fmt: skip
GAPS_OF_SEVERAL = ("gap_accuracy", "gap_selection_rate", "gap_cost", "gap_calibration")

DRIFT_FIGURES: Mapping[str, str] = {
    "evidence": "its part of the evidence for a change: of all columns together 1 is an alarm",
    "divergence": "of recent rows from the reference, in nats",
    "effect": "by which share of the reference's mean loss the loss changes with the column's shares",
    "worse": "mean loss of the last seven days less the reference's: by outcomes, of others what scores let expect",
}
OF_A_MODEL = ("worse",)
"""Drift's figures of all columns together alone."""
DRIFT_STREAMS = ("predictions", "shadow-predictions", "outcomes", "dead-letters")

OPERATIONAL_FIGURES: Mapping[str, str] = {
    "lag": "records that a service has not read yet",
    "lag_seconds": "age of the oldest of them",
    "predictions_per_minute": "predictions that were written",
    "dead_letters_per_minute": "records that were refused",
    "dead_letters_share": "of dead letters among dead letters and predictions",
    "latency_p99_ms": "from an event's arrival to its score, of live events",
    "age_of_last_prediction_seconds": "since a prediction was written",
}
OF_A_SERVICE = ("lag", "lag_seconds")
OF_THE_LAST = "age_of_last_prediction_seconds"
READS: Mapping[str, tuple[str, ...]] = {
    "enrich": ("events",),
    "views": ("view.*",),
    "score": ("features",),
    "shadow": ("features",),
    "labels": ("labels", "predictions", "shadow-predictions", "exchange"),
    "scorecards": ("predictions", "shadow-predictions", "outcomes", "scorecard-parts"),
    "drift": ("predictions", "shadow-predictions", "outcomes", "dead-letters", "drift-parts"),
    "release": ("outcomes", "control", "plans", "release-parts"),
    "retrain": ("control",),
    "notify": ("control", "notifications"),
}
"""Topics that services read whose lag may be watched; a test holds it against the services there are."""


def scorecard_figures(
    classes: bool, labels: bool, worth: bool, depths: Sequence[int], names: Sequence[str] = ()
) -> dict[str, str]:
    """Figures of a pipeline's cards, and what each rests on.

    Args:
        classes: whether its model gives the probability of one.
        labels: whether it has labels.
        worth: whether it says what decisions are worth.
        depths: the k of its precision at k.
        names: of its classes, as fields have them, where it gives the probability of each of several.

    >>> found = scorecard_figures(classes=True, labels=False, worth=False, depths=[100])
    >>> found["estimated_recall"], "recall" in found
    ('estimate', False)
    """
    found = dict.fromkeys(ON_PREDICTIONS, PREDICTIONS)
    if names:
        found |= dict.fromkeys((f"decided_rate_{name}" for name in names), PREDICTIONS)
        return found | dict.fromkeys(_of_several(names) if labels else (), OUTCOMES)
    guessed = [name for name in ESTIMATED if classes and (worth or name != "value")]
    for prefix in ("estimated_", "shifted_"):
        found |= {f"{prefix}{name}": ESTIMATE for name in guessed}
    if classes:
        found |= {"shifted_effective_rows": ESTIMATE, "shifted_uncovered": ESTIMATE}
    if labels:
        known = [*ON_LABELS, *(OF_CLASSES if classes else OF_QUANTITIES), *(OF_VALUE if classes and worth else ())]
        for depth in depths if classes else ():
            known += [f"precision_at_{depth}", f"entity_precision_at_{depth}_per_day"]
        known += [f"{prefix}{name}" for prefix in ("estimate_error_", "shifted_error_") for name in guessed]
        known += [name for name in GAPS if classes and (worth or name != "gap_value")]
        found |= dict.fromkeys(known, OUTCOMES)
    return found


def _of_several(names: Sequence[str]) -> list[str]:
    """Figures on outcomes of several classes."""
    each = [f"{figure}_{name}" for name in names for figure in OF_EACH_CLASS]
    gaps = [*GAPS_OF_SEVERAL, *(f"gap_{figure}_{name}" for name in names for figure in ("recall", "precision"))]
    return [*ON_LABELS, *OF_SEVERAL, *each, *gaps]


def basis_of(figure: str) -> str:
    """What a scorecard's figure rests on.

    >>> basis_of("coverage"), basis_of("recall"), basis_of("shifted_recall"), basis_of("shifted_error_recall")
    ('predictions', 'outcomes', 'estimate', 'outcomes')
    """
    if figure in ON_PREDICTIONS or figure.startswith("decided_rate_"):
        return PREDICTIONS
    guessed = figure.startswith(("estimated_", "shifted_")) and not figure.startswith("shifted_error_")
    return ESTIMATE if guessed else OUTCOMES
