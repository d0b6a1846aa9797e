"""What a model was served, held against what it was trained on: the bins of its package's reference profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.domain.drift.e_detector import NOTHING
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.watched_columns import PREDICTIONS, ModelIdentity, WatchedColumns
from headrace.errors import ConfigurationError
from headrace.operations.drift.model_rows import model_rows
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.lookup import choose
from headrace.operations.plan_changes.plan_history import plan_history
from headrace.operations.progress import ProgressView
from headrace.operations.time_spans import TimeSpan
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class ColumnSkew:
    """A column of a model in training and in serving.

    Attributes:
        column: an input, or what the model answered.
        rows: predictions that say something of it.
        divergence: Kullback and Leibler's, of what was served from the reference, in nats.
        by_chance: what it stays within 19 times in 20 where nothing differs; `beyond`: whether it does not.
        effect: by which share of the reference's loss these shares change it, all else the same; None: not known.
        edges: bounds of the bins of numbers; `levels`: of a category, those of the first bins.
        reference, served: share of each bin; the last is of missing values.
        cyclic: whether bounds are in spreads from what is usual at the hour.
    """

    column: str
    rows: int
    divergence: float
    by_chance: float
    beyond: bool
    effect: float | None
    edges: Sequence[float]
    levels: Sequence[str]
    reference: Sequence[float]
    served: Sequence[float]
    cyclic: bool


@dataclass(frozen=True, slots=True)
class ReferenceSkew:
    """A model in training and in serving.

    Attributes:
        model: `name@version`; `digest`: of its package.
        rows: its predictions of the span of events that it was not fitted on, from `first` to `last` (ms).
        columns: those furthest beyond chance first.
        left_out: inputs that follow from the time of the event alone, so that no two spans are alike.
        unknown: columns of which the reference tells nothing.
    """

    model: str
    digest: str
    rows: int
    first: int
    last: int
    columns: Sequence[ColumnSkew]
    left_out: Sequence[str]
    unknown: Sequence[str]


def reference_skew(
    settings: Settings, contracts: Contracts, model: str | None, span: TimeSpan, progress: ProgressView
) -> ReferenceSkew:
    """Hold what was served against a package's reference, with the distance and effects that `drift` tells.

    Args:
        model: `NAME@VERSION` or the beginning of a digest; None: the champion.
        span: event times of predictions.

    Raises:
        ConfigurationError: there is no such model, it has no reference, or no prediction in the span.
        Transient: Kafka or the model store does not answer.
    """
    who = _identity(settings, contracts, model)
    package = store_at(settings.models).package(*who)
    schema = contracts.channel(PREDICTIONS).codec.reader.arrow
    if package.reference is None:
        raise ConfigurationError(f"the package of {who.title} has no reference profile: packages of `train` have one")
    watched = WatchedColumns(PREDICTIONS, contracts.pipeline, package.manifest, package.reference, schema)
    whole, times = model_rows(settings, contracts, PREDICTIONS, who, watched, progress)
    inside = (times >= span.start) & (times < span.stop)
    if not inside.any():
        raise ConfigurationError(f"{who.title} has no {PREDICTIONS} of {span.text} of events that it was not fitted on")
    low, high = int(np.argmax(inside)), len(times) - int(np.argmax(inside[::-1]))  # they ascend
    with progress.stage("comparing"):
        places, _ = watched.read(whole.slice(low, high - low))
        columns = [
            _skew(watched, name, places[:, at]) for at, name in enumerate(watched.known) if name in watched.plain
        ]
    columns = [each for each in columns if each.rows]
    return ReferenceSkew(
        who.title,
        who.digest,
        high - low,
        int(times[low]),
        int(times[high - 1]),
        sorted(columns, key=lambda each: -each.divergence / each.by_chance),
        watched.left_out,
        watched.unknown,
    )


def _identity(settings: Settings, contracts: Contracts, model: str | None) -> ModelIdentity:
    if model is not None:
        stored = choose(store_at(settings.models).packages(), model)
        return ModelIdentity(stored.name, stored.version, stored.digest)
    held = plan_history(settings, contracts).held
    if held is None or held.plan is None:
        name = contracts.pipeline.name
        raise ConfigurationError(f"{name} has no plan, so nothing was served to a model: headrace train {name}")
    arm = held.plan.champion
    if not arm.uri:
        members = " or ".join(f"--model {member.title}" for member in arm.members)
        raise ConfigurationError(f"the champion {arm.title} is an ensemble, which has no reference: write {members}")
    return ModelIdentity(arm.model, arm.version, arm.digest)


def _skew(watched: WatchedColumns, name: str, places: np.ndarray) -> ColumnSkew:
    profile = watched.profiles[name]
    told = places[places != NOTHING]
    counts = np.bincount(told, minlength=len(profile.bins.counts))
    shares = counts / max(len(told), 1)
    divergence, by_chance = profile.divergence(shares), profile.by_chance(len(told))
    edges = [] if profile.bins.edges is None else profile.bins.edges.tolist()
    reference = profile.bins.frequencies
    return ColumnSkew(
        name,
        len(told),
        divergence,
        by_chance,
        divergence > by_chance,
        watched.effect(name, reference, shares),
        edges,
        profile.bins.levels,
        reference.tolist(),
        shares.tolist(),
        profile.cycle is not None,
    )
