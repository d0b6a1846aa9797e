"""What a trained model's inputs contributed on rows held out: what later contributions are held against."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from headrace.domain.drift.attribution_sample import MOST_ROWS, AttributionSample
from headrace.domain.drift.cycles import hours_of
from headrace.domain.drift.reference_profile import AttributionProfile, profile_of
from headrace.domain.explanations.attributions import Attributions, attributions_of
from headrace.domain.models.package import ModelPackage
from headrace.domain.training.dataset import Dataset

STEPS_PER_EVENT = 200
"""What contributions may cost an event in the mean, see `Attributions.steps`: of dear models fewer are made."""
LEAST_EVERY, MOST_EVERY = 50, 5_000
"""Predictions of which one is looked at: of a model beyond that nothing would be seen in time."""
FEWEST, MOST = 1_000, 5_000
"""Rows that a reference of contributions is made of."""
MOST_STEPS = 10**9
"""That they may cost together; of a model that is dearer fewer rows are taken."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutContributions:
    """What inputs contributed to answers on rows held out.

    Attributes:
        sample: what later contributions are made of.
        rows: int64, places of the rows that were looked at.
        sizes: float64 [rows, inputs], how much of each answer is an input's, without its sign.
    """

    sample: AttributionSample
    rows: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.float64]


def held_out_contributions(
    package: ModelPackage, fitted: Dataset, held_out: Dataset, scores: npt.NDArray[np.float64]
) -> HeldOutContributions | str:
    """Contributions of the inputs on rows held out; why there are none: too few rows, or a model too dear to ask.

    Args:
        package: the model.
        fitted: the rows that it was fitted on, of which the background is taken.
        held_out: others.
        scores: float64 [fitted], what the model answered to the former.
    """
    if fitted.classes:
        return f"what inputs contribute is told of one score, and the model gives {len(fitted.classes)}"
    if len(held_out) < FEWEST:
        return f"{len(held_out):,} rows were held out, {FEWEST:,} are needed"
    background = background_of(fitted, scores)
    attributions = attributions_of(package, background)
    every = max(LEAST_EVERY, ceil(attributions.steps / STEPS_PER_EVENT))
    if every > MOST_EVERY:
        return "the model is too dear to ask: its trees are too deep, or too many"
    rows = _rows(len(held_out), attributions, every)
    sizes = np.abs(attributions.contributions(held_out.matrix[rows]))
    return HeldOutContributions(AttributionSample(background, every, attributions.exact, attributions.of), rows, sizes)


def attribution_profile(
    found: HeldOutContributions, held_out: Dataset, left_out: Collection[str]
) -> AttributionProfile:
    """What later contributions are held against.

    Args:
        found: on the rows `held_out`.
        left_out: inputs that are not watched. Nor are those that contribute nothing to any row.
    """
    inputs = [at for at, name in enumerate(held_out.inputs) if name not in left_out and found.sizes[:, at].any()]
    hours = hours_of(held_out.times[found.rows])
    columns = profile_of([held_out.inputs[at] for at in inputs], found.sizes[:, inputs], hours)
    return AttributionProfile(found.sample, columns)


def background_of(fitted: Dataset, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Rows that stand for all that were fitted: the middle ones of as many equal shares of their order by score."""
    count = min(MOST_ROWS, len(fitted))
    order = np.argsort(scores, kind="stable")
    middles = ((np.arange(count) + 0.5) * len(fitted) / count).astype(np.int64)
    largest = np.finfo(np.float32).max
    return np.clip(np.ascontiguousarray(fitted.matrix[order[middles]]), -largest, largest)


def _rows(count: int, attributions: Attributions, every: int) -> npt.NDArray[np.int64]:
    """The newest of evenly spaced rows, in their order, no farther apart than those that are looked at later: what
    follows on itself does so no less than it will then.
    """
    most = int(np.clip(MOST_STEPS // attributions.steps, FEWEST, MOST))
    apart = int(np.clip(count // most, 1, every))
    return np.arange(count - 1, -1, -apart, dtype=np.int64)[:most][::-1]
