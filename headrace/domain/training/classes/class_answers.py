"""What a model of several classes answered to rows held out, as columns that are watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from headrace.domain.drift.reference_profile import (
    CLASS,
    DECISION,
    SCORE,
    ColumnProfile,
    class_answers_of,
    score_of,
)
from headrace.domain.pipeline.classes.decision import Costs, decided, equal_costs
from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.quality.classes.losses import half_brier
from headrace.domain.training.dataset import Dataset

Floats = npt.NDArray[np.float64]


def decisions(chances: Floats, costs: Costs) -> npt.NDArray[np.int64]:
    """The place of the class decided on of each row; `costs`: none where all errors cost alike."""
    return decided(chances, costs or equal_costs(chances.shape[1]))


def class_profiles(held_out: Dataset, chances: Floats, costs: Costs, threshold: float) -> Mapping[str, ColumnProfile]:
    """Profiles of answers to rows, float64 [rows, classes], and of what came true; see `class_answers_of`."""
    truths = held_out.labels.astype(np.float64)
    told = truths, half_brier(chances, truths)
    names: Sequence[str] = held_out.classes
    return class_answers_of(chances, decisions(chances, costs), told, threshold, names, field_names(names))


def answered(held_out: Dataset, chances: Floats, costs: Costs, threshold: float) -> dict[str, Floats]:
    """By column, what the model answered, float64."""
    places = decisions(chances, costs)
    scores = chances[np.arange(len(chances)), places]
    found = {
        score_of(name): np.ascontiguousarray(chances[:, at]) for at, name in enumerate(field_names(held_out.classes))
    }
    found |= {SCORE: scores, DECISION: (scores >= threshold).astype(np.float64), CLASS: places.astype(np.float64)}
    return found
