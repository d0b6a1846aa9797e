"""The packages of the model store and the parts that they play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.domain.models.package import FILES
from headrace.domain.models.store import ModelStore, Stored
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import Plan
from headrace.errors import ContractError
from headrace.operations.plan_changes.lookup import parts
from headrace.operations.progress import ProgressView, Silent
from headrace.operations.time_spans import moment

MANY = 50
"""Packages from which on it is worth telling how many are read."""


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """A package as the store lists it.

    Attributes:
        stored: when; None where the store does not say.
        parts: that it plays in the newest plan, in words.
        problem: why it cannot be used; None for a good one.
    """

    name: str
    version: str
    digest: str
    uri: str
    stored: str | None
    parts: Sequence[str]
    problem: str | None


@dataclass(frozen=True, slots=True)
class DescribedPackage(StoredPackage):
    """A package whose manifest can be read; see `domain.models.package.Manifest`."""

    trainer: object  # of a package made elsewhere: whatever it says
    trained_from: str | None
    trained_to: str | None
    rows: int
    positives: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PlanUse:
    """A plan that names a package, and the part that it plays there."""

    plan_version: int
    time: str
    actor: str
    reason: str
    part: str


def inventory(store: ModelStore, plan: Plan | None, progress: ProgressView) -> list[StoredPackage]:
    """Every package of the store.

    Args:
        store: what reads manifests; graphs are not read.
        plan: the newest one, if it is known.
        progress: told how many were read, where there are many.
    """
    packages = store.packages()
    shown: ProgressView = progress if len(packages) >= MANY else Silent()
    with shown.count("packages", len(packages)) as advance:
        found = []
        for stored in packages:
            found.append(_described(store, stored, plan))
            advance(1)
    return found


def _described(store: ModelStore, stored: Stored, plan: Plan | None) -> StoredPackage:
    when = moment(stored.stored) if stored.stored else None
    own = (stored.name, stored.version, stored.digest, stored.uri, when, parts(plan).get(stored.digest, []))
    missing = [name for name in FILES if name not in stored.files]
    try:
        manifest = store.manifest(stored)
    except ContractError as error:
        return StoredPackage(*own, str(error))
    training = manifest.training
    return DescribedPackage(
        *own,
        f"{' and '.join(missing)} missing" if missing else None,
        trainer=manifest.parameters.get("trainer"),
        trained_from=moment(training.start) if training.rows else None,
        trained_to=moment(training.end) if training.rows else None,
        rows=training.rows,
        positives=training.positives,
        metrics=manifest.metrics,
    )


def uses(facts: Sequence[PlanFact], digest: str) -> list[PlanUse]:
    """Plans that name a package, oldest first."""
    return [
        PlanUse(fact.version, moment(fact.time), fact.actor, fact.reason, ", ".join(played))
        for fact in facts
        if (played := parts(fact.plan).get(digest))
    ]
