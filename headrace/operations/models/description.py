"""All that a stored package says of itself, with where it lies and which plans name it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict

from headrace.domain.models.card import ModelCard
from headrace.domain.models.package import Manifest
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plan_log import PlanFact
from headrace.operations.models.inventory import PlanUse, uses
from headrace.operations.plan_changes.lookup import choose


class PackagePlace(BaseModel):
    """Which package it is and where it lies; `stored`: when, milliseconds since the epoch, 0 where nobody knows.

    `files`: those of a package that are there.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    uri: str
    stored: int
    files: tuple[str, ...]


class PackageDescription(Manifest, PackagePlace):
    """A package's place and its manifest in one; `plans` are those that name it, None when nobody asked.

    `card`: what it says of itself beyond; None where nothing.
    """

    plans: tuple[PlanUse, ...] | None
    card: ModelCard | None = None

    @property
    def title(self) -> str:
        """`name@version`, for people and logs; the digest is the identity."""
        return f"{self.name}@{self.version}"


def describe(store: ModelStore, model: str, facts: Callable[[], Sequence[PlanFact]] | None) -> PackageDescription:
    """The package that a person means.

    Args:
        model: NAME (its newest version), NAME@VERSION, or the start of a digest.
        facts: reads those of the plans topic; None where plans are not asked for.

    Raises:
        ConfigurationError: there is none; says what there is.
        ContractError: its manifest or its card cannot be read.
    """
    stored = choose(store.packages(), model)
    manifest = store.manifest(stored)
    plans = None if facts is None else tuple(uses(facts(), stored.digest))
    place = {"digest": stored.digest, "uri": stored.uri, "stored": stored.stored, "files": stored.files}
    return PackageDescription.model_validate({**place, "plans": plans, "card": store.card(stored), **dict(manifest)})
