"""Whose turn it is: one release at a time, the newest that is ready, within the year's budget of false roll-backs.

What runs goes on: a newer model waits, as one that supersedes would let nothing through where models are trained more
often than they can be released. Among those that wait the newest that is ready supersedes the older ones. A release
that evidence did not decide, and that is still in the dark, gives its place to it too.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from headrace.domain.control.release import (
    ReleaseQueued,
    ReleaseStarted,
    ReleaseSuperseded,
    ReleaseWithdrawn,
)
from headrace.domain.pipeline.release.spec import DAY, Release
from headrace.domain.plans.plans import Plan
from headrace.domain.release.fold import Fold
from headrace.domain.release.states import ModelRelease, ReleaseState, Spending, Stage
from headrace.streaming.watermarks.event_time import LATEST

YEAR = 365 * DAY
ROUNDED = 1e-9
"""Relative: sums of equal parts may exceed the whole by this."""


def ready(release: ModelRelease, rules: Release) -> bool:
    """Whether gates are passed and as many people approved as have to."""
    return release.stage is Stage.EVALUATED and len(release.approvals) >= rules.approvals


def take_turn(fold: Fold) -> None:
    """Start the newest release that is ready, where nothing keeps it; else tell why it waits, once."""
    fold.state = replace(fold.state, spent=_this_year(fold.state))
    for release in fold.state.releases:
        if release.waits and fold.state.plan is not None and _answers(fold.state.plan, release):
            fold.move(
                release, Stage.WITHDRAWN, ReleaseWithdrawn, "plan",
                f"plan {fold.state.plan.version} has it as the champion already",
            )  # fmt: skip  # a sentence
    turn = next((r for r in reversed(fold.state.releases) if ready(r, fold.rules) and not r.held), None)
    if turn is None:
        return
    _supersede(fold, turn)
    why = obstacle(fold.state) or budget(fold.state, fold.rules)
    if not why:
        start(fold, turn, fold.rules.alpha)
    elif why != turn.queued:
        queued = replace(turn, queued=why)
        fold.state = fold.state.with_release(queued)
        fold.say(ReleaseQueued, queued, "turn", why)


def start(fold: Fold, release: ModelRelease, alpha: float, why: str = "") -> ModelRelease:
    """Let a release begin against the champion of now, and give it its part of the year's false roll-backs."""
    state, rules = fold.state, fold.rules
    assert state.plan is not None, "an obstacle to whoever starts"
    champion, approved = state.plan.champion, state.approved
    if approved is not None and approved.digest in (champion.digest, release.candidate.digest):
        approved = None
    if alpha:
        fold.state = replace(state, spent=(*state.spent, Spending(state.clock, alpha, release.number)))
    told = {"champion": champion.digest, "approved": approved.digest if approved else "", "alpha": f"{alpha:.6g}"}
    begun = replace(
        release, queued="", alpha=alpha, champion=champion, approved=approved, began=state.clock,
        margin_share=rules.margin_share, margin_offset=rules.margin_offset,
    )  # fmt: skip  # what holds for it until it ends
    why = why or f"scored in the dark beside {champion.title}; alpha {alpha:.3g} of a year's {_of(rules)}"
    fold.state = fold.state.with_release(begun)
    moved = fold.move(begun, Stage.SHADOW, ReleaseStarted, "turn", why, fields=told)
    assert fold.state.plan is not None
    started = replace(moved, plan=fold.state.plan.version)
    fold.state = fold.state.with_release(started)
    return started


def obstacle(state: ReleaseState) -> str:
    """Why a release cannot start, but for the budget; empty where it can."""
    active = state.active
    if active is not None:
        return f"{active.candidate.title} is {active.stage}: one release at a time"
    if state.plan is None:
        return "there is no plan yet, so no champion to be held against: write one with `headrace plan set`"
    canary = state.plan.canary
    if canary is not None:
        return f"plan {state.plan.version} has a canary that somebody put there, {canary.title}: take it out"
    return ""


def _supersede(fold: Fold, turn: ModelRelease) -> None:
    """End what is older than the release whose turn it is and has not begun, or was not decided and is in the dark."""
    why = f"{turn.candidate.title} is newer and ready"
    for release in fold.state.releases:
        stuck = release.stage is Stage.INCONCLUSIVE and not release.share
        if release.number < turn.number and (release.waits or stuck) and not release.held:
            fold.move(release, Stage.SUPERSEDED, ReleaseSuperseded, "turn", why, fields={"by": turn.candidate.digest})


def _this_year(state: ReleaseState) -> tuple[Spending, ...]:
    return tuple(each for each in state.spent if each.at > state.clock - YEAR)


def budget(state: ReleaseState, rules: Release) -> str:
    """Why the year's budget has no part left for another release; empty where it has."""
    spent = sum(each.alpha for each in state.spent)
    if spent + rules.alpha <= rules.false_rollbacks_per_year * (1 + ROUNDED):
        return ""
    at = datetime.fromtimestamp(min(state.spent[0].at + YEAR, LATEST) / 1000, UTC)
    free = f"on {at:%Y-%m-%d} (event time)" if state.clock else "a year after the first events mature"
    return (
        f"releases of the last 365 days used up the year's {_of(rules)}: the next part is free {free}; until then "
        "`headrace models promote` starts one that evidence of harm cannot put back"
    )


def _of(rules: Release) -> str:
    return f"{rules.false_rollbacks_per_year:g} false roll-backs"


def _answers(plan: Plan, release: ModelRelease) -> bool:
    return plan.champion.digest == release.candidate.digest
