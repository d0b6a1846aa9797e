"""Figures that labels of a window will probably give, when chances are a curve of the score, and their errors.

`steady_estimates` are confidence-based (CBPE, see `estimation`) with two differences. Scores are set right by a curve
that is held near what they claim, not by isotonic regression or not at all: on few rows that errs less than either.
And errors say how far the realised figure may be, with what is not known of the curve.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from headrace.domain.quality import label_draws
from headrace.domain.quality.chance_curve import ChanceCurve, chance_curve, labelled_scores
from headrace.domain.quality.decisions import DecisionWorth
from headrace.domain.quality.estimation import LEAST_OF_A_CLASS, Estimate, Expected, figures
from headrace.domain.quality.ranking import Graded
from headrace.domain.quality.score_table import ScoreTable

Floats = npt.NDArray[np.float64]
DRAWS = 100
"""Of chances and labels: an error that is a deviation over so many is 7% off."""


def steady_estimates(
    reference: Graded, window: ScoreTable, threshold: float, worth: DecisionWorth | None = None, seed: int = 0
) -> Mapping[str, Estimate | None] | None:
    """Expected figures of a window in which a score stands for the chance that it stood for on the reference.

    None where the reference has fewer than 30 rows of a class. Names as in `estimation.estimates`; one that divides by
    nothing is None.
    """
    counts = np.concatenate([reference.positives, reference.negatives])
    if min(reference.positives.sum(), reference.negatives.sum()) < LEAST_OF_A_CLASS:
        return None
    scores = np.tile(reference.scores, 2)
    positive = np.repeat([True, False], len(reference.scores))
    some = counts > 0
    known = labelled_scores(scores[some], positive[some], counts[some])
    curve = chance_curve(known, counts[some].astype(np.float64), float(counts.sum()))
    random = np.random.default_rng(seed)
    return curve_estimates(window, curve, curve.found.draws(DRAWS, random), threshold, random, worth)


def curve_estimates(
    window: ScoreTable,
    curve: ChanceCurve,
    draws: Floats,
    threshold: float,
    random: np.random.Generator,
    worth: DecisionWorth | None = None,
) -> Mapping[str, Estimate | None]:
    """Expected figures of a window under a curve.

    Args:
        draws: float64[draws, d], coefficients that might be: errors come from them.
    """
    chances = curve(window.scores)
    expected = Expected(window.scores, window.rows * chances, window.rows * (1 - chances))
    few = label_draws.coarse(window)
    errors = label_draws.errors(few, curve(few.scores, draws), threshold, random, worth)
    return {
        name: None if value is None else Estimate(value, errors.get(name))
        for name, value in figures(expected, threshold, worth).items()
    }
