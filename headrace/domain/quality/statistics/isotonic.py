"""Scores made probabilities by the steps that fit labelled ones best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.quality.ranking import Floats, Graded


@dataclass(frozen=True, slots=True, eq=False)
class Calibrator:
    """A rising line through points; float64, scores ascending. Without points it leaves scores as they are."""

    scores: Floats
    rates: Floats

    @property
    def identity(self) -> bool:
        """Whether scores are taken for the probabilities that they claim to be."""
        return len(self.scores) == 0

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities of scores: between points in proportion, beyond them as at the last."""
        return scores if self.identity else np.interp(scores, self.scores, self.rates)


AS_GIVEN = Calibrator(np.zeros(0), np.zeros(0))


def fitted(reference: Graded) -> Calibrator:
    """The calibrator of least squared error among those that never fall; needs a labelled row.

    Pools neighbours that would fall (Ayer et al. 1955); equals scikit-learn's
    `IsotonicRegression(out_of_bounds="clip")`.
    """
    rows = (reference.positives + reference.negatives).astype(np.float64)
    some = rows > 0
    rates = reference.positives[some] / rows[some]
    pooled = _pooled(rates, rows[some])
    # Points within a flat stretch say nothing that its ends do not.
    flat = np.append(False, pooled[1:] == pooled[:-1]) & np.append(pooled[:-1] == pooled[1:], False)
    return Calibrator(reference.scores[some][~flat], pooled[~flat])


@kernel("f8[::1] f8[::1]")
def _pooled(rates: Floats, weights: Floats) -> Floats:
    size = len(rates)
    mean, weight, start = np.empty(size), np.empty(size), np.empty(size, np.int64)
    blocks = 0
    for row in range(size):
        mean[blocks], weight[blocks], start[blocks] = rates[row], weights[row], row
        blocks += 1
        while blocks > 1 and mean[blocks - 2] >= mean[blocks - 1]:
            both = weight[blocks - 2] + weight[blocks - 1]
            mean[blocks - 2] = (mean[blocks - 2] * weight[blocks - 2] + mean[blocks - 1] * weight[blocks - 1]) / both
            weight[blocks - 2] = both
            blocks -= 1
    fit = np.empty(size)
    for block in range(blocks):
        fit[start[block] : start[block + 1] if block + 1 < blocks else size] = mean[block]
    return fit
