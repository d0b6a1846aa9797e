"""A registry is told what became of its versions: tags, and the alias of the champion.

What MLflow was told stands in MLflow: `headrace.ledger` of a version is the number of the last entry that it was told
of, `headrace.champion.ledger` of a registered model that of the plan by which the alias was moved. It is written last,
so whoever is killed before writes the same again; what MLflow missed while it was away is told when it is back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace.domain.registry.model_source import VersionSource
from headrace.domain.registry.version_history import AliasStanding, RegistryStanding, VersionStanding
from headrace.errors import ConfigurationError, Transient
from headrace.operations.registry.mlflow_door import MlflowRegistry
from headrace.operations.time_spans import iso

STATE, BECAUSE, LEDGER, PIPELINE = "headrace.state", "headrace.because", "headrace.ledger", "headrace.pipeline"
DECISION = "headrace.decision."
CROWNED = "headrace.champion.ledger"
LONGEST = 4_000
"""Letters of a tag."""


@dataclass(frozen=True, slots=True)
class VersionTold:
    """A version and what is told of it now; `decisions`: how many were new."""

    version: str
    state: str
    because: str
    ledger: int
    decisions: int


@dataclass(frozen=True, slots=True)
class AliasMoved:
    """An alias of a registered model names `version` now; None: no version any more."""

    model: str
    alias: str
    version: int | None
    ledger: int


@dataclass(slots=True)
class RegistryTold:
    """What was told.

    Attributes:
        problems: what could not be told or is another than headrace says, a sentence each.
        waiting: decisions that are not told yet.
        oldest: time of the first of them, ISO 8601.
        away: why, where MLflow does not answer.
    """

    versions: list[VersionTold] = field(default_factory=list)
    aliases: list[AliasMoved] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    waiting: int = 0
    oldest: str | None = None
    away: str | None = None


class RegistryTeller:
    """Tells a registry what the ledger says.

    Args:
        registry: that is told.
        pipeline: name of the pipeline whose ledger it is.
        alias: of the champion.
    """

    def __init__(self, registry: MlflowRegistry, pipeline: str, alias: str) -> None:
        self._registry = registry
        self._pipeline = pipeline
        self._alias = alias
        self._known: dict[str, int] = {}

    def tell(self, standing: RegistryStanding) -> RegistryTold:
        """Tell all that was not told yet; what it could not is in the answer, and is told by the next call."""
        told = RegistryTold()
        try:
            for version in standing.versions.values():
                self._version(version, told)
            for model, alias in standing.aliases.items():
                self._point(model, alias, standing, told)
        except Transient as away:
            told.away = str(away)
            missed = [
                decision
                for version in standing.versions.values()
                for decision in version.decisions
                if decision.number > self._known.get(version.identity, 0)
            ]
            told.waiting = len(missed)
            told.oldest = iso(min(each.time for each in missed)) if missed else None
        return told

    def _version(self, standing: VersionStanding, told: RegistryTold) -> None:
        source = VersionSource(standing.model, standing.version)
        if not standing.decisions:
            return
        found = self._registry.version(source)
        if found is None or found.identity != standing.identity:
            state = "gone" if found is None else "another one now"
            told.problems.append(f"{source} is {state}: what became of {standing.title} cannot be told")
            return
        last = standing.decisions[-1]
        if (fault := self._foreign(found.tags, last.number, str(source))) is not None:
            told.problems.append(fault)
            return
        number = _number(found.tags.get(LEDGER))
        new = [each for each in standing.decisions if each.number > number]
        if new:
            tags = {PIPELINE: self._pipeline}
            for each in new:
                tags[f"{DECISION}{each.number:06d}"] = f"{iso(each.time)} {each.type}: {each.because}"
            tags |= {STATE: last.state, BECAUSE: last.because, LEDGER: str(last.number)}
            for key, value in tags.items():
                self._registry.tag(standing.model, standing.version, key, self._short(value, last.number))
            told.versions.append(VersionTold(str(source), last.state, last.because, last.number, len(new)))
        self._known[standing.identity] = last.number

    def _foreign(self, tags: Mapping[str, str], last: int, source: str) -> str | None:
        """Why a version is none of ours to tell of."""
        owner = tags.get(PIPELINE, self._pipeline)
        if owner != self._pipeline:
            return (
                f"the pipeline {owner} tells what becomes of {source}, so this one does not: two pipelines that follow "
                f"one registered model would overwrite each other's {STATE}"
            )
        if _number(tags.get(LEDGER)) > last:
            return (
                f"{source} was told of entry {tags[LEDGER]}, and the ledger knows of it up to entry {last}: where the "
                f"ledger was begun anew, delete the tag {LEDGER}"
            )
        return None

    def _point(self, model: str, wanted: AliasStanding, standing: RegistryStanding, told: RegistryTold) -> None:
        try:
            now = self._registry.aliases(model).get(self._alias)
            number = _number(self._registry.model_tags(model).get(CROWNED))
        except ConfigurationError as gone:
            told.problems.append(str(gone))
            return
        if wanted.number <= number:
            if now != wanted.version:
                told.problems.append(
                    f"somebody moved {self._alias} of {model} to {_named(now)}; headrace's champion is "
                    f"{_named(wanted.version)}. It is left there until the champion changes"
                )
            return
        ours = {each.version for each in standing.versions.values() if each.model == model}
        if wanted.version is not None and not self._same(model, wanted.version, standing):
            told.problems.append(f"{model}/{wanted.version} is gone or another one now: {self._alias} is not moved")
            return
        if now != wanted.version and (wanted.version is not None or now in ours):
            self._registry.point(model, self._alias, wanted.version)
            told.aliases.append(AliasMoved(model, self._alias, wanted.version, wanted.number))
        self._registry.tag_model(model, CROWNED, str(wanted.number))

    def _same(self, model: str, version: int, standing: RegistryStanding) -> bool:
        found = self._registry.version(VersionSource(model, version))
        return found is not None and found.identity in standing.versions

    def _short(self, text: str, number: int) -> str:
        if len(text) <= LONGEST:
            return text
        more = f" ... (all of it: headrace ledger show {self._pipeline} --entry {number})"
        return text[: LONGEST - len(more)] + more


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


def _named(version: int | None) -> str:
    return "none of its versions" if version is None else f"version {version}"


def lines(told: RegistryTold) -> Sequence[str]:
    """How far it is behind, in words; nothing where it is not."""
    if told.away is None:
        return []
    since = "" if told.oldest is None else f", the oldest of {told.oldest}"
    return [f"{told.away}: {told.waiting:,} decisions wait to be told{since}"]
