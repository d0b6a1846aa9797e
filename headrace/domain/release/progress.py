"""How far evidence and stream time bring a release: back as soon as there is harm, on where nothing stands against it.

What happens follows from the matured events one after the other, so it is the same however they are cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headrace.domain.control.release import (
    ReleaseAdvanced,
    ReleaseFinding,
    ReleaseInconclusive,
    ReleasePromoted,
    ReleaseRolledBack,
    ReleaseSettled,
    ReleaseWarned,
)
from headrace.domain.pipeline import units
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.release.fold import Fold, harm_needed, safety_needed
from headrace.domain.release.inputs import Floats, PairedRows
from headrace.domain.release.states import ModelRelease, Stage
from headrace.domain.release.turns import take_turn

Rows = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
HARMED, ADVANCED, DUE, SETTLED = "harm", "safety", "deadline", "guard"


@dataclass(frozen=True, slots=True)
class _Trace:
    """The rows of one release that are not taken in yet, with what was reached after each of them."""

    times: Ints
    events: Ints
    most_harm: Floats
    most_safety: Floats


def take_rows(fold: Fold, rows: PairedRows) -> None:
    """Take matured events in, in their order, and decide after each."""
    low = 0
    while low < len(rows.times):
        if not fold.state.clock:
            fold.state = fold.state.at(int(rows.times[low]))
        release = fold.state.active
        if release is None or release.identity != rows.release:
            return
        high = len(rows.times)
        if not release.events and rows.events[low]:
            release = replace(release, since=max(release.since, int(rows.times[low])), began=int(rows.times[low]))
        elif not release.events:  # time runs anew from its first pair on
            paired = np.flatnonzero(rows.events[low:])
            high = low + int(paired[0]) if len(paired) else high
        trace = _trace(release, rows, low, high)
        hits = _hits(fold, release, trace)
        last = min((int(np.argmax(hit)) for hit in hits.values() if hit.any()), default=len(trace.times) - 1)
        folded = replace(
            release,
            events=int(trace.events[last]),
            harm=tuple(rows.harm[low + last].tolist()),
            safety=tuple(rows.safety[low + last].tolist()),
            most_harm=tuple(trace.most_harm[last].tolist()),
            most_safety=tuple(trace.most_safety[last].tolist()),
        )
        fold.state = fold.state.with_release(folded).at(int(trace.times[last]))
        rule = next((name for name, hit in hits.items() if hit[last]), None)
        if rule is not None:
            fold.cause = rows.ids[low + last]
            fold.offsets = rows.offsets[low + last] if rows.offsets else {}
            _act(fold, folded, rule)
        low += last + 1


def take_time(fold: Fold, clock: int) -> None:
    """Stream time has come to `clock`."""
    fold.state = fold.state.at(clock)
    review(fold)


def review(fold: Fold) -> None:
    """Decide on what is known, without a further event."""
    release = fold.state.active
    if release is None:
        return
    width = len(release.baselines)
    reached = [np.array([each or (-np.inf,) * width]) for each in (release.most_harm, release.most_safety)]
    trace = _Trace(np.array([fold.state.clock]), np.array([release.events]), *reached)
    hits = _hits(fold, release, trace)
    rule = next((name for name, hit in hits.items() if hit[0]), None)
    if rule is not None:
        _act(fold, release, rule)


def _trace(release: ModelRelease, rows: PairedRows, low: int, high: int) -> _Trace:
    harm = rows.harm if rows.most_harm is None else rows.most_harm
    safety = rows.safety if rows.most_safety is None else rows.most_safety
    before = [np.array(each or (-np.inf,) * harm.shape[1]) for each in (release.most_harm, release.most_safety)]
    now = (harm[low:high], safety[low:high])
    most = [np.maximum(np.maximum.accumulate(new), was) for new, was in zip(now, before, strict=True)]
    return _Trace(rows.times[low:high], rows.events[low:high], *most)


def _safe(fold: Fold, events: Ints, most: Floats) -> Rows:
    found: Rows = (most >= safety_needed(fold.rules)).all(axis=1) & (events >= fold.rules.minimum)
    return found


def _hits(fold: Fold, release: ModelRelease, trace: _Trace) -> dict[str, Rows]:
    """After each row, which rules would act; of several the first one does."""
    rules, nothing = fold.rules, np.zeros(len(trace.times), np.bool_)
    harm: Rows = np.any(trace.most_harm >= harm_needed(release), axis=1)
    if release.held:
        return {HARMED: nothing if ReleaseRolledBack.type in release.warned else harm}
    safe = _safe(fold, trace.events, trace.most_safety)
    if release.stage is Stage.GUARDED:
        # Events of now, which the new champion answers, mature so much later.
        return {HARMED: harm, SETTLED: trace.times >= release.since + rules.matures_after + rules.guard}
    if release.stage is Stage.INCONCLUSIVE:
        return {HARMED: harm}
    # Of a share so much has to mature: evidence of what came before it alone lets nobody go on.
    least = _share_lasts(rules) if release.share else max(rules.each, rules.shadow)
    return {
        HARMED: harm,
        ADVANCED: safe & (trace.times >= release.since + least),
        DUE: ~safe & (trace.times >= release.began + rules.deadline),
    }


def _share_lasts(rules: Release) -> int:
    """How much stream time a share takes, milliseconds: `each` of what it answered is mature then."""
    return rules.matures_after + rules.each if rules.each else 0


def _act(fold: Fold, release: ModelRelease, rule: str) -> None:
    if release.held:
        warned = replace(release, warned=(*release.warned, ReleaseRolledBack.type))
        fold.state = fold.state.with_release(warned)
        why = f"{_harm(release)}; {release.held} holds it, so nothing is done"
        fold.say(ReleaseWarned, warned, rule, why, instead=ReleaseRolledBack.type)
    elif rule == HARMED:
        roll_back(fold, release, rule, _harm(release))
    elif rule == SETTLED:
        fold.move(
            release, Stage.SETTLED, ReleaseSettled, rule, f"no harm in {units.duration(fold.rules.guard)} of its events"
        )
        take_turn(fold)
    elif rule == ADVANCED:
        go_on(fold, release, rule, _safety(fold, release))
    else:
        why = f"after {units.duration(fold.rules.deadline)} and {release.events:,} events {_open(fold, release)}"
        fold.move(release, Stage.INCONCLUSIVE, ReleaseInconclusive, rule, f"{why}: a person has to decide")
        take_turn(fold)


def go_on(fold: Fold, release: ModelRelease, rule: str, why: str, champion: bool = False) -> None:
    """To the next share, or at the last one, or where `champion` says so, to champion."""
    share = next((each for each in fold.rules.canary if each > release.share), 1.0)
    if champion or share >= 1:
        promote(fold, release, rule, why)
    else:
        told = {"share": f"{100 * share:g}%"}
        why = f"{why}: it answers {told['share']} of the entities"
        fold.move(release, Stage.CANARY, ReleaseAdvanced, rule, why, fields=told, share=share)


def promote(fold: Fold, release: ModelRelease, rule: str, why: str) -> None:
    """Make it the champion; it is approved where a person approved it or asked for this."""
    old = release.champion
    assert old is not None, "an active release has one"
    promoted = fold.move(
        release, Stage.GUARDED, ReleasePromoted, rule, f"{why}: champion instead of {old.title}",
        fields={"champion": old.digest}, share=1.0,
    )  # fmt: skip  # a sentence
    if (promoted.approvals or fold.person) and fold.state.plan is not None:
        fold.state = replace(fold.state, approved=fold.state.plan.champion)


def roll_back(fold: Fold, release: ModelRelease, rule: str, why: str) -> None:
    """Put it back: the champion that it was held against answers alone."""
    champion = release.champion
    assert champion is not None, "an active release has one"
    kind: type[ReleaseFinding] = ReleaseRolledBack
    fold.move(
        release, Stage.ROLLED_BACK, kind, rule, f"{why}: {champion.title} answers",
        fields={"champion": champion.digest}, share=0.0,
    )  # fmt: skip  # a sentence
    if release.stage is Stage.GUARDED:
        fold.state = replace(fold.state, approved=release.approved or champion)
    take_turn(fold)


def _harm(release: ModelRelease) -> str:
    worst = max(zip(release.most_harm, release.baselines, strict=True), key=lambda each: each[0])
    return (
        f"worse than {worst[1].title} by more than the margin: evidence e^{worst[0]:.2f} of "
        f"e^{harm_needed(release):.2f} after {release.events:,} events"
    )


def _safety(fold: Fold, release: ModelRelease) -> str:
    names = " and ".join(arm.title for arm in release.baselines)
    return (
        f"not worse than {names} by more than the margin: evidence e^{min(release.most_safety):.2f} of "
        f"e^{safety_needed(fold.rules):.2f} after {release.events:,} events"
    )


def _open(fold: Fold, release: ModelRelease) -> str:
    if release.events < fold.rules.minimum:
        return f"fewer than {fold.rules.minimum:,} are there"
    return f"evidence for safety is e^{min(release.most_safety, default=0.0):.2f} of e^{safety_needed(fold.rules):.2f}"
