"""A plan changed by somebody who says why: checked, written, told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plan_log import Contested, newest, publish
from headrace.domain.plans.plans import Plan
from headrace.operations.plan_changes.admission import admitted
from headrace.operations.plan_changes.diff import PlanDifference, changes, moved
from headrace.operations.plan_changes.edit import Wish, arrange
from headrace.operations.plan_changes.lookup import choose, percent
from headrace.operations.plan_changes.plan_topic import facts_of, now
from headrace.operations.progress import ProgressView
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class Decision:
    """Who changes a plan and why; with `dry_run` all is checked, and nothing written."""

    actor: str
    reason: str
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ChangedPlan:
    """What became of a change; `plan_version` is None where nothing was written."""

    pipeline: str
    written: bool
    plan_version: int | None
    changes: Sequence[PlanDifference]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class PlanChange:
    """The plans before and after, and what is told of the change."""

    before: Plan | None
    plan: Plan
    told: ChangedPlan


def change_plan(
    settings: Settings, contracts: Contracts, store: ModelStore, wish: Wish, decision: Decision, progress: ProgressView
) -> PlanChange:
    """Change the newest plan; every model that gets a part must be in the store and hold its checks.

    Raises:
        ConfigurationError: the wish is not clear, or makes no plan.
        ContractError: a model cannot play its part.
        Contested: somebody else changed the plan at the same moment; nothing was written.
    """
    spec, packages = contracts.pipeline, store.packages()
    held = newest(facts_of(settings, contracts))
    before = held.plan if held else None
    plan = arrange(before, wish, spec.name, spec.model.threshold, lambda text: choose(packages, text))
    differing = changes(before, plan)
    if differing:
        features = contracts.channel("features").codec.reader.arrow
        with progress.stage("checking the models") as say:
            admitted(store, packages, before, plan, features, spec.model, lambda title: say(f"checking {title}"))
        if not decision.dry_run:
            plan = _publish(settings, contracts, before, plan, decision)
    written = bool(differing) and not decision.dry_run
    version = plan.version if written else None
    return PlanChange(before, plan, ChangedPlan(spec.name, written, version, differing, _warnings(before, plan)))


def _publish(settings: Settings, contracts: Contracts, before: Plan | None, plan: Plan, decision: Decision) -> Plan:
    """Write the plan, if the newest one is still the one that it was made from."""

    def unchanged(known: Plan | None) -> Plan:
        if known != before:
            newer = "none" if known is None else f"plan {known.version}"
            raise Contested(
                f"{newer} came meanwhile: nothing was written; look at it with `headrace plan show "
                f"{contracts.pipeline.name} --history`, then try again"
            )
        return plan

    channel, name = contracts.channel("plans"), contracts.pipeline.name
    return publish(
        settings.connection, channel, name, unchanged, time=now(), actor=decision.actor, reason=decision.reason
    )


def _warnings(before: Plan | None, plan: Plan) -> list[str]:
    found = []
    if share := moved(before, plan):
        found.append(f"another salt deals the entities anew: about {percent(round(share, 4))} of them change arm")
    known = {arm.place: arm.digest for arm in before.arms} if before else {}
    found += [
        f"{arm.place} was another package before: predictions of both are told apart by their digest alone"
        for arm in plan.arms
        if known.get(arm.place, arm.digest) != arm.digest
    ]
    return found
