"""Fits a model by the trainer that was chosen, proves that its graph says the same, packs both with their origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version as version_of
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.domain.drift.cycles import calendar_features, hours_of
from headrace.domain.drift.reference_profile import (
    ReferenceProfile,
    answers_of,
    joint_of,
    profile_of,
)
from headrace.domain.models import held_out
from headrace.domain.models.checks.graph_policy import LARGEST_GRAPH
from headrace.domain.models.package import Input, Manifest, ModelPackage, Training, pack
from headrace.domain.models.sessions import RUNTIME_VERSION, SessionSettings, open_session
from headrace.domain.training.attribution_reference import attribution_profile
from headrace.domain.training.dataset import Dataset, split
from headrace.domain.training.evaluation import evaluate
from headrace.domain.training.graphs import OUTPUT, REMEDY
from headrace.domain.training.held_out_losses import with_losses
from headrace.domain.training.trainer import MANY, Choice, Fitted, trainer_of
from headrace.errors import ConfigurationError, ContractError

PARITY = 5e-5  # most that the graph may differ from the library on any row: sums of 32 bits lose 1e-5 with large leaves
QUANTILES = tuple(np.linspace(0, 1, 41).tolist())
LEAST_ROWS = 100
LIBRARIES = ("numpy", "onnx")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make of the rows.

    Attributes:
        name, version: of the package.
        threshold: a score at or above it is a positive decision.
        trainer: a name of `fitting.TRAINERS`.
        parameters, trees, seed: see `fitting.Choice`.
        holdout: share of the time, at its end, that the model is judged by and not fitted on; 0 fits on all rows.
        gap: milliseconds left out between the two.
        as_of: milliseconds, the moment whose knowledge the labels are; for the package.
        revision: of the code that makes the package.
        offsets: topic name -> partition -> [from, to): the records that the rows were read from.
        clock: inputs that say nothing of an event but when it was: nobody watches them for drift.
    """

    name: str
    version: str
    threshold: float = 0.5
    trainer: str = "lightgbm"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    trees: int | None = None
    seed: int = 0
    holdout: float = 0.25
    gap: int = 0
    as_of: int | None = None
    revision: str | None = None
    offsets: Mapping[str, Mapping[int, tuple[int, int]]] = field(default_factory=dict)
    clock: frozenset[str] = frozenset()


def train(data: Dataset, recipe: Recipe, progress: Callable[[int], None] = lambda trees: None) -> ModelPackage:
    """Fit, judge, convert, compare, pack. The same rows and recipe give the same package, to the digest.

    Args:
        data: labelled rows in time order.
        recipe: what to make of them.
        progress: told the number of trees grown so far.

    Raises:
        ConfigurationError: no such trainer or parameter, too few rows or one class on either side of the split, or
            rows that the library cannot take.
        ContractError: the model cannot be converted, is too large, or the graph's scores of any row differ from the
            library's by more than `PARITY`.
    """
    trainer = trainer_of(recipe.trainer)
    if recipe.trees is not None and recipe.trainer not in MANY:
        raise ConfigurationError(f"trainer {recipe.trainer} does not grow a number of trees; leave --trees away")
    if not 0 <= recipe.holdout < 1:
        raise ConfigurationError(f"holdout {recipe.holdout:g}: give a share of the time from 0 up to, not including, 1")
    fitted, later = split(data, recipe.holdout, recipe.gap) if recipe.holdout else (data, None)
    _check_rows("fit", fitted)
    if later is not None:
        _check_rows("judge", later)
    model = trainer(fitted, Choice(recipe.parameters, recipe.trees, recipe.seed), progress)
    if len(model.graph) > LARGEST_GRAPH:
        raise ContractError(
            f"the model takes {len(model.graph):,} bytes, more than the {LARGEST_GRAPH:,} of a graph: {REMEDY}"
        )
    package = pack(_manifest(fitted, recipe, model), model.graph)
    scores = model.predict(data.matrix)
    answered = _checked_scores(package, recipe.trainer, data.matrix, scores)
    profile = _profile(fitted, recipe)
    if later is None:
        return pack(package.manifest, package.graph, profile)
    own = answered[len(data) - len(later) :]
    metrics = evaluate(later.labels, scores[len(data) - len(later) :])
    answers = answers_of(own, later.labels.astype(np.float64), recipe.threshold)
    profile = with_losses(replace(profile, answers=answers), later, own, recipe.threshold)
    judged = held_out.drawn(profile, later.inputs, later.matrix, later.times, own, later.labels)
    left_out = {*recipe.clock, *profile.calendar}
    attributions = attribution_profile(package, fitted, later, answered[: len(fitted)], left_out)
    profile = replace(profile, attributions=attributions)
    return pack(package.manifest.model_copy(update={"metrics": metrics}), package.graph, profile, judged)


def _profile(fitted: Dataset, recipe: Recipe) -> ReferenceProfile:
    """What was fitted on, without what the calendar determines."""
    hours = hours_of(fitted.times)
    columns = {name: fitted.matrix[:, at].astype(np.float64) for at, name in enumerate(fitted.inputs)}
    calendar = tuple(name for name in calendar_features(columns, hours) if name not in recipe.clock)
    watched = [at for at, name in enumerate(fitted.inputs) if name not in recipe.clock and name not in calendar]
    matrix = fitted.matrix[:, watched]
    inputs = profile_of([fitted.inputs[at] for at in watched], matrix, hours)
    return ReferenceProfile(inputs, {}, joint_of(inputs, matrix, hours), calendar)


def _check_rows(what: str, rows: Dataset) -> None:
    if len(rows) < LEAST_ROWS or len(np.unique(rows.labels)) < 2:
        raise ConfigurationError(
            f"{len(rows)} rows to {what} by, {int(rows.labels.sum())} positive; take a longer time"
        )


def _manifest(fitted: Dataset, recipe: Recipe, model: Fitted) -> Manifest:
    ours = {"trainer": recipe.trainer, "seed": recipe.seed, "holdout": recipe.holdout, "gap": recipe.gap}
    if recipe.as_of is not None:
        ours["as_of"] = recipe.as_of
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        inputs=tuple(Input(name=name) for name in fitted.inputs),
        output=OUTPUT,
        threshold=recipe.threshold,
        training=Training(
            start=int(fitted.times[0]),
            end=int(fitted.times[-1]),
            rows=len(fitted),
            positives=int(fitted.labels.sum()),
            offsets={topic: dict(ranges) for topic, ranges in recipe.offsets.items()},
        ),
        parameters={**model.parameters, **ours},
        libraries={
            **model.libraries,
            **{name: version_of(name) for name in LIBRARIES},
            "onnxruntime": RUNTIME_VERSION,
        },
        revision=recipe.revision,
        reference=reference(fitted),
    )


def reference(data: Dataset) -> dict[str, tuple[float, ...]]:
    """Each input's values at `QUANTILES`, missing ones left out; nothing for an input that was always missing."""
    profiles = {}
    for place, name in enumerate(data.inputs):
        values = data.matrix[:, place]
        values = values[np.isfinite(values)]
        if len(values):
            profiles[name] = tuple(float(v) for v in np.quantile(values, QUANTILES))
    return profiles


def _checked_scores(
    package: ModelPackage, trainer: str, matrix: npt.NDArray[np.float32], scores: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """What the graph says of the rows, once that is what the library said."""
    found = open_session(package, SessionSettings(executor="onnxruntime", device="cpu")).run(matrix)
    difference = float(np.abs(found - scores).max())
    if not difference <= PARITY:
        raise ContractError(
            f"{package.title}: the ONNX graph differs from trainer {trainer} by {difference:.2g} on "
            f"{len(matrix)} rows; {PARITY:g} is allowed"
        )
    return found.astype(np.float64)
