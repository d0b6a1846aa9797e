"""A model from the features and labels on the topics, stored, and named by a plan."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from headrace.domain.models.package import Training
from headrace.domain.pipeline.truth import said_of
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.training import dataset
from headrace.domain.training.bootstrap import train_offline
from headrace.domain.training.job.outcome_topic import within
from headrace.domain.training.trainer import trainer_of
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.plan_topic import publish_plan
from headrace.operations.progress import ProgressView, Say
from headrace.streaming.kafka.reader import read_topic
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train on and how; times are milliseconds since the epoch, None leaves one open.

    Attributes:
        start, stop: event times.
        as_of: labels of then only.
        trainer: by name; None for the pipeline's own.
        parameters: of the trainer's library.
        trees: how many, where many are grown.
        seed: the same rows and seed give the same model.
        holdout: share of the time, at its end, to judge by; 0 fits on all.
        version: of the model; None for one that tells the time.
        plan_reason: why it becomes the champion; None only stores it.
    """

    start: int | None = None
    stop: int | None = None
    as_of: int | None = None
    trainer: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    trees: int | None = None
    seed: int = 0
    holdout: float = 0.25
    version: str | None = None
    plan_reason: str | None = None


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model that is in the store.

    Attributes:
        plan_version: the plan that makes it the champion; None where none does.
        labels_left_out: labels that say nothing.
        metrics: on what was held out.
        training: what it was fitted on.
    """

    model: str
    version: str
    digest: str
    uri: str
    trainer: str
    plan_version: int | None
    labels_left_out: int
    metrics: Mapping[str, float]
    training: Training


def train_model(
    settings: Settings, contracts: Contracts, request: TrainingRequest, progress: ProgressView, warn: Say
) -> TrainedModel:
    """Train the pipeline's model on events between two times, judge it on their last part, store it, play it.

    Args:
        settings, contracts: of the pipeline.
        request: what is asked for.
        progress: told what is done.
        warn: told what is left out.

    Raises:
        ConfigurationError: there is nothing to train on, no such trainer, or a parameter is none.
        Transient: Kafka or the model store does not answer.
    """
    if request.trainer is not None:
        trainer_of(request.trainer)  # one that is not there is said before topics are read
    spec, connection = contracts.pipeline, settings.connection
    with progress.stage("reading features and labels"):
        features, _ = read_topic(connection, contracts.channel("features"))
        features = between(features, request.start, request.stop)
        labels, _ = read_topic(connection, contracts.channel("labels"))
    if request.as_of is not None:
        labels = dataset.known_by(labels, request.as_of)
    left_out = labels.num_rows - dataset.meaningful(labels, spec.labels).num_rows
    if left_out:
        why = said_of(spec.labels) if spec.labels is not None else "is no finite number"
        warn(f"{left_out:,} labels are left out: each {why}")
    offsets = {f"{spec.name}.{name}": used(rows) for name, rows in (("features", features), ("labels", labels))}
    store = store_at(settings.models)
    with progress.count(f"training on {features.num_rows:,} events", None) as advance:
        grown = 0

        def grow(so_far: int) -> None:
            nonlocal grown
            advance(so_far - grown)
            grown = so_far

        package, uri = train_offline(
            spec,
            features,
            labels,
            store,
            request.version or f"{datetime.now(UTC):%Y%m%d-%H%M%S}",
            trainer=request.trainer,
            parameters=request.parameters,
            trees=request.trees,
            seed=request.seed,
            holdout=request.holdout,
            as_of=request.as_of,
            revision=revision(),
            offsets=offsets,
            bounds=(request.start, request.stop),
            progress=grow,
        )
    played = None
    if request.plan_reason is not None:
        channel = contracts.channel("plans")
        played = publish_plan(connection, channel, spec.name, package, uri, request.plan_reason)
    manifest = package.manifest
    return TrainedModel(
        model=manifest.name,
        version=manifest.version,
        digest=package.digest,
        uri=uri,
        trainer=str(manifest.parameters["trainer"]),
        plan_version=played,
        labels_left_out=left_out,
        metrics=manifest.metrics,
        training=manifest.training,
    )


def between(features: pa.Table, start: int | None, stop: int | None) -> pa.Table:
    """Rows with start <= event time < stop, milliseconds; None leaves an end open."""
    return features.filter(within(features["event_time"], start, stop))


def used(rows: pa.Table) -> dict[int, tuple[int, int]]:
    """For each partition the half-open range of offsets that the rows of a read topic lie in."""
    partitions, offsets = rows["_partition"].to_numpy(), rows["_offset"].to_numpy()
    return {
        int(p): (int(offsets[partitions == p].min()), int(offsets[partitions == p].max()) + 1)
        for p in np.unique(partitions)
    }


def revision() -> str | None:
    """The git revision of the working directory, with `+changes` when it is not clean; None outside of git."""

    def git(*arguments: str) -> str | None:
        try:
            ran = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return ran.stdout.strip()

    head = git("rev-parse", "HEAD")
    return f"{head}+changes" if head and git("status", "--porcelain", "--untracked-files=no") else head
