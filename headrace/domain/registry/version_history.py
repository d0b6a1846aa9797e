"""What a registry is to be told: a fold of the ledger, which says what became of each version that came from there.

| entry | of a version is told |
|---|---|
| `model_registered` | that it was brought in |
| `model_refused` | that it does not fit, and why |
| decisions of its release | its stage, and why |
| a plan with another champion | the alias: to the version that is champion now, or away from one that is no more |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.domain.control.release import DECISION_KINDS, ReleaseHeld, ReleaseRefused, ReleaseWarned
from headrace.domain.ledger.entry import LedgerEntry
from headrace.domain.ledger.sources import PLAN
from headrace.domain.plans.plans import CHAMPION
from headrace.domain.registry.registered_version import version_named

REGISTERED, REFUSED = "model_registered", "model_refused"
TOLD = {kind.type for kind in DECISION_KINDS} - {ReleaseRefused.type, ReleaseWarned.type, ReleaseHeld.type}
"""Decisions that change what a release is; the others are in the ledger alone."""


@dataclass(frozen=True, slots=True)
class VersionDecision:
    """What became of a version.

    Attributes:
        number: of the ledger's entry.
        time: milliseconds since the epoch.
        type: kind of the event.
        state: what the version is now.
        because: why, in a sentence.
    """

    number: int
    time: int
    type: str
    state: str
    because: str


@dataclass(slots=True)
class VersionStanding:
    """All that was decided of a version, in order; `identity` says which one."""

    identity: str
    model: str
    version: int
    title: str
    decisions: list[VersionDecision] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AliasStanding:
    """Which version of a registered model is the champion: since the plan of this entry; None: none of them."""

    number: int
    time: int
    version: int | None


class RegistryStanding:
    """The fold. Entries are taken once each, in the ledger's order."""

    def __init__(self) -> None:
        self.number = 0
        self.versions: dict[str, VersionStanding] = {}
        self.aliases: dict[str, AliasStanding] = {}
        self._of: dict[str, str] = {}
        self._champion = ""

    def take(self, entry: LedgerEntry) -> None:
        """Fold the next entry."""
        self.number = entry.number
        said = entry.said()
        if entry.type == PLAN:
            self._plan(entry, said)
            return
        evidence = said.get("evidence")
        if not isinstance(evidence, Mapping):
            return
        if entry.type in (REGISTERED, REFUSED):
            self._came(entry, said, evidence)
        elif entry.type in TOLD and str(evidence.get("digest")) in self._of:
            standing = self.versions[self._of[str(evidence["digest"])]]
            why = str(evidence.get("why") or evidence.get("reason") or entry.type)
            standing.decisions.append(
                VersionDecision(entry.number, entry.time, entry.type, str(evidence.get("stage", "")), why)
            )

    def _came(self, entry: LedgerEntry, said: Mapping[str, Any], evidence: Mapping[str, Any]) -> None:
        identity = str(evidence.get("source", ""))
        named = version_named(identity)
        if named is None:
            return
        title = str(evidence.get("model", ""))
        standing = self.versions.setdefault(identity, VersionStanding(identity, *named, title))
        if entry.type == REGISTERED:
            self._of[str(evidence.get("digest"))] = identity
            state, because = "registered", f"it is {title} here, and is judged next"
        else:
            state, because = "refused", str(evidence.get("because", ""))
        standing.decisions.append(VersionDecision(entry.number, entry.time, entry.type, state, because))
        if entry.type == REGISTERED:
            self._crown(entry)

    def _plan(self, entry: LedgerEntry, said: Mapping[str, Any]) -> None:
        arms = [arm for arm in said.get("arms") or [] if isinstance(arm, Mapping)]
        self._champion = next((str(arm.get("digest")) for arm in arms if arm.get("arm") == CHAMPION), "")
        self._crown(entry)

    def _crown(self, entry: LedgerEntry) -> None:
        """Say of each registered model which version answers, where that is another than before."""
        crowned = self.versions.get(self._of.get(self._champion, ""))
        for model in {each.model for each in self.versions.values()}:
            version = crowned.version if crowned is not None and crowned.model == model else None
            before = self.aliases.get(model)
            if (before is None and version is not None) or (before is not None and before.version != version):
                self.aliases[model] = AliasStanding(entry.number, entry.time, version)
