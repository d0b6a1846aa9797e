"""How good scores probably are before labels come, when inputs shift: PAPE.

Confidence-based estimates (`estimation`) take a score for the chance that it stands for on the reference. Of all rows
of one score some kinds are right more often than others; once their mix has changed, the score stands for another
chance. Probabilistic adaptive performance estimation weighs each labelled reference row by how much more often its kind
is met in production, learns the chances anew from the weighted rows, and then goes on as before. It holds as long as
what makes a row of a kind positive stays: under covariate shift, not under concept drift.

Where the paper takes gradient boosting and isotonic regression, ours are a sum over bins and a smooth curve, both held
near "nothing has changed", and they know how uncertain they are. `loadtests.estimates` measures both beside each other.

References:
    J. Bialek, J. Kivimäki, W. Kuberski, N. Perrakis: Estimating Model Performance Under Covariate Shift Without Labels,
    2024, arXiv:2401.08348.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.domain.quality import chance_curve
from headrace.domain.quality.chance_curve import LabelledScores, labelled_scores
from headrace.domain.quality.curve_estimates import DRAWS, curve_estimates
from headrace.domain.quality.decisions import DecisionWorth
from headrace.domain.quality.density_ratio import DensityRatio, Places, density_ratio, effective_rows, uncovered
from headrace.domain.quality.estimation import LEAST_OF_A_CLASS, Estimate
from headrace.domain.quality.score_table import ScoreTable

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceSample:
    """Rows of which all is known.

    Attributes:
        places: uint8[features, rows], C-contiguous: the bin of each value.
        bins: how many bins each feature has.
        scores: float64[rows], the model's own; finite.
        positive: bool[rows], their labels.
    """

    places: Places
    bins: Sequence[int]
    scores: Floats
    positive: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ShiftedEstimates:
    """Estimates of a window, and what they rest on.

    Attributes:
        figures: by name, as `estimation.estimates` has them; None for one that divides by nothing, empty with a reason.
        reason: why there are no figures; None where there are.
        effective_rows: reference rows of equal weight that would tell as much.
        uncovered: share of production rows with a value that no reference row has: their kind is taken for the rest's.
        ratio: by how much features moved; None without production rows.
    """

    figures: Mapping[str, Estimate | None]
    reason: str | None
    effective_rows: float
    uncovered: float
    ratio: DensityRatio | None


def shifted_estimates(
    reference: ReferenceSample,
    production: Places,
    window: ScoreTable,
    threshold: float,
    worth: DecisionWorth | None = None,
    seed: int = 0,
) -> ShiftedEstimates:
    """Expected figures of a window whose inputs may have shifted.

    Errors are those of what the window's labels will give: they hold the chance of labels, and what is not known of the
    ratio and of the curve. They hold neither concept drift nor shifts that the ratio cannot see.

    Args:
        production: uint8[features, rows]: the window's rows, or a random sample of them, by bin.
        window: all rows of it, by score.
        threshold: a score at or above it is a positive decision.
        seed: of the draws that give the errors.

    Raises ValueError for shapes that do not fit, or a bin that there is not.
    """
    if not production.shape[1] or not int(window.rows.sum()):
        return _none("no rows in the window", 0.0, 0.0, None)
    ratio = density_ratio(reference.places, production, reference.bins)
    placed = ratio.rows(reference.places)
    weights = ratio.weights(placed)
    unmet = uncovered(reference.places, production, reference.bins)
    rows = effective_rows(weights)
    least = min(effective_rows(weights[reference.positive]), effective_rows(weights[~reference.positive]))
    if least < LEAST_OF_A_CLASS:
        return _none(
            f"production is too far from the reference: of one class {least:.0f} rows count, "
            f"{LEAST_OF_A_CLASS} are needed", rows, unmet, ratio,
        )  # fmt: skip  # one sentence
    known = labelled_scores(reference.scores, reference.positive)
    curve = chance_curve.chance_curve(known, weights)
    random = np.random.default_rng(seed)
    draws = _draws(ratio, placed, curve, known, random)
    found = curve_estimates(window, curve, draws, threshold, random, worth)
    return ShiftedEstimates(found, None, rows, unmet, ratio)


def _draws(
    ratio: DensityRatio,
    rows: Places,
    curve: chance_curve.ChanceCurve,
    known: LabelledScores,
    random: np.random.Generator,
) -> Floats:
    """Coefficients of curves that might be, float64[draws, terms]: of ratios that might be, and about each."""
    about = curve.found.draws(DRAWS, random) - curve.found.coefficients
    ratios = ratio.found.draws(DRAWS, random)
    return about + [chance_curve.moved(curve, known, ratio.weights(rows, each)) for each in ratios]


def _none(reason: str, rows: float, unmet: float, ratio: DensityRatio | None) -> ShiftedEstimates:
    return ShiftedEstimates({}, reason, rows, unmet, ratio)
