"""One input on its way through the rules: the state as far as they have come, and what they decided."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from headrace.domain.control.base import Offsets
from headrace.domain.control.release import ReleaseFinding
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.release.inputs import PersonRequest, ReleaseInput
from headrace.domain.release.next_plan import NextPlan, plan_after
from headrace.domain.release.states import ModelRelease, ReleaseState, Stage


@dataclass(frozen=True, slots=True)
class ReleaseDecision:
    """What was decided, to be told and done in one transaction.

    Attributes:
        event: identity of the control event: the same input makes the same one.
        finding: what it tells.
        cause: identity of the event that led to it; of evidence the matured event at which it was reached.
        time: of that event's record, milliseconds.
        change: of the plan; None where it changes none.
    """

    event: str
    finding: ReleaseFinding
    cause: str
    time: int
    change: NextPlan | None = None


class Fold:
    """The state while one input is taken in.

    Args:
        state: as it was.
        rules: of the pipeline file.
        told: the input; decisions have it as their cause.
    """

    def __init__(self, state: ReleaseState, rules: Release, told: ReleaseInput) -> None:
        self.state, self.rules = state, rules
        self.cause, self.time = told.event, told.time
        self.person, self.reason = (told.person, told.reason) if isinstance(told, PersonRequest) else ("", "")
        self.offsets: Offsets = {}
        self.decisions: list[ReleaseDecision] = []

    def say(
        self,
        kind: type[ReleaseFinding],
        release: ModelRelease,
        rule: str,
        why: str,
        *,
        was: Stage | None = None,
        change: NextPlan | None = None,
        **fields: Any,
    ) -> None:
        """Tell something of a release."""
        finding = kind(
            release=release.identity,
            model=release.candidate.title,
            digest=release.candidate.digest,
            stage=release.stage,
            was=was or release.stage,
            rule=rule,
            why=why,
            person=self.person,
            reason=self.reason,
            at=self.state.clock,
            events=release.events,
            log_harm=max(release.harm, default=None),
            log_safety=min(release.safety, default=None),
            harm_needed=harm_needed(release) if release.alpha else None,
            safety_needed=safety_needed(self.rules) if release.alpha else None,
            plan=None if change is None else change.plan.version,
            offsets=self.offsets,
            **fields,
        )
        event = f"release/{kind.type}/{release.identity}/{self.cause}"
        self.decisions.append(ReleaseDecision(event, finding, self.cause, self.time, change))

    def move(
        self, release: ModelRelease, stage: Stage, kind: type[ReleaseFinding], rule: str, why: str,
        by_hand: bool = False, fields: dict[str, Any] | None = None, **changes: Any,
    ) -> ModelRelease:  # fmt: skip  # what moves and why, then what is told and changed
        """Put a release into another stage, with the plan that it wants there; tell it.

        Args:
            by_hand: somebody changed the plan, which stays as they want it.
            fields: of the finding, beyond those that all have.
            changes: of the release.
        """
        moved = release.moved(stage, since=self.state.clock, **changes)
        plan, change = self.state.plan, None
        if plan is not None and not by_hand and (release.active or moved.active):
            wanted, moved = plan_after(plan, moved)
            change = NextPlan(plan.version, wanted) if wanted.version != plan.version else None
            plan = wanted
        self.state = replace(self.state.with_release(moved), plan=plan)
        self.say(kind, moved, rule, why, was=release.stage, change=change, **(fields or {}))
        return moved


def harm_needed(release: ModelRelease) -> float:
    """The logarithm of the evidence for harm that puts a release back: its alpha is shared out among its baselines.

    Infinite where it was given none: then people and breakers alone put it back.
    """
    return math.log(max(len(release.baselines), 1) / release.alpha) if release.alpha else math.inf


def safety_needed(rules: Release) -> float:
    """The logarithm of the evidence for safety, against every baseline, with which a release goes on."""
    return -math.log(rules.alpha_advance)
