"""The plan that a release wants: arms of its own are added and taken away, all others stay as people put them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headrace.domain.plans.plans import CANARY, CHALLENGER, CHAMPION, Arm, Plan
from headrace.domain.release.states import ModelRelease, Stage


@dataclass(frozen=True, slots=True)
class NextPlan:
    """A plan to be written while the newest one is still of version `expected`."""

    expected: int
    plan: Plan


def wanted(release: ModelRelease) -> tuple[Arm, ...]:
    """The arms that a release needs in its stage, but for the champion's.

    In the dark the candidate is a challenger, and so is the last model that a person approved, where it is not the
    champion. In a canary the champion is one too, so that all of them score every event. Guarded, the old champion is.
    """
    if not release.active or release.champion is None:
        return ()
    others = () if release.approved is None else (_dark(release.approved),)
    if release.stage is Stage.GUARDED:
        return (_dark(release.champion), *others)
    own = release.candidate.arm(CHALLENGER)
    if not release.share:
        return (own, *others)
    return (release.candidate.arm(CANARY, release.share), own, _dark(release.champion), *others)


def plan_after(plan: Plan, release: ModelRelease) -> tuple[Plan, ModelRelease]:
    """The plan that follows and has what `release` wants, and the release with the arms that are there for its sake.

    An arm that somebody else put there already is used and not taken away again. Without anything to change the plan
    is the same one, with its version.
    """
    own = set(release.added)
    kept = [arm for arm in plan.arms if (arm.arm, arm.digest) not in own]
    kept = _answered_by(kept, release)
    there = {(arm.arm, arm.digest) for arm in kept}
    held = {_place(arm): arm for arm in plan.arms}
    new = [held.get(_place(arm), arm) for arm in wanted(release) if (arm.arm, arm.digest) not in there]
    added = tuple((arm.arm, arm.digest) for arm in new)
    arms = (*kept, *new)
    changed = plan if set(arms) == set(plan.arms) else replace(plan, version=plan.version + 1, arms=arms)
    return changed, replace(release, added=added)


def as_wanted(plan: Plan, release: ModelRelease) -> bool:
    """Whether a plan still has the release's champion, all arms that it wants, and no canary in its way."""
    if plan.canary is not None and not release.share:
        return False
    arms = {_place(arm) for arm in plan.arms}
    champion = release.candidate.digest if release.stage is Stage.GUARDED else _digest(release.champion)
    return plan.champion.digest == champion and all(_place(arm) in arms for arm in wanted(release))


def _answered_by(arms: list[Arm], release: ModelRelease) -> list[Arm]:
    """Arms with the champion that a release's stage has: the candidate while guarded, else who was it before."""
    answers = None
    if release.stage is Stage.GUARDED:
        answers = release.candidate.arm(CHAMPION)
    elif release.stage is Stage.ROLLED_BACK:
        answers = release.champion
    if answers is None:
        return arms
    return [answers if arm.arm == CHAMPION and arm.digest != answers.digest else arm for arm in arms]


def _dark(arm: Arm) -> Arm:
    return replace(arm, arm=CHALLENGER, share=1.0)


def _place(arm: Arm) -> tuple[str, str, float]:
    return arm.arm, arm.digest, arm.share if arm.arm == CANARY else 1.0


def _digest(arm: Arm | None) -> str:
    return "" if arm is None else arm.digest
