"""The state machine of a pipeline's releases, as a fold: the state and an input make the next state and decisions.

    registered -> evaluated -> shadow -> canary, share by share -> guarded (champion) -> settled

or, on the way, inconclusive (a person has to decide), rejected, rolled back, superseded, withdrawn. Times are told, so
a replay decides alike. A machine goes on only where gates, people and evidence let it, goes back by itself, and touches
nothing that a person holds; a plan that somebody set by hand stays as they set it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from headrace.domain.control.release import (
    ReleaseInconclusive,
    ReleaseRebased,
    ReleaseRejected,
    ReleaseRolledBack,
    ReleaseSuperseded,
    ReleaseWarned,
    ReleaseWithdrawn,
)
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.release.fold import Fold, ReleaseDecision
from headrace.domain.release.inputs import (
    HardBreach,
    ModelArrival,
    ModelEvaluation,
    PairedRows,
    PersonRequest,
    PlanSeen,
    ReleaseInput,
    StreamTime,
)
from headrace.domain.release.next_plan import as_wanted
from headrace.domain.release.progress import take_rows, take_time
from headrace.domain.release.requests import BREAKER, pass_gates, put_out, take_request
from headrace.domain.release.states import ModelRelease, ReleaseState, Stage
from headrace.domain.release.turns import take_turn

KEPT = 100
"""Releases that are over and still remembered."""
REMEMBERED = 1_000
"""Events whose repeats are known."""


def decide(state: ReleaseState, told: ReleaseInput, rules: Release) -> tuple[ReleaseState, tuple[ReleaseDecision, ...]]:
    """Take one input in; the next state, and what was decided, in order.

    Args:
        state: as the inputs before left it; where a decision was not written, so was the state that it came from.
        told: an event that was answered before, by its identity, changes nothing. Rows and stream time are not
            remembered: whoever tells them tells each once.
        rules: the `release` section of the pipeline file. A release keeps the margin and the alpha that it began with.
    """
    fold = Fold(state, rules, told)
    if isinstance(told, PairedRows):
        take_rows(fold, told)
    elif isinstance(told, StreamTime):
        take_time(fold, told.clock)
        take_turn(fold)
    elif told.event not in state.handled:
        _take(fold, told)
        fold.state = replace(fold.state, handled=(*fold.state.handled, told.event)[-REMEMBERED:])
    return replace(fold.state, releases=_remembered(fold.state.releases)), tuple(fold.decisions)


def _take(fold: Fold, told: ReleaseInput) -> None:
    if isinstance(told, ModelArrival):
        _arrive(fold, told)
    elif isinstance(told, ModelEvaluation):
        _evaluate(fold, told)
    elif isinstance(told, PersonRequest):
        take_request(fold, told)
    elif isinstance(told, HardBreach):
        _break(fold, told)
    elif isinstance(told, PlanSeen):
        _see_plan(fold, told)
    else:
        raise TypeError(f"{type(told).__name__} is no input of a release")


def _arrive(fold: Fold, told: ModelArrival) -> None:
    """A package comes, or comes again after its release is over."""
    known = fold.state.of_digest(told.candidate.digest)
    if known is None or known.ended:
        number = fold.state.numbers + 1
        plan = fold.state.plan.version if fold.state.plan is not None else 0
        release = ModelRelease(number, told.candidate, since=fold.state.clock, plan=plan)
        fold.state = replace(fold.state, numbers=number, releases=(*fold.state.releases, release))


def _evaluate(fold: Fold, told: ModelEvaluation) -> None:
    """Gates are answered; a later evaluation counts as long as the release has not started."""
    release = fold.state.of_digest(told.digest)
    if release is None or not release.waits:
        return
    failed = [each for each in told.gates if each.standing == "failed"]
    unknown = [each for each in told.gates if each.standing == "unknown"]
    names = ", ".join(each.gate for each in failed or unknown)
    gates = json.dumps([asdict(each) for each in failed or unknown])
    if failed:
        fold.move(release, Stage.REJECTED, ReleaseRejected, "gates", f"not passed: {names}", fields={"gates": gates})
    elif release.stage is Stage.EVALUATED:
        return  # it waits for people or its turn already
    elif unknown:
        then = told.again or "it is not judged again by itself"
        why = f"not known: {names}; {then}; a person may let it go on (`headrace models promote`)"
        waits = replace(release, unknown=tuple(each.gate for each in unknown))
        fold.state = fold.state.with_release(waits)
        if waits.unknown != release.unknown or not told.again:  # People are told once, and when nobody looks any more.
            fold.say(ReleaseInconclusive, waits, "gates", why, gates=gates)
    else:
        pass_gates(fold, release, "gates are passed")


def _break(fold: Fold, told: HardBreach) -> None:
    """A model broke. What it did under a plan of before its release came, or started, was another release's."""
    release = fold.state.of_digest(told.digest)
    if release is None or release.ended or 0 < told.plan < release.plan:
        return
    why = f"{told.breaker}: {told.detail}"
    if release.held:
        fold.state = fold.state.with_release(replace(release, broken=release.broken or why))
        instead = ReleaseRolledBack.type if release.active else ReleaseRejected.type
        fold.say(
            ReleaseWarned, release, BREAKER, f"{why}; {release.held} holds it, so nothing is done", instead=instead
        )
    else:
        put_out(fold, release, why)


def _see_plan(fold: Fold, told: PlanSeen) -> None:
    """A plan: our own one is known already; one of somebody else ends the release, or the release goes on upon it."""
    before, plan = fold.state.plan, told.plan
    if before is not None and plan.version <= before.version:
        return
    fold.state = replace(fold.state, plan=plan)
    if before is None or plan.champion.digest != before.champion.digest:
        fold.state = replace(fold.state, approved=plan.champion)  # whoever writes a plan by hand approves of it
    release = fold.state.active
    if release is not None:
        _follow(fold, release, told)
    take_turn(fold)


def _follow(fold: Fold, release: ModelRelease, told: PlanSeen) -> None:
    by = f"{told.actor} wrote plan {told.plan.version} by hand" + (f" ({told.reason})" if told.reason else "")
    champion = told.plan.champion
    answers = release.candidate if release.stage is Stage.GUARDED else release.champion
    if as_wanted(told.plan, release):
        fold.say(ReleaseRebased, release, "plan", f"{by}: the release goes on upon it")
    elif answers is None or champion.digest == answers.digest:
        fold.move(
            release, Stage.WITHDRAWN, ReleaseWithdrawn, "plan", f"{by}, not as the release needs it", by_hand=True
        )
    elif champion.digest == release.candidate.digest:
        fold.move(release, Stage.WITHDRAWN, ReleaseWithdrawn, "plan", f"{by}, with it as champion", by_hand=True)
    else:
        fold.move(
            release, Stage.SUPERSEDED, ReleaseSuperseded, "plan", f"{by}: {champion.title} is the champion",
            by_hand=True, fields={"by": champion.digest},
        )  # fmt: skip  # a sentence


def _remembered(releases: tuple[ModelRelease, ...]) -> tuple[ModelRelease, ...]:
    ended = [each.number for each in releases if each.ended][:-KEPT]
    return tuple(each for each in releases if each.number not in ended) if ended else releases
