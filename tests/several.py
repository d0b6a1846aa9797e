"""A pipeline of several classes for tests, and chances that a model may have given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headrace.domain.pipeline.classes.decision import decided, equal_costs
from headrace.domain.pipeline.spec import Labels, Model, Pipeline

Floats = npt.NDArray[np.float64]
NAMES = ("cat", "dog", "very bad", "été", "horse", "cow", "hen", "fox")


def of_classes(
    pipeline: Pipeline,
    names: Sequence[str],
    costs: Sequence[Sequence[float]] | None = None,
    threshold: float = 0.0,
    unlabelled: float | None = None,
) -> Pipeline:
    """A pipeline as if its model told several classes, and nothing of it were of two."""
    told = tuple(map(tuple, costs)) if costs is not None else equal_costs(len(names))
    model = Model(pipeline.model.name, pipeline.model.inputs, "class", threshold, classes=tuple(names), costs=told)
    rule = pipeline.labels or Labels("id", "kind")
    labels = replace(rule, classes=True, positive=None, unlabelled_is=unlabelled, names=tuple(names))
    views = {
        name: replace(view, features={text: each for text, each in view.features.items() if not each.of_label})
        for name, view in pipeline.views.items()
    }
    return replace(pipeline, model=model, labels=labels, views=views, value=None, release=None, retrain=None, kpis={})


def chances(rows: int, classes: int, draw: np.random.Generator, digits: int | None = None) -> Floats:
    """Of each class, float64 [rows, classes], adding up to 1 but for the rounding to so many digits."""
    found = draw.dirichlet(np.full(classes, 0.7), rows)
    return found if digits is None else np.round(found, digits)


def decisions(scores: Floats, pipeline: Pipeline) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.bool_]]:
    """(the place of the class decided on, its chance, whether that reaches the threshold) of each row."""
    places = decided(scores, pipeline.model.costs)
    chance = scores[np.arange(len(scores)), places]
    return places, chance, chance >= pipeline.model.threshold
