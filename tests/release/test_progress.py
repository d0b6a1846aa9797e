"""What evidence makes of a release, held against the rules said slowly: event by event, in plain numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.domain.pipeline.release.spec import Release
from headrace.domain.plans.plans import CHAMPION
from headrace.domain.release.inputs import PairedRows
from tests.release.release_scenes import HOUR, RULES, Scene, package, plan_of

LEVELS = (-2.0, 0.0, 2.9, 3.0, 4.0, 12.0)


def said_slowly(rules: Release, times: list[int], harm: list[list[float]], safety: list[list[float]]) -> list[str]:
    """The kinds of decisions with the event of each; the release is in the dark, the first row its first pair."""
    width = len(harm[0])
    told, stage, share, since = [], "shadow", 0.0, times[0]
    harmed, safe = [False] * width, [False] * width
    for event, time in enumerate(times):
        for side in range(width):
            harmed[side] |= harm[event][side] >= math.log(width / rules.alpha)
            safe[side] |= safety[event][side] >= math.log(1 / rules.alpha_advance)
        proved = all(safe) and event + 1 >= rules.minimum
        if any(harmed):
            return [*told, f"release_rolled_back {event}"]
        if stage == "guarded":
            if time - since >= rules.guard + rules.matures_after:
                return [*told, f"release_settled {event}"]
        elif stage != "inconclusive":
            of_share = rules.each + rules.matures_after if rules.each else 0
            wait = max(rules.each, rules.shadow) if stage == "shadow" else of_share
            if proved and time - since >= wait:
                share = min((each for each in rules.canary if each > share), default=1.0)
                stage, since = ("guarded", time) if share == 1 else ("canary", time)
                told.append(f"{'release_promoted' if share == 1 else 'release_advanced'} {event}")
            elif not proved and time - times[0] >= rules.deadline:
                stage = "inconclusive"
                told.append(f"release_inconclusive {event}")
    return told


@given(
    st.builds(
        replace,
        st.just(replace(RULES, approvals=0)),
        canary=st.sampled_from([(1.0,), (0.5, 1.0), (0.05, 0.25, 1.0)]),
        each=st.sampled_from([0, 2 * HOUR, 5 * HOUR]),
        shadow=st.sampled_from([0, 4 * HOUR]),
        deadline=st.sampled_from([3 * HOUR, 15 * HOUR, 1_000 * HOUR]),
        guard=st.sampled_from([0, 6 * HOUR]),
        matures_after=st.sampled_from([0, 3 * HOUR]),
        minimum=st.integers(0, 10),
        releases_per_year=st.sampled_from([2, 20]),
    ),
    st.integers(1, 2),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 60), max_size=4).map(sorted),
)
@settings(max_examples=300, deadline=None)
def test_evidence_decides_as_the_rules_say(rules: Release, width: int, seed: int, cuts: list[int]) -> None:
    """Whatever the evidence, the rules and the batches."""
    draw = np.random.default_rng(seed)
    count = int(draw.integers(1, 60))
    top = int(draw.integers(2, len(LEVELS) + 1))
    harm = draw.choice(LEVELS[: min(top, 4)] if draw.random() < 0.7 else LEVELS, (count, width))
    safety = draw.choice(LEVELS[:top], (count, width))
    times = np.cumsum(draw.choice([0, HOUR, 2 * HOUR], count)) + HOUR

    scene = Scene(rules)
    if width == 2:  # a machine made 2 the champion, a person approved of 1
        scene.see(plan_of(5, "2"))
        scene.state = replace(scene.state, approved=package("1").arm(CHAMPION))
    scene.arrive("3")
    scene.evaluate("3")
    active = scene.state.active
    assert active is not None
    assert len(active.baselines) == width
    scene.said.clear()
    for low, high in zip([0, *cuts], [*cuts, count], strict=True):
        one = slice(min(low, count), min(high, count))
        ids = [str(event) for event in range(count)][one]
        numbers = np.arange(1, count + 1)[one]
        scene.take(PairedRows("", 0, active.identity, ids, times[one], numbers, harm[one], safety[one]))
    found = [f"{each.finding.type} {each.cause}" for each in scene.said]
    assert found == said_slowly(rules, times.tolist(), harm.tolist(), safety.tolist())
