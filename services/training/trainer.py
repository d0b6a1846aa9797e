"""Fits a LightGBM, proves that its ONNX graph says the same, and packs both with where they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as version_of
from typing import Any

import lightgbm as lgb
import numpy as np

from services.inference.package import Input, Manifest, ModelPackage, Training, pack
from services.inference.sessions import RUNTIME_VERSION, SessionSettings, open_session
from services.kit.errors import ConfigurationError, ContractError
from services.training.conversion import OUTPUT, convert
from services.training.dataset import Dataset, split
from services.training.evaluation import evaluate

PARITY = 1e-5  # largest difference allowed between the library's probability and the graph's
QUANTILES = tuple(np.linspace(0, 1, 41).tolist())
LEAST_ROWS = 100
LIBRARIES = ("lightgbm", "numpy", "onnx")

DEFAULTS: Mapping[str, Any] = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    # The same rows give the same trees, on any number of cores.
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make of the rows.

    Attributes:
        name, version: of the package.
        threshold: a score at or above it is a positive decision.
        trees: how many.
        parameters: LightGBM's, over `DEFAULTS`.
        seed: of everything random.
        holdout: share of the time, at its end, that the model is judged by and not fitted on.
        gap: milliseconds left out between the two.
        revision: of the code that makes the package.
        offsets: topic name -> partition -> [from, to): the records that the rows were read from.
    """

    name: str
    version: str
    threshold: float = 0.5
    trees: int = 100
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    holdout: float = 0.25
    gap: int = 0
    revision: str | None = None
    offsets: Mapping[str, Mapping[int, tuple[int, int]]] = field(default_factory=dict)


def train(data: Dataset, recipe: Recipe, progress: Callable[[int], None] = lambda trees: None) -> ModelPackage:
    """Fit, judge, convert, compare, pack. The same rows and recipe give the same package, to the digest.

    Args:
        data: labelled rows in time order.
        recipe: what to make of them.
        progress: told the number of trees grown so far.

    Raises:
        ConfigurationError: too few rows or one class on either side of the split.
        ContractError: the graph's scores of the held-out rows differ from the library's by more than `PARITY`.
    """
    fitted, held_out = split(data, recipe.holdout, recipe.gap)
    for part, rows in (("fit", fitted), ("judge", held_out)):
        if len(rows) < LEAST_ROWS or len(np.unique(rows.labels)) < 2:
            raise ConfigurationError(
                f"{len(rows)} rows to {part} by, {int(rows.labels.sum())} positive; take a longer time"
            )
    parameters = {**DEFAULTS, **recipe.parameters, "seed": recipe.seed}
    booster = lgb.train(
        parameters,
        lgb.Dataset(fitted.matrix, fitted.labels, feature_name=[f"f{i}" for i in range(len(data.inputs))]),
        num_boost_round=recipe.trees,
        callbacks=[lambda state: progress(state.iteration + 1)],
    )
    package = pack(_manifest(fitted, recipe, parameters), convert(booster))
    scores = np.asarray(booster.predict(held_out.matrix))
    _check_parity(package, held_out, scores)
    metrics = evaluate(held_out.labels, scores)
    return pack(package.manifest.model_copy(update={"metrics": metrics}), package.graph)


def _manifest(fitted: Dataset, recipe: Recipe, parameters: Mapping[str, Any]) -> Manifest:
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
        parameters={**parameters, "trees": recipe.trees, "holdout": recipe.holdout, "gap": recipe.gap},
        libraries={name: version_of(name) for name in LIBRARIES} | {"onnxruntime": RUNTIME_VERSION},
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


def _check_parity(package: ModelPackage, rows: Dataset, scores: Any) -> None:
    found = open_session(package, SessionSettings(executor="onnxruntime", device="cpu")).run(rows.matrix)
    difference = float(np.abs(found - scores).max())
    if not difference <= PARITY:
        raise ContractError(
            f"{package.title}: the ONNX graph differs from LightGBM by {difference:.2g} on {len(rows)} held-out rows; "
            f"{PARITY:g} is allowed"
        )
