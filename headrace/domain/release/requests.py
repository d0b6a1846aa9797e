"""What people ask: each request is met, or refused with the reason. Who asks needs the role, where roles are given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from headrace.domain.control.release import (
    ApprovalDenied,
    ApprovalGiven,
    ApprovalRequested,
    HoldAsked,
    PromotionAsked,
    ReleaseHeld,
    ReleaseRefused,
    ReleaseRejected,
    RollbackAsked,
)
from headrace.domain.release.fold import Fold
from headrace.domain.release.inputs import Asked, PersonRequest
from headrace.domain.release.progress import go_on, review, roll_back
from headrace.domain.release.states import Candidate, ModelRelease, Stage
from headrace.domain.release.turns import budget, obstacle, ready, start, take_turn

ROLE: Mapping[Asked, str] = {
    "approve": "approve", "deny": "approve", "promote": "promote", "rollback": "rollback", "hold": "hold",
    "lift": "hold",
}  # fmt: skip  # a row of words
KIND: Mapping[Asked, str] = {
    "approve": ApprovalGiven.type, "deny": ApprovalDenied.type, "promote": PromotionAsked.type,
    "rollback": RollbackAsked.type, "hold": HoldAsked.type, "lift": HoldAsked.type,
}  # fmt: skip  # a row of words
BREAKER = "breaker"
AGAIN = "it is over: a model comes again when its package is registered anew, as another release"


def take_request(fold: Fold, told: PersonRequest) -> None:
    """Do what a person asks, or say why not."""
    release = fold.state.of_digest(told.digest)
    if release is None:
        name, _, version = told.model.rpartition("@")
        unknown = ModelRelease(0, Candidate(name, version, told.digest, ""))
        _refuse(fold, unknown, told, "no package with this digest was registered: see `headrace models list`")
        return
    why = _forbidden(fold, told) or (_over(release, told) if release.ended else "")
    if why := why or _HANDLERS[told.asked](fold, release, told):
        _refuse(fold, release, told, why)


def pass_gates(fold: Fold, release: ModelRelease, why: str) -> None:
    """Its gates are behind it: people have to approve, or it is ready."""
    passed = release.moved(Stage.EVALUATED, since=fold.state.clock, unknown=())
    fold.state = fold.state.with_release(passed)
    if fold.rules.approvals:
        ask_for_approvals(fold, passed, why)
    take_turn(fold)


def put_out(fold: Fold, release: ModelRelease, why: str) -> None:
    """It broke: roll it back, or reject it where it has not started."""
    if release.active:
        roll_back(fold, release, BREAKER, why)
    else:
        fold.move(release, Stage.REJECTED, ReleaseRejected, BREAKER, why)
        take_turn(fold)


def ask_for_approvals(fold: Fold, release: ModelRelease, why: str) -> None:
    """Tell that people have to approve, and why now."""
    missing = fold.rules.approvals - len(release.approvals)
    who = f"{missing} people" if missing > 1 else "another person" if release.approvals else "a person"
    names = fold.rules.people.get("approve", ())
    among = f" of {', '.join(names)}" if names else ""
    fold.say(
        ApprovalRequested, release, "approvals", f"{why}: {who}{among} {'has' if missing == 1 else 'have'} to approve",
        missing=missing, approved=json.dumps(list(release.approvals)),
    )  # fmt: skip  # a sentence


def _forbidden(fold: Fold, told: PersonRequest) -> str:
    role, names = ROLE[told.asked], fold.rules.people.get(ROLE[told.asked], ())
    if not told.person:
        return "it has no name: whoever asks says who they are"
    if not fold.rules.may(told.person, role):
        return f"{told.person} is not among those who may {role}: {', '.join(names) or 'nobody'}"
    return "" if told.reason.strip() else "it has no reason: say why in a sentence"


def _over(release: ModelRelease, told: PersonRequest) -> str:
    if release.stage is Stage.SETTLED and told.asked == "rollback":
        return "its guard is over, and nothing is known of who could answer instead: name one with `headrace plan set`"
    return f"it is {release.stage}; {AGAIN}"


def _refuse(fold: Fold, release: ModelRelease, told: PersonRequest, why: str) -> None:
    fold.say(ReleaseRefused, release, "refusal", why, asked=KIND[told.asked])


def _approve(fold: Fold, release: ModelRelease, told: PersonRequest) -> str:
    if release.stage is Stage.REGISTERED:
        return "its gates are not passed yet: approve it when they are"
    if release.stage is not Stage.EVALUATED or ready(release, fold.rules):
        return "it needs no approval any more"
    if told.person in release.approvals:
        return f"{told.person} approved it already: it needs another person"
    if fold.rules.approvals > 1 and told.person == release.candidate.asked_by:
        return f"{told.person} asked for this model: where {fold.rules.approvals} people approve, others have to"
    approved = replace(release, approvals=(*release.approvals, told.person))
    fold.state = fold.state.with_release(approved)
    if ready(approved, fold.rules):
        take_turn(fold)
        if approved.held:
            fold.say(ReleaseHeld, approved, "hold", f"approved; {approved.held} holds it", held=1)
    else:
        ask_for_approvals(fold, approved, f"{told.person} approved it")
    return ""


def _deny(fold: Fold, release: ModelRelease, told: PersonRequest) -> str:
    if not release.waits:
        return f"it is {release.stage} already: `headrace models rollback` puts it back"
    fold.move(release, Stage.REJECTED, ReleaseRejected, "denial", f"{told.person} denied it: {told.reason}")
    take_turn(fold)
    return ""


def _promote(fold: Fold, release: ModelRelease, told: PersonRequest) -> str:
    if release.stage is Stage.REGISTERED:
        if not release.unknown:
            return "its gates were not answered yet: wait for its evaluation"
        over = ", ".join(release.unknown)
        pass_gates(fold, release, f"{told.person} let it go on though {over} is not known: {told.reason}")
        return ""
    if release.stage is Stage.GUARDED:
        return "it is the champion already"
    why = f"{told.person} asked for it: {told.reason}"
    if release.active:
        go_on(fold, release, "person", why, champion=told.champion)
        return ""
    if not ready(release, fold.rules):
        return f"{fold.rules.approvals - len(release.approvals)} more must approve it first"
    if blocked := obstacle(fold.state):
        return blocked
    spent = bool(budget(fold.state, fold.rules))
    without = "; the year's budget is used up, so evidence of harm cannot put it back, only people and breakers can"
    begun = start(fold, release, 0.0 if spent else fold.rules.alpha, why + (without if spent else ""))
    if told.champion:
        go_on(fold, begun, "person", why, champion=True)
    return ""


def _rollback(fold: Fold, release: ModelRelease, told: PersonRequest) -> str:
    if release.waits:
        return f"it is {release.stage} and answers nothing: `headrace models deny` rejects it"
    roll_back(fold, release, "person", f"{told.person} asked for it: {told.reason}")
    return ""


def _hold(fold: Fold, release: ModelRelease, told: PersonRequest) -> str:
    if release.held:
        return f"{release.held} holds it already"
    held = replace(release, held=told.person, warned=())
    fold.state = fold.state.with_release(held)
    fold.say(ReleaseHeld, held, "person", f"no machine moves it until somebody lifts this: {told.reason}", held=1)
    return ""


def _lift(fold: Fold, release: ModelRelease, told: PersonRequest) -> str:
    if not release.held:
        return "nobody holds it"
    free = replace(release, held="", warned=())
    fold.state = fold.state.with_release(free)
    fold.say(ReleaseHeld, free, "person", f"machines may move it again: {told.reason}", held=0)
    if free.broken:
        put_out(fold, free, free.broken)
        return ""
    if free.active:
        review(fold)
    take_turn(fold)
    return ""


_HANDLERS: Mapping[Asked, Callable[[Fold, ModelRelease, PersonRequest], str]] = {
    "approve": _approve, "deny": _deny, "promote": _promote, "rollback": _rollback, "hold": _hold, "lift": _lift,
}  # fmt: skip  # a row of words
