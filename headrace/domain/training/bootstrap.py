"""From tables to a stored model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from headrace.domain.models.card import CardWindow, ModelCard
from headrace.domain.models.checks.sandbox import admit
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.pipeline.segments import Segments
from headrace.domain.pipeline.spec import Pipeline, expand
from headrace.domain.training.card_figures import rule_of
from headrace.domain.training.dataset import assemble, newest
from headrace.domain.training.model_build import Recipe, Tuning, train


def train_offline(
    pipeline: Pipeline,
    features: pa.Table,
    labels: pa.Table,
    store: ModelStore,
    version: str,
    **given: Any,
) -> tuple[ModelPackage, str]:
    """Train the pipeline's model on tables and put it into the store; returns the package and its uri.

    Args:
        pipeline, features, labels, version, given: see `build_offline`.
        store: where the package goes.

    Raises what `build_offline` does, and ContractError where the package fails its trial.
    """
    package = build_offline(pipeline, features, labels, version, **given)
    admit(package)
    return package, store.put(package)


def build_offline(
    pipeline: Pipeline,
    features: pa.Table,
    labels: pa.Table,
    version: str,
    *,
    trainer: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    trees: int | None = None,
    seed: int = 0,
    holdout: float = 0.25,
    as_of: int | None = None,
    revision: str | None = None,
    offsets: Mapping[str, Mapping[int, tuple[int, int]]] | None = None,
    bounds: tuple[int | None, int | None] = (None, None),
    tuning: Tuning | None = None,
    progress: Callable[[int], None] = lambda trees: None,
) -> ModelPackage:
    """The package of the pipeline's model, trained on tables; nothing is stored.

    Args:
        pipeline: says what the model takes, what labels mean, and, where nobody else does, which trainer.
        features: columns of the features topic; a repeated event counts once.
        labels: `event_id`, `value`, `label_time`, as on the labels topic.
        version: of the package.
        trainer, parameters, trees, seed, holdout, revision, offsets, tuning, progress: see `Recipe` and `train`.
        as_of: milliseconds; only labels known by then count. None is the newest moment in the data.
        bounds: event times [start, stop) that the features were chosen by, for the model card.

    Raises:
        ConfigurationError: too few labelled rows, or of one class only, or a choice that cannot be.
        ContractError: an input is missing, or the converted model differs from the trained one.
    """
    moment = newest(features, labels) if as_of is None else as_of
    categories, quantities = pipeline.model.categories, pipeline.model.output == "value"
    inputs, segments = expand(pipeline), Segments(pipeline)
    data = assemble(
        features, labels, inputs, pipeline.labels, moment, segments, categories, quantities, pipeline.model.classes
    )
    window = CardWindow(start=bounds[0], stop=bounds[1], as_of=moment, labels=rule_of(pipeline))
    order: dict[str, Any] = {
        "parameters": dict(parameters or {}),
        "trees": trees,
        "seed": seed,
        "holdout": holdout,
        "windows": [],
    }
    recipe = Recipe(
        name=pipeline.model.name,
        version=version,
        threshold=pipeline.model.threshold,
        trainer=trainer or (pipeline.retrain or Retrain()).trainer,
        parameters=parameters or {},
        trees=trees,
        seed=seed,
        holdout=holdout,
        gap=pipeline.labels.matures_after if pipeline.labels is not None else 0,
        as_of=moment,
        revision=revision,
        offsets=offsets or {},
        clock=pipeline.clock_features,
        categories=categories,
        coverage=pipeline.model.interval,
        costs=pipeline.model.costs,
        card=ModelCard(window=window, order=order),
        tuning=tuning,
    )
    return train(data, recipe, progress)
