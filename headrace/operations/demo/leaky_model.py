"""A model that is good offline and harmful online: it was fitted on the outcomes by which gates judge."""

from __future__ import annotations

from headrace.domain.models.package import Training, pack
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.training.job.order import TrainingOrder
from headrace.domain.training.job.outcome_topic import fixed, read_outcomes
from headrace.domain.training.job.work import build
from headrace.streaming.process.settings import Settings

TRAINER, PARAMETERS = "decision_tree", {"max_features": 1}
"""Grown without a bound, so that it knows every row by heart, by inputs that it draws, so that it knows little else."""


def leaky_model(settings: Settings, contracts: Contracts, store: ModelStore, version: str, start: int) -> int:
    """Fit a tree on all outcomes of events since `start` (milliseconds) and store it; returns how many rows it knows.

    What it was fitted on is taken out of its manifest, as of a model that comes from a notebook: an evaluation leaves
    out the events that a candidate says it knows, and cannot leave out those of which it says nothing.
    """
    order = TrainingOrder(
        pipeline=settings.pipeline, version=version, trainer=TRAINER, parameters=PARAMETERS, start=start, holdout=0.0
    )
    order = fixed(order, settings.connection, contracts)
    read = read_outcomes(order, settings.connection, contracts)
    topic = contracts.channel("outcomes").name
    package, _ = build(order, contracts.pipeline, topic, read, store, lambda told: None)
    manifest = package.manifest
    bare = pack(manifest.model_copy(update={"training": Training(), "metrics": {}}), package.graph)
    store.put(bare)
    return manifest.training.rows
