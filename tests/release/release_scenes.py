"""Inputs of releases, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.domain.pipeline.release.spec import Release
from headrace.domain.plans.plans import CHAMPION, Arm, Plan
from headrace.domain.release.fold import ReleaseDecision
from headrace.domain.release.inputs import (
    Asked,
    GateAnswer,
    ModelArrival,
    ModelEvaluation,
    PairedRows,
    PersonRequest,
    PlanSeen,
    ReleaseInput,
    Standing,
)
from headrace.domain.release.machine import decide
from headrace.domain.release.states import Candidate, ModelRelease, ReleaseState, Stage

HOUR = 3_600_000
RULES = Release(
    approvals=1, canary=(0.05, 0.25, 1.0), each=10 * HOUR, deadline=1_000 * HOUR, guard=20 * HOUR, minimum=5,
    false_rollbacks_per_year=1.0, releases_per_year=20,
)  # fmt: skip  # a row of rules
SAFE, HARMFUL = 9.0, 9.0


def package(version: str, asked_by: str = "") -> Candidate:
    """A package of a version; its digest is made of it."""
    return Candidate("m", version, f"digest-{version}", f"store/{version}", asked_by)


def plan_of(version: int, champion: str = "1", *others: Arm) -> Plan:
    """A plan with a champion and others."""
    return Plan("p", version, (package(champion).arm(CHAMPION), *others))


class Scene:
    """A pipeline's releases as inputs come, one after the other; time passes by itself."""

    def __init__(self, rules: Release = RULES) -> None:
        self.rules = rules
        self.state = ReleaseState("p")
        self.told: list[ReleaseInput] = []
        self.said: list[ReleaseDecision] = []
        self.hours = 0
        self.see(plan_of(1))

    def take(self, told: ReleaseInput) -> list[str]:
        """Give an input to the machine; the kinds of what it decided."""
        self.told.append(told)
        self.state, decisions = decide(self.state, told, self.rules)
        self.said += decisions
        return [each.finding.type for each in decisions]

    @property
    def _event(self) -> tuple[str, int]:
        return f"e{len(self.told)}", 1_000 * len(self.told)

    def arrive(self, version: str, asked_by: str = "") -> list[str]:
        """A package is registered."""
        return self.take(ModelArrival(*self._event, package(version, asked_by)))

    def evaluate(self, version: str, *standings: Standing, again: str = "") -> list[str]:
        """It is judged by gates; `again`: when it will be once more."""
        gates = tuple(GateAnswer(f"gate{i}", standing) for i, standing in enumerate(standings))
        return self.take(ModelEvaluation(*self._event, f"digest-{version}", gates, again))

    def ask(self, asked: Asked, person: str, version: str, champion: bool = False) -> list[str]:
        """A person asks."""
        return self.take(PersonRequest(*self._event, asked, person, f"digest-{version}", "because", champion))

    def see(self, plan: Plan, actor: str = "ana") -> list[str]:
        """A plan is on the topic."""
        return self.take(PlanSeen(*self._event, plan, actor))

    def rows(
        self, hours: int, harm: float | Sequence[float] = -1.0, safety: float | Sequence[float] = 0.0
    ) -> list[str]:
        """An event each hour, after which evidence of the active release stands so, by baseline."""
        active = self.state.active
        assert active is not None
        width = len(active.baselines)
        times = (self.hours + 1 + np.arange(hours)) * HOUR
        self.hours += hours
        ids = [f"event-{time // HOUR}" for time in times.tolist()]
        events = active.events + 1 + np.arange(hours)
        both = [np.tile(np.broadcast_to(np.asarray(each, float), (width,)), (hours, 1)) for each in (harm, safety)]
        return self.take(PairedRows(*self._event, active.identity, ids, times.astype(np.int64), events, *both))

    def release(self, version: str) -> ModelRelease:
        """The last one of a version."""
        found = self.state.of_digest(f"digest-{version}")
        assert found is not None
        return found

    def stage(self, version: str) -> Stage:
        """What it is."""
        return self.release(version).stage

    @property
    def arms(self) -> list[tuple[str, str, float]]:
        """Of the plan that holds, by arm, version and share."""
        assert self.state.plan is not None
        return sorted((arm.arm, arm.version, arm.share) for arm in self.state.plan.arms)
