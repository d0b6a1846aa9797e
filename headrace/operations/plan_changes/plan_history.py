"""The plan that holds, the ones before it, and what was written and makes none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plan_log import PlanFact, newest
from headrace.domain.plans.plans import Arm, Plan
from headrace.operations.plan_changes.diff import PlanDifference, changes
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.time_spans import iso
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class PlanDecision:
    """A plan as it was decided; see `domain.plans.plans.Plan`. `time` is in ISO 8601."""

    pipeline: str
    plan_version: int
    arms: Sequence[Arm]
    salt: str
    time: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class RefusedPlan:
    """A fact that makes no plan, and why; see `domain.plans.plan_log.PlanFact`. `time` is in ISO 8601."""

    plan_version: int
    actor: str
    reason: str
    time: str
    fault: str | None


@dataclass(frozen=True, slots=True)
class PlanReport:
    """The newest plan, None where there is none, and what was written since then and makes none."""

    pipeline: str
    plan: PlanDecision | None
    refused: Sequence[RefusedPlan]


@dataclass(frozen=True, slots=True)
class PlanHistoryReport(PlanReport):
    """With every fact that the topic still has, oldest first."""

    history: Sequence[PlanDecision | RefusedPlan]


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A fact and what it changed; nothing where it makes no plan."""

    fact: PlanFact
    changes: Sequence[PlanDifference]


@dataclass(frozen=True, slots=True)
class PlanHistory:
    """All facts of a pipeline's plans topic, oldest first."""

    pipeline: str
    facts: Sequence[PlanFact]

    @property
    def held(self) -> PlanFact | None:
        """The fact that holds; None where none makes a plan."""
        return newest(self.facts)

    @property
    def refused(self) -> list[PlanFact]:
        """What was written since the newest plan and makes none: services go on with that plan."""
        held = self.held
        return [fact for fact in self.facts if fact.plan is None and (held is None or fact.offset > held.offset)]

    def steps(self) -> Iterator[PlanStep]:
        """Every fact with what it changed of the plan before it."""
        before: Plan | None = None
        for fact in self.facts:
            yield PlanStep(fact, [] if fact.plan is None else changes(before, fact.plan))
            before = fact.plan or before

    def report(self, whole: bool) -> PlanReport:
        """The same as values to be told; `whole`: with the history."""
        held = self.held
        plan = None if held is None or held.plan is None else _decision(held, held.plan)
        refused = [_refusal(fact) for fact in self.refused]
        if not whole:
            return PlanReport(self.pipeline, plan, refused)
        facts = [_refusal(fact) if fact.plan is None else _decision(fact, fact.plan) for fact in self.facts]
        return PlanHistoryReport(self.pipeline, plan, refused, facts)


def plan_history(settings: Settings, contracts: Contracts) -> PlanHistory:
    """What the pipeline's plans topic still has: it is compacted, so older plans go in time.

    Raises:
        Transient: Kafka does not answer.
    """
    return PlanHistory(contracts.pipeline.name, facts_of(settings, contracts))


def _decision(fact: PlanFact, plan: Plan) -> PlanDecision:
    return PlanDecision(plan.pipeline, plan.version, plan.arms, plan.salt, iso(fact.time), fact.actor, fact.reason)


def _refusal(fact: PlanFact) -> RefusedPlan:
    return RefusedPlan(fact.version, fact.actor, fact.reason, iso(fact.time), fact.fault)
