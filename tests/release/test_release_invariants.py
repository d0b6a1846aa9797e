"""Whatever comes in whatever order, what must never happen does not, and a replay decides alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headrace.columnar.packing import pack, unpack
from headrace.domain.control.release import DECISION_KINDS, ReleaseFinding
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.plans.plans import CANARY, CHAMPION, SHADOW, Arm, parsed
from headrace.domain.release.fold import ReleaseDecision
from headrace.domain.release.inputs import (
    Asked,
    HardBreach,
    PairedRows,
    PersonRequest,
    ReleaseInput,
    Standing,
    StreamTime,
)
from headrace.domain.release.machine import decide
from headrace.domain.release.state_columns import load_releases, save_releases
from headrace.domain.release.states import LEGAL, ReleaseState, Stage
from tests.release.release_scenes import HOUR, Scene, package

VERSIONS = st.sampled_from("234")
SEEDS = st.integers(0, 2**32 - 1)
ASKED: tuple[Asked, ...] = ("approve", "deny", "promote", "rollback", "hold", "lift")
STANDINGS: tuple[Standing, ...] = ("passed", "failed", "unknown")
PEOPLE = st.sampled_from(["ana", "ben", "eva", "mob"])
YEAR_HOURS = 365 * 24
FORWARD = ("release_started", "release_advanced", "release_promoted")
RULES = st.builds(
    Release,
    approvals=st.integers(0, 2),
    canary=st.sampled_from([(1.0,), (0.05, 1.0), (0.05, 0.25, 1.0)]),
    each=st.sampled_from([0, 3 * HOUR]),
    shadow=st.sampled_from([0, 5 * HOUR]),
    deadline=st.just(30 * HOUR),
    guard=st.sampled_from([0, 5 * HOUR]),
    minimum=st.sampled_from([0, 4]),
    people=st.sampled_from([{}, {"approve": ("ana", "ben"), "promote": ("ana",)}]),
    false_rollbacks_per_year=st.just(0.6),
    releases_per_year=st.sampled_from([3, 30]),
)


class Releases(RuleBasedStateMachine):
    """Inputs of all kinds; what the machine says is held against what is known of them here."""

    @initialize(rules=RULES)
    def begin(self, rules: Release) -> None:
        """A pipeline with a champion."""
        self.scene = Scene(rules)
        self.stages: dict[int, Stage] = {}
        self.gates: dict[int, list[Standing] | None] = {}
        self.approvals: dict[int, set[str]] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.said = 0
        self.plan = self.scene.state.plan

    @rule(version=VERSIONS, asked_by=PEOPLE)
    def arrive(self, version: str, asked_by: str) -> None:
        """A package is registered."""
        self.scene.arrive(version, asked_by)

    @rule(
        version=VERSIONS,
        standings=st.lists(st.sampled_from(["passed", "passed", "passed", "failed", "unknown"]), max_size=2),
    )
    def evaluate(self, version: str, standings: list[Standing]) -> None:
        """And judged."""
        known = self.scene.state.of_digest(f"digest-{version}")
        if known is not None and (known.stage is Stage.REGISTERED or (known.waits and "failed" in standings)):
            self.gates[known.number] = standings
        self.scene.evaluate(version, *standings)

    @rule(version=VERSIONS, people=st.integers(0, 2))
    def propose(self, version: str, people: int) -> None:
        """A good package, approved by some: the way on, which chance alone would seldom find."""
        self.arrive(version, "mob")
        self.evaluate(version, ["passed"])
        for who in ("ana", "ben")[:people]:
            self.ask("approve", who, version, False)

    @rule(asked=st.sampled_from(ASKED), who=PEOPLE, version=VERSIONS, champion=st.booleans())
    def ask(self, asked: Asked, who: str, version: str, champion: bool) -> None:
        """A person asks; an answer is due."""
        active = self.scene.state.active
        if active is not None and asked not in ("approve", "deny"):
            version = active.candidate.version
        known = self.scene.state.of_digest(f"digest-{version}")
        said = self.scene.ask(asked, who, version, champion)
        refused = "release_refused" in said
        assert said, f"{asked} was not answered"
        if known is not None and asked == "approve" and not refused:
            assert self.scene.rules.may(who, "approve")
            assert self.scene.rules.approvals < 2 or who != known.candidate.asked_by
            self.approvals.setdefault(known.number, set()).add(who)

    @rule(seed=SEEDS)
    def rows(self, seed: int) -> None:
        """Matured events of the release that runs, with evidence of some kind."""
        active = self.scene.state.active
        if active is None:
            return
        draw = np.random.default_rng(seed)
        hours, width = int(draw.integers(1, 13)), len(active.baselines)
        fresh = {"harm": [-math.inf] * width, "safety": [-math.inf] * width, "n": 0}
        seen = self.seen.setdefault(active.identity, fresh)
        levels = [[-2.0, 0.0, 2.0], [0.0, 4.0], [0.0, 12.0]][int(draw.integers(3))]
        safety = draw.choice(levels, (hours, width))
        harm = draw.choice([0.0, 12.0] if draw.random() < 0.1 else [-2.0, 0.0, 2.0], (hours, width))
        times = (self.scene.hours + 1 + np.arange(hours)) * HOUR
        self.scene.hours += hours
        ids = [f"event-{time // HOUR}" for time in times.tolist()]
        for name, found in (("harm", harm), ("safety", safety)):
            seen[name] = np.maximum(seen[name], found.max(axis=0)).tolist()
        name, events = f"rows{len(self.scene.told)}", active.events + draw.integers(0, 2, hours).cumsum()
        seen["n"] = int(events[-1])
        self.scene.take(PairedRows(name, 0, active.identity, ids, times.astype(np.int64), events, harm, safety))

    @rule(hours=st.sampled_from([1, 3, 10, 10, 40, YEAR_HOURS]))
    def pass_time(self, hours: int) -> None:
        """Nothing matures for a while."""
        self.scene.hours += hours
        self.scene.take(StreamTime(f"time{len(self.scene.told)}", 0, self.scene.hours * HOUR))

    @rule(version=VERSIONS, now=st.integers(0, 3))
    def breach(self, version: str, now: int) -> None:
        """A model breaks; not too often, or nothing else would be seen."""
        if now:
            return
        self.scene.take(HardBreach(f"breach{len(self.scene.told)}", 0, f"digest-{version}", "exception", "no"))

    @rule(change=st.sampled_from([*["other"] * 6, "bare", "swap", "canary"]), version=VERSIONS)
    def write_plan(self, change: str, version: str) -> None:
        """Somebody changes the plan by hand."""
        plan = self.scene.state.plan
        assert plan is not None
        arms: tuple[Arm, ...] = plan.arms
        if change == "other":
            arms = (*(arm for arm in arms if arm.version != "9"), package("9").arm(SHADOW))
        elif change == "bare":
            arms = (plan.champion,)
        elif change == "swap":
            arms = (package(version).arm(CHAMPION),)
        elif plan.canary is None:
            arms = (*arms, package("8").arm(CANARY, 0.1))
        self.scene.see(replace(plan, version=plan.version + 1, arms=arms))
        self.plan = replace(plan, version=plan.version + 1, arms=arms)

    @rule(seed=SEEDS)
    def repeat(self, seed: int) -> None:
        """An event comes twice; rows and time are told once, by who reads them."""
        once = [each for each in self.scene.told if not isinstance(each, PairedRows | StreamTime)]
        before = self.scene.state
        assert self.scene.take(once[seed % len(once)]) == []
        assert self.scene.state == before

    @invariant()
    def one_at_a_time(self) -> None:
        """One release has arms, one model answers all others at most."""
        if not hasattr(self, "scene"):
            return
        assert sum(each.active for each in self.scene.state.releases) <= 1
        plan = self.scene.state.plan
        assert plan is not None
        assert parsed(plan.fact(0, "", "")) == plan
        places = [(arm.arm, arm.digest) for arm in plan.arms]
        assert len(places) == len(set(places))

    @invariant()
    def steps_are_legal(self) -> None:
        """From each stage to one that may follow, and none after an end."""
        if not hasattr(self, "scene"):
            return
        for finding in (each.finding for each in self.scene.said[self.said :]):
            if finding.was != finding.stage:
                assert Stage(finding.stage) in LEGAL[Stage(finding.was)]
        for release in self.scene.state.releases:
            before = self.stages.get(release.number, Stage.REGISTERED)
            assert before == release.stage or LEGAL[before]
            self.stages[release.number] = release.stage

    @invariant()
    def decisions_are_allowed(self) -> None:
        """Forward by gates, people and evidence; a hold stops machines; plans follow and leave others' arms."""
        if not hasattr(self, "scene"):
            return
        for decision in self.scene.said[self.said :]:
            self._hold(decision, decision.finding)
            if decision.change is not None:
                self._follows(decision)
        self.said = len(self.scene.said)

    def _hold(self, decision: ReleaseDecision, finding: ReleaseFinding) -> None:
        number = int(finding.release.split("-")[0])
        told = next((each for each in self.scene.told if each.event == decision.cause), None)
        person = isinstance(told, PersonRequest)
        rules = self.scene.rules
        release = next((each for each in self.scene.state.releases if each.number == number), None)
        if finding.type in FORWARD:
            gates = self.gates[number]
            assert gates is not None
            assert "failed" not in gates
            assert len(self.approvals.get(number, ())) >= rules.approvals
        own = not finding.person
        moved = finding.was != finding.stage
        if release is not None and release.held and moved and own:
            assert finding.rule in ("plan", "gates"), "a machine moved what a person holds"
        if finding.type in ("release_advanced", "release_promoted") and own:
            seen = self.seen[finding.release]
            assert min(seen["safety"]) >= -math.log(rules.alpha_advance)
            assert seen["n"] >= finding.events >= rules.minimum
            assert max(seen["harm"]) < math.inf
        if finding.type == "release_rolled_back" and finding.rule == "harm":
            width = len(self.seen[finding.release]["harm"])
            assert max(self.seen[finding.release]["harm"]) >= math.log(width / rules.alpha)
        if finding.person:
            assert person
            assert finding.reason == "because"

    def _follows(self, decision: ReleaseDecision) -> None:
        assert decision.change is not None
        before = self.plan
        assert before is not None
        assert decision.change.expected == before.version
        assert decision.change.plan.version == before.version + 1
        number = int(decision.finding.release.split("-")[0])
        release = next(each for each in self.scene.state.releases if each.number == number)
        ours = {release.candidate.digest, *(arm.digest for arm in release.baselines)}
        others = [arm for arm in before.arms if arm.digest not in ours]
        assert all(arm in decision.change.plan.arms for arm in others)
        self.plan = decision.change.plan

    @invariant()
    def the_budget_holds(self) -> None:
        """In every year."""
        if not hasattr(self, "scene"):
            return
        spent = self.scene.state.spent
        year = [each.alpha for each in spent if each.at > self.scene.state.clock - YEAR_HOURS * HOUR]
        assert sum(year) <= self.scene.rules.false_rollbacks_per_year * (1 + 1e-9)

    def teardown(self) -> None:
        """A replay, a replay row by row, and one from a checkpoint decide alike."""
        if not hasattr(self, "scene"):
            return
        for told in (self.scene.told, list(_row_by_row(self.scene.told))):
            assert _replayed(told, self.scene.rules, ReleaseState("p")) == (self.scene.state, self.scene.said)
        assert load_releases(unpack(pack(save_releases(self.scene.state)))) == self.scene.state
        assert len({each.event for each in self.scene.said}) == len(self.scene.said)


def _row_by_row(told: list[ReleaseInput]) -> Iterator[ReleaseInput]:
    for each in told:
        if isinstance(each, PairedRows):
            for row in range(len(each.ids)):
                one = slice(row, row + 1)
                names = ("ids", "times", "events", "harm", "safety")
                yield replace(each, **{name: getattr(each, name)[one] for name in names})
        else:
            yield each


def _replayed(
    told: list[ReleaseInput], rules: Release, state: ReleaseState
) -> tuple[ReleaseState, list[ReleaseDecision]]:
    said: list[ReleaseDecision] = []
    for each in told:
        state, decisions = decide(state, each, rules)
        said += decisions
    return state, said


TestReleases = Releases.TestCase
TestReleases.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("seed", range(8))
def test_long_walks_keep_all_of_it(seed: int) -> None:
    """The same by chance alone, which gets further than a search for small examples."""
    draw = np.random.default_rng(seed)
    kinds: set[str] = set()
    for _ in range(15):
        machine = walk(draw, steps=120)
        kinds |= {each.finding.type for each in machine.scene.said}
        machine.teardown()
    assert kinds == {kind.type for kind in DECISION_KINDS}


def walk(draw: np.random.Generator, steps: int) -> Releases:
    """A machine after so many inputs."""

    def one(*choices: Any) -> Any:
        return choices[int(draw.integers(len(choices)))]

    machine = Releases()
    machine.begin(
        Release(
            approvals=one(0, 1, 2), canary=one((1.0,), (0.05, 1.0), (0.05, 0.25, 1.0)), each=one(0, 3 * HOUR),
            shadow=one(0, 5 * HOUR), deadline=30 * HOUR, guard=one(0, 5 * HOUR), minimum=one(0, 4),
            people=one({}, {"approve": ("ana", "ben"), "promote": ("ana",)}), false_rollbacks_per_year=0.6,
            releases_per_year=one(3, 30),
        )
    )  # fmt: skip  # a row of rules
    for _ in range(steps):
        act, version, who = draw.random(), one(*"2345"), one("ana", "ben", "eva", "mob")
        if act < 0.15:
            machine.propose(version, one(0, 1, 2, 2, 2))
        elif act < 0.25:
            machine.arrive(version, who)
            machine.evaluate(version, one([], ["passed"], ["passed", "unknown"], ["failed"]))
        elif act < 0.45:
            asked = one("approve", "approve", "promote", "promote", "deny", "rollback", "hold", "lift", "lift")
            machine.ask(asked, who, version, one(False, False, True))
        elif act < 0.75:
            machine.rows(int(draw.integers(2**32)))
        elif act < 0.85:
            machine.pass_time(one(1, 3, 10, 10, 10, 40, 40, YEAR_HOURS))
        elif act < 0.88:
            machine.breach(version, one(0, 1, 1))
        elif act < 0.95:
            machine.write_plan(one(*["other"] * 8, "bare", "swap", "canary"), version)
        else:
            machine.repeat(int(draw.integers(2**32)))
        machine.one_at_a_time()
        machine.steps_are_legal()
        machine.decisions_are_allowed()
        machine.the_budget_holds()
    return machine
