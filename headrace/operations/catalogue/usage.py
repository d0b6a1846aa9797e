"""Who reads a feature: models of the plan and of the store, segments, drift, rules over figures, other features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.domain.models.package import Manifest
from headrace.domain.models.store import Stored
from headrace.domain.pipeline.spec import Pipeline, expand
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plans import Plan
from headrace.errors import ContractError, Transient
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.lookup import parts
from headrace.operations.plan_changes.plan_history import plan_history
from headrace.streaming.process.settings import Settings

MODEL, FILE, SEGMENT, DRIFT, RULE, FEATURE = "model", "pipeline", "segment", "drift", "rule", "feature"


@dataclass(frozen=True, slots=True)
class FeatureReader:
    """Who reads a feature.

    Attributes:
        kind: `model` (a package), `pipeline` (the section model of the file: the next model), `segment`, `drift`,
            `rule` (over figures) or `feature`.
        name: of it: `name@version` of a model.
        arms: of a model, its parts in the live plan, in words; none where it is only stored.
        digest: of a model's package.
    """

    kind: str
    name: str
    arms: Sequence[str] = ()
    digest: str = ""

    @property
    def words(self) -> str:
        """In few words.

        >>> FeatureReader("model", "card@1", ("champion",)).words, FeatureReader("segment", "band").words
        ('card@1 (champion)', 'segment band')
        """
        if self.kind == MODEL:
            return self.name + (f" ({', '.join(self.arms)})" if self.arms else "")
        return DRIFT if self.kind == DRIFT else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class KnownModels:
    """The models whose inputs are known, and what is not known, a sentence each.

    Attributes:
        packages: what the store has, with its manifest.
        plan: the one that holds; None where there is none, or nobody knows.
    """

    packages: Sequence[tuple[Stored, Manifest]]
    plan: Plan | None
    unknown: Sequence[str]


def known_models(settings: Settings, contracts: Contracts) -> KnownModels:
    """The live plan and the packages of the store; what does not answer is told, and left out."""
    unknown: list[str] = []
    plan, packages = None, []
    try:
        held = plan_history(settings, contracts).held
        plan = None if held is None else held.plan
    except (Transient, ContractError) as fault:
        unknown.append(f"models of the live plan are not known, because {fault}")
    try:
        store = store_at(settings.models)
        for stored in store.packages():
            try:
                packages.append((stored, store.manifest(stored)))
            except ContractError as fault:
                unknown.append(f"what {stored.title} reads is not known, because {fault}")
    except Transient as fault:
        unknown.append(f"packages of the model store are not known, because {fault}")
    there = {stored.digest for stored, _ in packages}
    unknown += [
        f"what {title} ({digest}) reads is not known, because it is in the plan and not in the model store "
        f"{settings.models}: name the store by HEADRACE_MODELS"
        for title, digest in _played(plan)
        if digest not in there
    ]
    return KnownModels(packages, plan, list(dict.fromkeys(unknown)))


def readers_of(pipeline: Pipeline, feature: str, models: KnownModels) -> list[FeatureReader]:
    """Everybody who reads a feature: models first, those of the plan before the others."""
    return [*_models(feature, models), *_in_file(pipeline, feature, models)]


def _models(feature: str, models: KnownModels) -> Iterator[FeatureReader]:
    played = parts(models.plan)
    for stored, manifest in sorted(models.packages, key=lambda each: each[0].digest not in played):
        if feature in manifest.input_names:
            yield FeatureReader(MODEL, stored.title, played.get(stored.digest, []), stored.digest)


def _in_file(pipeline: Pipeline, feature: str, models: KnownModels) -> Iterator[FeatureReader]:
    if feature in expand(pipeline):
        yield FeatureReader(FILE, pipeline.model.name)
    for segment in pipeline.segments.values():
        if segment.of == feature:
            yield FeatureReader(SEGMENT, segment.name)
    played = parts(models.plan)
    if feature not in pipeline.clock_features and any(
        feature in manifest.input_names for stored, manifest in models.packages if stored.digest in played
    ):
        yield FeatureReader(DRIFT, feature)
    for rule in pipeline.kpis.values():
        if rule.column == feature:
            yield FeatureReader(RULE, rule.name)
    for view in pipeline.calendar_views:
        for name, expression in view.expressions.items():
            if feature in expression.columns:
                yield FeatureReader(FEATURE, f"{view.name}.{name}")


def _played(plan: Plan | None) -> Iterator[tuple[str, str]]:
    for arm in () if plan is None else plan.arms:
        yield from [(member.title, member.digest) for member in arm.members] or [(arm.title, arm.digest)]
