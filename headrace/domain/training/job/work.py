"""Carries an order out: outcomes are read, windows compared, the best packed, tried, and stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from headrace.domain.models.card import CardWindow, ModelCard
from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.checks.sandbox import admit
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.pipeline.segments import Segments
from headrace.domain.pipeline.spec import Pipeline, expand
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.training.card_figures import rule_of
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.job.order import TrainingOrder, TrainingProgress, TrainingResult, WindowCandidate
from headrace.domain.training.job.outcome_topic import ReadOutcomes, fixed, read_outcomes
from headrace.domain.training.job.windows import FittedWindow, best_window
from headrace.domain.training.model_build import BasePackage, Recipe, package_of
from headrace.domain.training.outcome_rows import outcome_rows
from headrace.domain.training.trainer import TREES, trainer_of
from headrace.errors import ConfigurationError, ContractError
from headrace.streaming.kafka.connection import Connection

Told = Callable[[TrainingProgress | TrainingOrder], None]
MOST_ROUNDS = 10
"""Times the trees that are ordered, beyond which no model is gone on from: each round makes it larger and slower."""
GIVEN = ("parameters", "trees", "seed", "holdout", "windows")
"""What of an order a card keeps, so that it can be given again."""


def carry_out(
    order: TrainingOrder, connection: Connection, contracts: Contracts, store: ModelStore, told: Told
) -> TrainingResult:
    """Train as ordered and store the package; a repeat of a fixed order stores nothing anew.

    Args:
        order: what is asked for.
        connection, contracts: where the pipeline's topics are.
        store: where the package goes, and those lie that may be gone on from.
        told: told the order once it is fixed, before anything is read, and progress.

    Raises:
        ConfigurationError: there is nothing to train on, no such trainer or parameter, or no window can be fitted.
        ContractError: records are gone, an input is missing, or the converted model differs from the trained one.
        Transient: Kafka or the model store does not answer.
    """
    pipeline = contracts.pipeline
    trainer_of(_trainer(order, pipeline))  # one that is not there is said before anything is read
    told(TrainingProgress(stage="fix"))
    order = fixed(order, connection, contracts)
    told(order)
    whole = sum(stop - start for start, stop in (order.offsets or {}).values())
    read = read_outcomes(
        order, connection, contracts, lambda done: told(TrainingProgress(stage="read", done=done, of=whole))
    )
    _check_moment(order, pipeline, read.known.moment)
    package, found = build(order, pipeline, contracts.channel("outcomes").name, read, store, told)
    told(TrainingProgress(stage="admit"))
    admit(package)
    told(TrainingProgress(stage="store"))
    uri = store.put(package)
    card = package.model_card or ModelCard()
    training = package.manifest.training
    return TrainingResult(
        order=order,
        model=package.manifest.name,
        version=package.manifest.version,
        digest=package.digest,
        uri=uri,
        trainer=str(package.manifest.parameters["trainer"]),
        chosen=found.figures.name,
        windows=card.windows,
        metrics=package.manifest.metrics,
        start=training.start,
        end=training.end,
        rows=training.rows,
        positives=training.positives,
        as_of=int(package.manifest.parameters["as_of"]),
    )


def build(
    order: TrainingOrder, pipeline: Pipeline, topic: str, read: ReadOutcomes, store: ModelStore, told: Told
) -> tuple[ModelPackage, FittedWindow]:
    """The package of a fixed order and what was read for it; nothing is stored. Raises what `carry_out` does."""
    as_of = read.known.moment if order.as_of is None else order.as_of
    model = pipeline.model
    kinds = model.categories, model.output == "value", model.classes
    data = outcome_rows(read.rows, expand(pipeline), pipeline.labels, as_of, Segments(pipeline), *kinds)
    recipe = replace(recipe_of(order, pipeline), as_of=as_of, offsets={topic: read.offsets})
    window = CardWindow(start=order.start, stop=order.stop, as_of=as_of, labels=rule_of(pipeline), unreadable=read.lost)
    best, windows = best_window(
        data,
        recipe,
        order.windows,
        lambda candidate: base_of(candidate, recipe, data, store),
        lambda name, trees: told(
            TrainingProgress(stage="fit", detail=name, done=trees, of=recipe.trees if recipe.trees else None)
        ),
    )
    told(TrainingProgress(stage="pack", detail=best.figures.name))
    card = ModelCard(
        window=window,
        order=given(order),
        windows=windows,
        chosen=best.figures.name,
        base=None if best.recipe.base is None else f"{best.recipe.base.title} {best.recipe.base.digest}",
    )
    return package_of(best.model, best.data, best.cut, replace(best.recipe, card=card)), best


def _check_moment(order: TrainingOrder, pipeline: Pipeline, known: int) -> None:
    """Refuse a moment that the outcomes do not reach: events with a label would be there, those without one not yet."""
    rule = pipeline.labels
    if order.as_of is not None and order.as_of > known and rule is not None and rule.unlabelled_is is not None:
        raise ConfigurationError(
            f"labels as of {order.as_of} are asked for, but these outcomes tell all that is known until {known} only "
            "(milliseconds since 1970); ask for that or less, name no moment, or wait for further outcomes"
        )


def recipe_of(order: TrainingOrder, pipeline: Pipeline) -> Recipe:
    """What an order says of the model, without the rows."""
    return Recipe(
        name=pipeline.model.name,
        version=order.version,
        threshold=pipeline.model.threshold,
        trainer=_trainer(order, pipeline),
        parameters=order.parameters,
        trees=order.trees,
        seed=order.seed,
        holdout=order.holdout,
        gap=pipeline.labels.matures_after if pipeline.labels is not None else 0,
        revision=order.revision,
        clock=pipeline.clock_features,
        categories=pipeline.model.categories,
        coverage=pipeline.model.interval,
        costs=pipeline.model.costs,
    )


def given(order: TrainingOrder) -> dict[str, Any]:
    """What of an order a card keeps."""
    found: Mapping[str, Any] = json.loads(TypeAdapter(TrainingOrder).dump_json(order))
    return {name: found[name] for name in GIVEN}


def base_of(window: WindowCandidate, recipe: Recipe, data: Dataset, store: ModelStore) -> BasePackage:
    """The package that a window goes on from; ConfigurationError says why it cannot be, Transient that nobody knows."""
    version, digest = window.base_version or "", window.base_digest or ""
    try:
        package = store.package(window.base_name or recipe.name, version, digest)
    except ContractError as error:
        raise ConfigurationError(f"the model to go on from is not to be had: {error}") from error
    manifest = package.manifest
    if manifest.parameters.get("trainer") != recipe.trainer:
        made_by = manifest.parameters.get("trainer") or "somebody else"
        raise ConfigurationError(f"{package.title} was made by {made_by}, not by trainer {recipe.trainer}")
    if data.classes and tuple(map(str, manifest.classes or ())) != data.classes:
        raise ConfigurationError(f"{package.title} tells other classes apart than the pipeline does now")
    if manifest.input_names != data.inputs:
        raise ConfigurationError(f"{package.title} has other inputs than the pipeline has now")
    if package.continuation is None:
        raise ConfigurationError(f"{package.title} holds no form of the model that its trainer could go on from")
    most, trees = MOST_ROUNDS * (recipe.trees or TREES), _trees_in(package)
    if trees > most:
        raise ConfigurationError(f"{package.title} has {trees:,} trees already, more than {most:,}: it becomes slow")
    training = manifest.training
    return BasePackage(package.title, package.digest, package.continuation, training.start, training.end)


def _trees_in(package: ModelPackage) -> int:
    ids = (
        attribute.ints
        for node in inspect(package).graph.node
        for attribute in node.attribute
        if attribute.name == "nodes_treeids"
    )
    return sum(len(set(found)) for found in ids)


def _trainer(order: TrainingOrder, pipeline: Pipeline) -> str:
    return order.trainer or (pipeline.retrain or Retrain()).trainer
