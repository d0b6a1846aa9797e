"""Whole releases of made-up models, through the machine: how often it is wrong, how soon it puts harm back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from headrace.domain.pipeline.release.spec import DAY, Release
from headrace.domain.plans.plans import CHAMPION, Plan
from headrace.domain.release.inputs import ModelArrival, ModelEvaluation, PairedRows, PlanSeen, ReleaseInput
from headrace.domain.release.machine import decide
from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import Floats
from headrace.domain.release.states import Candidate, ReleaseState
from loadtests.drift.figures import markdown
from loadtests.release.rollouts import (
    DAILY,
    DAYS,
    HARMFUL,
    STRIKES,
    daily_z_test,
    promoted_trace,
    struck,
    trace,
    upper_bound,
)
from loadtests.release.simulated_pairs import beyond, models

RULES = Release(
    approvals=0, canary=(0.05, 0.25, 1.0), each=DAY, guard=10 * DAY, deadline=1_000 * DAY, margin_share=0.05,
    alpha_advance=0.05, false_rollbacks_per_year=1.0, releases_per_year=20,
)  # fmt: skip  # alpha is 0.05 on both sides
EVERY = DAY // DAILY
HARMFUL_RUNS = 400


@dataclass(frozen=True, slots=True)
class RolloutOutcome:
    """What became of a release.

    Attributes:
        champion: whether it ever was; None, or after how many events.
        rolled_back: after how many events; None: never.
    """

    champion: int | None
    rolled_back: int | None


@cache
def begun() -> ReleaseState:
    """A candidate in the dark beside a champion."""
    champion, candidate = (Candidate("m", each, f"digest-{each}", "") for each in ("1", "2"))
    told: Sequence[ReleaseInput] = (
        PlanSeen("plan", 0, Plan("p", 1, (champion.arm(CHAMPION),)), "ana"),
        ModelArrival("arrival", 0, candidate),
        ModelEvaluation("evaluation", 0, candidate.digest),
    )
    state = ReleaseState("p")
    for each in told:
        state, _ = decide(state, each, RULES)
    return state


@cache
def _names(count: int) -> tuple[str, ...]:
    return tuple(str(event) for event in range(count))


def rollout(columns: tuple[Floats, Floats, Floats], margin: Margin, rules: Release = RULES) -> RolloutOutcome:
    """A release on so many events, looked at after each of them."""
    found = decided(*trace(columns, margin), rules)
    at = found.champion
    if at is None:
        return found
    rest = columns[0][at:], columns[1][at:], columns[2][at:]
    return decided(*promoted_trace(columns, at, rest, margin), rules)


def decided(harm: Floats, safety: Floats, rules: Release) -> RolloutOutcome:
    """What the machine makes of evidence, looked at after each event."""
    state, count = begun(), len(harm)
    active = state.active
    assert active is not None, "it has begun"
    numbers = np.arange(1, count + 1)
    rows = PairedRows("", 0, active.identity, _names(count), numbers * EVERY, numbers, harm[:, None], safety[:, None])
    found = {each.finding.type: each.finding.events for each in decide(state, rows, rules)[1]}
    return RolloutOutcome(found.get("release_promoted"), found.get("release_rolled_back"))


@dataclass(frozen=True, slots=True)
class WrongDecisions:
    """Of many rollouts, upper 95% bounds: put back, ever champion; and what other rules would have put back."""

    rolled_back: float
    champion: float
    strikes: float
    daily_test: float


def wrong_decisions(kind: str, noise: float, margin: Margin, runs: int) -> WrongDecisions:
    """Rollouts of a month; the others judge by the same margin."""
    draw = np.random.default_rng(11)
    hits = np.zeros(4, np.int64)
    for _ in range(runs):
        columns = models(draw, kind, noise, DAILY * DAYS)
        found = rollout(columns, margin)
        candidate, champion, labels = columns
        x = (candidate - labels) ** 2 - (1 + margin.share) * (champion - labels) ** 2 - margin.offset
        hits += [found.rolled_back is not None, found.champion is not None, struck(x), daily_z_test(x)]
    return WrongDecisions(*(upper_bound(int(count), runs) for count in hits))


@dataclass(frozen=True, slots=True)
class HarmFound:
    """Of a harmful candidate.

    Attributes:
        events: the median until it was put back; `ratio`: that over what the best fixed bet takes.
        champion: upper 95% bound of how often it ever was.
    """

    events: float
    ratio: float
    champion: float


def harm_found(kind: str, noise: float, runs: int) -> HarmFound:
    """Rollouts until three times as many events as the best fixed bet takes."""
    mean, deviation = beyond(kind, noise, RULES.margin_share)
    usual = -math.log(RULES.alpha) * 2 * (deviation**2 + mean**2) / mean**2
    draw = np.random.default_rng(12)
    needed, champions = [], 0
    for _ in range(runs):
        found = rollout(models(draw, kind, noise, int(3 * usual) + 50), Margin(RULES.margin_share))
        needed.append(math.inf if found.rolled_back is None else float(found.rolled_back))
        champions += found.champion is not None
    median = float(np.median(needed))
    return HarmFound(median, median / usual, upper_bound(champions, runs))


def late_harm(kind: str, noise: float, runs: int) -> tuple[float, float, float]:
    """Events until harm is put back that begins with the promotion, that over what the best fixed bet takes, and the
    events of one that harms from the start.
    """
    rules = replace(RULES, guard=1_000 * DAY)
    mean, deviation = beyond(kind, noise, RULES.margin_share)
    usual = int(-math.log(RULES.alpha) * 2 * (deviation**2 + mean**2) / mean**2)
    draw = np.random.default_rng(13)
    needed = []
    for _ in range(runs):
        good = models(draw, kind, 0.3, 40 * DAILY)
        first = rollout(good, Margin(RULES.margin_share), rules)
        if first.champion is None:
            continue
        bad = models(draw, kind, noise, 12 * usual + 400)
        found = decided(*promoted_trace(good, first.champion, bad, Margin(RULES.margin_share)), rules)
        assert found.champion == first.champion, "what comes later changes nothing before"
        needed.append(math.inf if found.rolled_back is None else float(found.rolled_back - first.champion))
    median = float(np.median(needed))
    return median, median / usual, harm_found(kind, noise, runs).events


@dataclass(frozen=True, slots=True)
class SmallSteps:
    """What became of models of which each loses a bit more than the one before.

    Attributes:
        promoted: in the mean, how many became champion.
        worse: mean loss of the last champion over that of the first, less 1, in the mean.
        most: the same at most.
    """

    promoted: float
    worse: float
    most: float


def small_steps(approves: bool, runs: int, count: int = 6, step: float = 0.03) -> SmallSteps:
    """Releases of so many models, one after the other, each of which loses `step` more than the one before.

    Args:
        approves: whether a person approves of each champion, so that it is the only baseline of the next.
    """
    draw = np.random.default_rng(14)
    ends, promoted = [], 0
    for _ in range(runs):
        champion = approved = 0
        for model in range(1, count + 1):
            if _let_in(draw, [(1 + step) ** each for each in (model, champion, approved)]):
                champion, promoted = model, promoted + 1
                approved = model if approves else approved
        ends.append((1 + step) ** champion - 1)
    return SmallSteps(promoted / runs, float(np.mean(ends)), float(np.max(ends)))


def _let_in(draw: np.random.Generator, losses: list[float]) -> bool:
    """Whether a candidate becomes champion: it, the champion and the last approved model lose so much, in their unit.

    All miss a chance of .2 to .8 by the same normal errors, the larger the worse, which add to the least loss there is.
    """
    events, chances = 60 * DAILY, draw.uniform(0.2, 0.8, 60 * DAILY)
    labels = (draw.random(events) < chances).astype(np.float64)
    base = float(np.mean(chances * (1 - chances)))
    errors = draw.normal(size=events)
    own = [np.clip(chances + math.sqrt((loss - 1) * base) * errors, 0, 1) for loss in losses]
    traces = [trace((own[0], baseline, labels), Margin(RULES.margin_share)) for baseline in own[1:]]
    if losses[1] == losses[2]:
        traces = traces[:1]
    candidate, champion, approved = (Candidate("m", str(loss), f"digest-{loss}", "") for loss in (0, *losses[1:]))
    state, told = ReleaseState("p", approved=approved.arm(CHAMPION)), Plan("p", 1, (champion.arm(CHAMPION),))
    state = replace(state, plan=told)
    for each in (ModelArrival("arrival", 0, candidate), ModelEvaluation("evaluation", 0, candidate.digest)):
        state, _ = decide(state, each, RULES)
    assert state.active is not None, "it has begun"
    numbers = np.arange(1, events + 1)
    harm, safety = (np.stack([each[side] for each in traces], axis=1) for side in (0, 1))
    rows = PairedRows("", 0, state.active.identity, _names(events), numbers * EVERY, numbers, harm, safety)
    return any(each.finding.type == "release_promoted" for each in decide(state, rows, RULES)[1])


def wrong_table(runs: int) -> str:
    """How often it is wrong: of equal models, and of such as lose exactly the margin more."""
    rows = []
    for kind, noise, equal in (
        ("balanced", 0.3, True), ("rare", 0.3, True),
        ("balanced", 0.5, False), ("rare", 1.5, False), ("odd", 0.0947, False),
    ):  # fmt: skip  # a row each
        margin = Margin(RULES.margin_share) if equal else Margin(0.0, beyond(kind, noise)[0])
        found = wrong_decisions(kind, noise, margin, runs)
        shares = (found.rolled_back, found.strikes, found.daily_test)
        champion = "right" if equal else f"{found.champion:.1%}"
        rows.append([kind, f"{noise:g}", margin.text, *(f"{share:.1%}" for share in shares), champion])
    heads = [
        "events",
        "noise",
        "margin",
        "rolled back",
        f"{STRIKES} bad days in a row",
        "daily z-test",
        "ever champion",
    ]
    return markdown(heads, rows)


def harm_table(runs: int) -> str:
    """How soon harm is put back, and how often it got through."""
    rows = []
    for case in HARMFUL:
        mean, deviation = beyond(case.kind, case.noise, RULES.margin_share)
        if mean > 0:
            found = harm_found(case.kind, case.noise, runs)
            told = [f"{mean:+.4f}", f"{mean / deviation:+.3f}", f"{found.events:,.0f} ({found.ratio:.2f})"]
            rows.append([case.kind, f"{case.noise:g}", *told, f"{found.champion:.1%}"])
    return markdown(["events", "noise", "D", "D / s", "rolled back after", "ever champion"], rows)


def steps_table(runs: int) -> str:
    """Many small steps, with and without the last approved model as a baseline."""
    rows = []
    for told, approves in (("as it is: the last approved model is a baseline", False), ("the champion alone", True)):
        found = small_steps(approves, runs)
        rows.append([told, f"{found.promoted:.2f}", f"{found.worse:+.1%}", f"{found.most:+.1%}"])
    return markdown(["held against", "champions, of 6 models", "loss of the last, mean", "most"], rows)


def late_table(runs: int) -> str:
    """How soon harm is put back that begins with the promotion."""
    rows = []
    for kind, noise in (("balanced", 0.8), ("balanced", 1.5), ("balanced", 2.5), ("rare", 1.5), ("rare", 2.5)):
        late, ratio, early = late_harm(kind, noise, runs)
        rows.append([kind, f"{noise:g}", f"{late:,.0f} ({ratio:.2f})", f"{early:,.0f}", f"{late / early:.1f}"])
    return markdown(["events", "noise", "from the promotion", "from the start", "times"], rows)
