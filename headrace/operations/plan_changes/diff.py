"""What differs between two plans, in words."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.domain.models.ensembles import WEIGHTED
from headrace.domain.plans.plans import CANARY, CHAMPION, SINGLE, Arm, Plan
from headrace.operations.plan_changes.lookup import percent, short


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """What differs between two plans: `sign` is +, - or ~; values before and after are None for none."""

    sign: str
    what: str
    before: str | None
    after: str | None


def changes(before: Plan | None, after: Plan) -> list[PlanDifference]:
    """What differs between two plans."""
    old, new = _facts(before), _facts(after)
    found = []
    for what in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(what), new.get(what)
        if was != now:
            sign = "+" if was is None else "-" if now is None else "~"
            found.append(PlanDifference(sign, what, was, now))
    return found


def moved(before: Plan | None, after: Plan) -> float:
    """Share of the entities that meet another arm because the salt is another one; 0 to 1.

    With a share of s before and t after, independently drawn: s (1 - t) + t (1 - s).
    """
    if before is None or (before.salt or before.pipeline) == (after.salt or after.pipeline):
        return 0.0
    s, t = (plan.canary.share if plan.canary else 0.0 for plan in (before, after))
    return s * (1 - t) + t * (1 - s)


def _facts(plan: Plan | None) -> dict[str, str]:
    """What a plan says, in words, by what it says it of."""
    if plan is None:
        return {}
    found = {}
    for arm in plan.arms:
        where = arm.arm if arm.arm in (CHAMPION, CANARY) else f"{arm.arm} {arm.title}"
        found[where] = identity(arm)
        if arm.arm == CANARY:
            found["canary's share"] = percent(arm.share)
        if arm.threshold is not None:
            found[f"threshold of {where}"] = f"{arm.threshold:g}"
        if arm.priority:
            found[f"priority of {where}"] = str(arm.priority)
    return {**found, "salt": plan.salt or f"{plan.pipeline} (the pipeline's name)"}


def identity(arm: Arm) -> str:
    """What an arm is made of, in words.

    >>> identity(Arm("champion", "m", "2", "sha256:00112233", "file:///m"))
    'm@2 (00112233)'
    """
    named = f"{arm.title} ({short(arm.digest)})"
    if arm.combination == SINGLE:
        return named
    weighted = arm.combination == WEIGHTED
    members = ", ".join(f"{m.weight:g} {m.title}" if weighted else m.title for m in arm.members)
    return f"{named}, {arm.combination} of {members}"
