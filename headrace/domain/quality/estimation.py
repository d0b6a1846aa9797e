"""How good scores probably are before labels come: confidence-based performance estimation (CBPE).

A calibrated score is the chance that its row is positive, so a window's confusion matrix has an expected value that
needs no label. It holds as long as the same score keeps meaning the same chance: inputs may drift, what makes a row
positive may not.

References:
    NannyML: Confidence-based Performance Estimation, nannyml.readthedocs.io, "How it works"; J. Bialek, W. Kuberski,
    N. Perrakis, A. Bifet: Estimating Model Performance Under Covariate Shift Without Labels, 2024, arXiv:2401.08348.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headrace.domain.quality import calibration
from headrace.domain.quality.decisions import Confusion, DecisionWorth, confusion
from headrace.domain.quality.ranking import Floats, Graded, auc_error, auc_roc, average_precision, descending
from headrace.domain.quality.score_table import ScoreTable
from headrace.domain.quality.statistics.isotonic import AS_GIVEN, Calibrator, fitted

LEAST_OF_A_CLASS = 30  # fewer positives or negatives say too little to correct scores by
_CELLS = 1_000
_REPLICATES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """Rows by score with expected counts (float64) of positives and negatives; `Graded`, as a `ScoreTable` is."""

    scores: Floats
    positives: Floats
    negatives: Floats


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure that was not observed, and its standard error."""

    value: float
    error: float | None


@dataclass(frozen=True, slots=True)
class Fared:
    """How estimates did once labels came.

    Attributes:
        pairs: estimates that could be compared.
        bias: mean of estimate less realised.
        mean_absolute: mean distance.
        coverage: share of realised figures within `deviations` standard errors of their estimates, None without errors.
    """

    pairs: int
    bias: float
    mean_absolute: float
    coverage: float | None


def calibrator(reference: Graded, seed: int = 0) -> Calibrator | None:
    """What makes scores probabilities, learnt from labelled rows; None when nothing can.

    As NannyML does, scores are corrected only where that helps: rows are split in two at random, and isotonic
    regression on either half has to lessen the expected calibration error on the other. Scores are taken as given when
    it does not, and when a class has fewer than 30 rows; then, without being within 0 and 1, they are no probabilities,
    and the answer is None.
    """
    smallest = min(float(reference.positives.sum()), float(reference.negatives.sum()))
    if smallest >= LEAST_OF_A_CLASS and _helps(reference, seed):
        return fitted(reference)
    labelled = reference.scores[(reference.positives + reference.negatives) > 0]
    claims = len(labelled) == 0 or (labelled[0] >= 0 and labelled[-1] <= 1)
    return AS_GIVEN if claims else None


def expected(table: ScoreTable, calibrated: Calibrator) -> Expected:
    """All rows of `table`, labelled or not, with the labels that they should have."""
    chances = np.clip(calibrated(table.scores), 0.0, 1.0)
    rows = table.rows
    return Expected(table.scores, rows * chances, rows * (1 - chances))


def estimates(
    window: Expected,
    threshold: float,
    worth: DecisionWorth | None = None,
    reference: Graded | None = None,
    seed: int = 0,
) -> dict[str, Estimate | None]:
    """Expected figures of a window, by name; None for one that divides by nothing.

    `precision`, `recall`, `specificity`, `f1`, `accuracy`, `balanced_accuracy`, `positive_rate`, `auc_roc`,
    `average_precision`, and with `worth` `value` (of the whole window).

    The standard error is the sampling error of the realised figure, by NannyML's way: the standard deviation that the
    figure has over single rows of the `reference`, by the root of how many rows count in a window of this size.
    Without a reference (or with one of a single class) the expected counts stand in for it. It includes neither the
    calibrator's own error nor drift.
    """
    rows = float(window.positives.sum() + window.negatives.sum())
    errors = _errors(reference, threshold, worth, rows, seed) if reference is not None else {}
    if not errors:
        errors = _errors(window, threshold, worth, rows, seed)
    values = figures(window, threshold, worth)
    return {name: None if value is None else Estimate(value, errors.get(name)) for name, value in values.items()}


def figures(window: Expected, threshold: float, worth: DecisionWorth | None = None) -> dict[str, float | None]:
    """Expected figures of a window without their errors, named as in `estimates`."""
    matrix = confusion(window, threshold)
    rows = matrix.rows
    values = {
        "precision": matrix.precision,
        "recall": matrix.recall,
        "specificity": matrix.specificity,
        "f1": matrix.f1,
        "accuracy": matrix.accuracy,
        "balanced_accuracy": matrix.balanced_accuracy,
        "positive_rate": matrix.positives / rows if rows > 0 else None,
        "auc_roc": _auc_roc(window),
        "average_precision": _average_precision(window),
    }
    if worth is not None:
        values["value"] = matrix.value(worth) if rows > 0 else None
    return values


def fared(estimated: Floats, errors: Floats, realised: Floats, deviations: float = 3.0) -> Fared | None:
    """What became of estimates of one figure; float64, pairs with a NaN in `estimated` or `realised` are left out.

    `errors` may be NaN where an estimate had none. NannyML's band is 3 deviations wide. None without pairs.
    """
    known = ~(np.isnan(estimated) | np.isnan(realised))
    if not np.any(known):
        return None
    distance = estimated[known] - realised[known]
    banded = ~np.isnan(errors[known])
    within = np.abs(distance[banded]) <= deviations * errors[known][banded]
    coverage = float(within.mean()) if len(within) else None
    return Fared(int(known.sum()), float(distance.mean()), float(np.abs(distance).mean()), coverage)


def _auc_roc(window: Expected) -> float | None:
    """Expected pairs in order by expected pairs, without those that a row would form with itself."""
    area = auc_roc(window)
    if area is None:
        return None
    pairs, own = float(window.positives.sum() * window.negatives.sum()), float(_variance(window).sum())
    return (area * pairs - own / 2) / (pairs - own) if pairs > own else None


def _average_precision(window: Expected) -> float | None:
    """As of the expected counts, but a row that turns out positive is certainly among those found at its score."""
    average = average_precision(window)
    if average is None:
        return None
    _, flagged = descending(window)
    own = _variance(window)[::-1]
    some = flagged > 0
    return average + float(np.sum(own[some] / flagged[some]) / window.positives.sum())


def _variance(window: Expected) -> Floats:
    """Of the number of positives of each score."""
    rows = window.positives + window.negatives
    return np.divide(window.positives * window.negatives, rows, out=np.zeros(len(rows)), where=rows > 0)


def _helps(reference: Graded, seed: int) -> bool:
    """Whether a calibrator fitted on one half of the rows makes the other half's error less, both ways together."""
    if not calibration.probabilities(reference):
        return True
    random = np.random.default_rng(seed)
    positives = random.binomial(reference.positives.astype(np.int64), 0.5)
    negatives = random.binomial(reference.negatives.astype(np.int64), 0.5)
    one = Expected(reference.scores, positives.astype(np.float64), negatives.astype(np.float64))
    other = Expected(reference.scores, reference.positives - one.positives, reference.negatives - one.negatives)
    before, after = 0.0, 0.0
    for train, test in ((one, other), (other, one)):
        given, made = calibration.reliability(test), calibration.reliability(_moved(test, fitted(train)))
        if given is None or made is None:
            return False
        before += given.expected_error
        after += made.expected_error
    return after < before


def _moved(table: Graded, calibrated: Calibrator) -> Expected:
    """The table with its scores made probabilities; those that become equal stay apart, in their order."""
    return Expected(calibrated(table.scores), table.positives.astype(np.float64), table.negatives.astype(np.float64))


def _errors(
    source: Graded, threshold: float, worth: DecisionWorth | None, rows: float, seed: int
) -> Mapping[str, float]:
    """Standard errors of figures of a window of `rows`, by how they vary over the rows of `source`."""
    matrix = confusion(source, threshold)
    if not (matrix.rows > 0 and matrix.positives > 0 and matrix.negatives > 0 and rows > 0):
        return {}
    shrink = math.sqrt(matrix.rows / rows)
    found = {
        "precision": _share_error(matrix.precision, matrix.flagged),
        "recall": _share_error(matrix.recall, matrix.positives),
        "specificity": _share_error(matrix.specificity, matrix.negatives),
        "f1": _f1_error(matrix),
        "accuracy": _share_error(matrix.accuracy, matrix.rows),
        "positive_rate": _share_error(matrix.positives / matrix.rows, matrix.rows),
        "auc_roc": auc_error(source),
        "average_precision": _average_precision_error(source, seed),
    }
    if found["recall"] is not None and found["specificity"] is not None:
        found["balanced_accuracy"] = math.hypot(found["recall"], found["specificity"]) / 2
    errors = {name: error * shrink for name, error in found.items() if error is not None}
    deviation = matrix.value_deviation(worth) if worth is not None else None
    return errors if deviation is None else {**errors, "value": deviation * math.sqrt(rows)}


def _share_error(share: float | None, rows: float) -> float | None:
    return None if share is None else math.sqrt(share * (1 - share) / rows)


def _f1_error(matrix: Confusion) -> float | None:
    """F1 as a mean over the rows that count in it, true positives 1 and mistakes 0, times a constant (NannyML)."""
    counting = matrix.rows - matrix.true_negative
    if not counting > 0:
        return None
    mistakes = matrix.false_positive + matrix.false_negative
    constant = counting / (matrix.true_positive + mistakes / 2) if matrix.f1 else 0.0
    share = matrix.true_positive / counting
    return constant * math.sqrt(share * (1 - share) / counting)


def _average_precision_error(source: Graded, seed: int) -> float:
    """By bootstrap, every count drawn anew from the Poisson distribution about it, in cells of equally many positives.

    Within a cell the order of rows is lost, which the deviation hardly feels.
    """
    ends = np.cumsum(source.positives, dtype=np.float64)
    cells = np.minimum((ends / ends[-1] * _CELLS).astype(np.int64), _CELLS - 1)
    positives = np.bincount(cells, source.positives, _CELLS)
    negatives = np.bincount(cells, source.negatives, _CELLS)
    some = (positives > 0) | (negatives > 0)  # Of few scores most cells are empty, whatever is drawn.
    shape = (_REPLICATES, int(some.sum()))
    random = np.random.default_rng(seed)
    found = np.cumsum(random.poisson(positives[some], shape)[:, ::-1], axis=1)
    flagged = found + np.cumsum(random.poisson(negatives[some], shape)[:, ::-1], axis=1)
    gained = np.diff(found, axis=1, prepend=0)
    total = np.maximum(found[:, -1], 1)
    return float(np.std(np.sum(gained * found / np.maximum(flagged, 1), axis=1) / total))
