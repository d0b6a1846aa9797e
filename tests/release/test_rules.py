"""Who decides what: people, holds, plans by hand, turns and the year's budget."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from headrace.domain.control.release import (
    ApprovalRequested,
    ReleaseRefused,
    ReleaseRolledBack,
    ReleaseSuperseded,
    ReleaseWarned,
)
from headrace.domain.plans.plans import CANARY, CHALLENGER, SHADOW
from headrace.domain.release.inputs import HardBreach, ModelArrival, PlanSeen, StreamTime
from headrace.domain.release.states import Stage
from tests.release.release_scenes import HARMFUL, HOUR, RULES, SAFE, Scene, package, plan_of

NONE = replace(RULES, approvals=0)
DAY = 24 * HOUR


def started(scene: Scene, version: str = "2") -> Scene:
    """A release in the dark, without approvals."""
    scene.arrive(version)
    assert "release_started" in scene.evaluate(version)
    return scene


def why(scene: Scene) -> str:
    """Of the last decision."""
    return scene.said[-1].finding.why


def test_a_failed_gate_rejects_and_an_unknown_one_waits() -> None:
    """Nobody goes past a gate that failed; over one that is not known a person decides, or another evaluation."""
    scene = Scene(NONE)
    scene.arrive("2")
    assert scene.ask("promote", "ana", "2") == ["release_refused"]
    assert scene.evaluate("2", "passed", "failed", "unknown") == ["release_rejected"]
    assert scene.ask("promote", "ana", "2") == ["release_refused"]
    scene.arrive("3")
    assert scene.evaluate("3", "unknown") == ["release_inconclusive"]
    assert scene.stage("3") is Stage.REGISTERED
    assert scene.evaluate("3", "passed") == ["release_started"]
    scene.ask("rollback", "ana", "3")
    scene.arrive("4")
    scene.evaluate("4", "unknown")
    assert scene.ask("promote", "ana", "4") == ["release_started"]


def test_what_is_not_known_is_told_once() -> None:
    """A further look at which the same gates are not known tells people nothing; one at which others are does, and so
    does the last one, after which only a person can decide. Of a new release of the model it is told anew.
    """
    scene = Scene(NONE)
    scene.arrive("2")
    assert scene.evaluate("2", "unknown", again="at 1,000") == ["release_inconclusive"]
    assert "at 1,000" in why(scene)
    assert scene.evaluate("2", "unknown", again="at 2,000") == []
    assert scene.evaluate("2", "unknown", "unknown", again="at 4,000") == ["release_inconclusive"]
    assert scene.evaluate("2", "passed", "unknown", again="at 8,000") == ["release_inconclusive"]
    assert scene.release("2").unknown == ("gate1",)
    assert scene.evaluate("2", "passed", "unknown", again="at 16,000") == []
    assert scene.evaluate("2", "passed", "unknown") == ["release_inconclusive"]
    assert "not judged again" in why(scene)
    assert scene.ask("deny", "ana", "2") == ["release_rejected"]
    scene.arrive("2")
    assert scene.evaluate("2", "passed", "unknown", again="at 1,000") == ["release_inconclusive"]


def test_two_distinct_people_approve_and_not_who_asked() -> None:
    """Whoever asked for the model, and whoever approved already, does not count."""
    scene = Scene(replace(RULES, approvals=2))
    scene.arrive("2", asked_by="ana")
    scene.evaluate("2")
    assert scene.ask("approve", "ana", "2") == ["release_refused"]
    assert "others have to" in why(scene)
    assert scene.ask("approve", "ben", "2") == ["approval_requested"]
    asked = scene.said[-1].finding
    assert isinstance(asked, ApprovalRequested)
    assert (asked.missing, json.loads(asked.approved)) == (1, ["ben"])
    assert scene.ask("approve", "ben", "2") == ["release_refused"]
    assert scene.ask("promote", "ben", "2") == ["release_refused"]
    assert scene.ask("approve", "eva", "2") == ["release_started"]


def test_one_may_approve_what_they_asked_for_where_one_is_enough() -> None:
    """Only where two are asked for has it to be somebody else."""
    scene = Scene()
    scene.arrive("2", asked_by="ana")
    scene.evaluate("2")
    assert scene.ask("approve", "ana", "2") == ["release_started"]


@pytest.mark.parametrize(("asked", "role"), [("approve", "approve"), ("deny", "approve"), ("hold", "hold")])
def test_roles_say_who_may(asked: str, role: str) -> None:
    """Where people are listed, others are refused; a role that is not listed is anybody's."""
    scene = Scene(replace(RULES, people={role: ("ben",)}))
    scene.arrive("2")
    scene.evaluate("2")
    assert scene.ask(asked, "ana", "2") == ["release_refused"]  # type: ignore[arg-type]  # a parameter
    assert "ana is not among those who may" in why(scene)
    assert scene.ask(asked, "ben", "2") != ["release_refused"]  # type: ignore[arg-type]  # a parameter


def test_a_denial_rejects_and_ends() -> None:
    """After an end every request is refused, and the model comes again as another release."""
    scene = Scene()
    scene.arrive("2")
    scene.evaluate("2")
    assert scene.ask("deny", "ana", "2") == ["release_rejected"]
    for asked in ("approve", "deny", "promote", "rollback", "hold", "lift"):
        assert scene.ask(asked, "ana", "2") == ["release_refused"]  # type: ignore[arg-type]  # a parameter
    scene.arrive("2")
    assert (scene.release("2").number, scene.stage("2")) == (2, Stage.REGISTERED)


def test_a_hold_stops_machines_and_warns_once() -> None:
    """Neither evidence, nor a deadline, nor a breaker moves what a person holds; lifted, what stands is decided."""
    scene = started(Scene(NONE))
    assert scene.ask("hold", "ana", "2") == ["release_held"]
    assert scene.rows(50, safety=SAFE) == []
    assert scene.rows(2, harm=HARMFUL) == ["release_warned"]
    warned = scene.said[-1].finding
    assert isinstance(warned, ReleaseWarned)
    assert warned.instead == ReleaseRolledBack.type
    assert scene.rows(2_000, harm=HARMFUL) == []
    assert scene.take(HardBreach("b", 0, "digest-2", "exception", "no")) == ["release_warned"]
    assert scene.stage("2") is Stage.SHADOW
    assert scene.ask("hold", "ben", "2") == ["release_refused"]
    assert scene.ask("lift", "ben", "2") == ["release_held", "release_rolled_back"]


def test_people_go_on_and_back_when_they_want() -> None:
    """By a step, or all the way; approval is on record, and the guard follows."""
    scene = started(Scene(NONE))
    assert scene.ask("promote", "ana", "2") == ["release_advanced"]
    assert scene.ask("promote", "ana", "2", champion=True) == ["release_promoted"]
    assert scene.state.approved is not None
    assert scene.state.approved.version == "2"
    assert scene.ask("promote", "ana", "2") == ["release_refused"]
    assert scene.ask("rollback", "ana", "2") == ["release_rolled_back"]
    assert scene.arms == [("champion", "1", 1.0)]
    assert scene.state.approved.version == "1"


def test_neither_by_the_deadline_waits_for_a_person() -> None:
    """The candidate stays where it is; harm still puts it back."""
    scene = started(Scene(NONE))
    assert scene.rows(1_001) == ["release_inconclusive"]
    assert scene.arms == [("challenger", "2", 1.0), ("champion", "1", 1.0)]
    assert scene.rows(100, safety=SAFE) == []
    assert scene.ask("promote", "ana", "2") == ["release_advanced"]
    assert scene.rows(10) == ["release_advanced"]


def test_a_minimum_of_events_is_waited_for() -> None:
    """Evidence of few events lets nothing on, and puts back at once."""
    scene = started(Scene(replace(NONE, minimum=100)))
    assert scene.rows(99, safety=SAFE) == []
    assert scene.rows(1) == ["release_advanced"]


def test_a_breaker_puts_back_at_once() -> None:
    """Without any outcome; the model of another digest is not ours to judge."""
    scene = started(Scene(NONE))
    assert scene.take(HardBreach("b0", 0, "digest-9", "not_finite", "row 3")) == []
    assert scene.take(HardBreach("b1", 0, "digest-2", "not_finite", "row 3")) == ["release_rolled_back"]
    assert why(scene) == "not_finite: row 3: m@1 answers"


def broke(scene: Scene, version: str, plan: int = 0) -> list[str]:
    """A model broke under a plan."""
    return scene.take(HardBreach(f"b{len(scene.told)}", 0, f"digest-{version}", "does_not_run", "no", plan))


def test_a_breach_of_a_plan_that_is_over_is_another_releases() -> None:
    """The same package comes again: what its canary did before it came does not put it back, what it does now does."""
    scene = started(Scene(NONE))
    assert scene.state.plan is not None
    old = scene.state.plan.version
    assert broke(scene, "2", old) == ["release_rolled_back"]
    assert broke(scene, "2", old) == [], "of two members one is later"
    scene.arrive("2")
    assert broke(scene, "2", old) == [], "a member that was cut off says it now"
    scene.evaluate("2")
    assert scene.stage("2") is Stage.SHADOW
    assert broke(scene, "2", old) == []
    assert broke(scene, "2", scene.state.plan.version) == ["release_rolled_back"]


def test_a_breach_under_the_next_canary_leaves_it_alone() -> None:
    """Of the model before it."""
    scene = started(Scene(NONE))
    assert scene.state.plan is not None
    old = scene.state.plan.version
    broke(scene, "2", old)
    scene.arrive("3")
    scene.evaluate("3")
    assert broke(scene, "2", old) == []
    assert scene.stage("3") is Stage.SHADOW


def test_what_breaks_while_people_approve_is_rejected() -> None:
    """Somebody put it into the dark by hand; an approval that comes afterwards is refused."""
    scene = Scene(replace(NONE, approvals=1))
    scene.arrive("2")
    assert scene.evaluate("2") == ["approval_requested"]
    assert broke(scene, "2", 1) == ["release_rejected"]
    assert why(scene) == "does_not_run: no"
    assert scene.ask("approve", "ana", "2") == ["release_refused"]


def test_a_champion_that_breaks_within_its_guard_is_put_back() -> None:
    """The old one answers, and no part of the year's budget was used for it."""
    scene = started(Scene(NONE))
    scene.ask("promote", "ana", "2", champion=True)
    spent = scene.state.spent
    assert broke(scene, "2") == ["release_rolled_back"]
    assert scene.arms == [("champion", "1", 1.0)]
    assert scene.state.spent == spent


def test_what_broke_while_it_was_held_is_put_back_when_it_is_free() -> None:
    """Nobody says it again."""
    scene = started(Scene(NONE))
    scene.ask("hold", "ana", "2")
    assert broke(scene, "2") == ["release_warned"]
    assert scene.ask("lift", "ben", "2") == ["release_held", "release_rolled_back"]
    assert why(scene) == "does_not_run: no: m@1 answers"


def test_a_newer_model_waits_and_supersedes_those_that_wait() -> None:
    """What runs goes on; of those that wait the newest that is ready has the next turn."""
    scene = started(Scene(NONE))
    scene.arrive("3")
    assert scene.evaluate("3") == ["release_queued"]
    scene.arrive("4")
    assert scene.evaluate("4") == ["release_superseded", "release_queued"]
    assert scene.ask("rollback", "ana", "2") == ["release_rolled_back", "release_started"]
    assert [scene.stage(each) for each in "234"] == [Stage.ROLLED_BACK, Stage.SUPERSEDED, Stage.SHADOW]


def test_what_was_not_decided_in_the_dark_gives_its_place() -> None:
    """But not in a canary, where a person put it."""
    scene = started(Scene(NONE))
    scene.rows(1_001)
    scene.arrive("3")
    assert scene.evaluate("3") == ["release_superseded", "release_started"]
    assert scene.arms == [("challenger", "3", 1.0), ("champion", "1", 1.0)]


def test_the_budget_of_a_year_is_never_exceeded() -> None:
    """Used up, releases wait until a part is free; a person may start one that evidence cannot put back."""
    scene = Scene(replace(NONE, releases_per_year=2))
    scene.take(StreamTime("t0", 0, DAY))
    for version in ("2", "3"):
        started(scene, version)
        scene.ask("rollback", "ana", version)
    scene.arrive("4")
    assert scene.evaluate("4") == ["release_queued"]
    assert "used up the year's 1 false roll-backs: the next part is free on 1971-01-02" in why(scene)
    assert scene.take(StreamTime("t1", 0, 365 * DAY)) == []
    assert scene.ask("promote", "ana", "4") == ["release_started"]
    assert scene.release("4").alpha == 0
    assert scene.rows(5, harm=100.0) == []
    scene.ask("rollback", "ana", "4")
    scene.arrive("5")
    assert scene.evaluate("5") == ["release_queued"]
    assert scene.take(StreamTime("t2", 0, 366 * DAY)) == ["release_started"]
    assert scene.release("5").alpha == 0.5


def test_the_last_approved_model_is_a_second_baseline() -> None:
    """Small steps of machines cannot add up: each candidate is held against it too, with half of alpha for each."""
    scene = started(Scene(NONE))
    scene.rows(100, safety=SAFE)
    assert scene.state.approved is not None
    assert (scene.stage("2"), scene.state.approved.version) == (Stage.SETTLED, "1")
    started(scene, "3")
    assert [arm.version for arm in scene.release("3").baselines] == ["2", "1"]
    assert scene.arms == [("challenger", "1", 1.0), ("challenger", "3", 1.0), ("champion", "2", 1.0)]
    assert scene.rows(50, safety=(SAFE, 0.0)) == []
    assert scene.rows(1, harm=(0.0, 3.5)) == []
    assert scene.rows(1, harm=(0.0, 3.7)) == ["release_rolled_back"]
    assert "worse than m@1" in why(scene)
    assert scene.arms == [("champion", "2", 1.0)]


def test_arms_of_people_stay() -> None:
    """Also where they are arms that the release would have put there."""
    own = (package("2").arm(CHALLENGER), package("7").arm(SHADOW))
    scene = Scene(NONE)
    scene.see(plan_of(2, "1", *own))
    started(scene)
    scene.rows(11, safety=SAFE)
    assert ("shadow", "7", 1.0) in scene.arms
    assert scene.ask("rollback", "ana", "2") == ["release_rolled_back"]
    assert scene.arms == [("challenger", "2", 1.0), ("champion", "1", 1.0), ("shadow", "7", 1.0)]


def test_a_canary_of_somebody_is_not_touched() -> None:
    """The release waits until it is gone."""
    scene = Scene(NONE)
    scene.see(plan_of(2, "1", package("7").arm(CANARY, 0.1)))
    scene.arrive("2")
    assert scene.evaluate("2") == ["release_queued"]
    assert scene.see(plan_of(3)) == ["release_started"]


def test_a_plan_by_hand_rebases_or_ends_the_release() -> None:
    """Other arms: it goes on. Without its arms, or with it as champion: withdrawn. Another champion: superseded."""
    for change, said, stage in (
        (plan_of(5, "1", package("2").arm(CHALLENGER), package("7").arm(SHADOW)), "release_rebased", Stage.SHADOW),
        (plan_of(5, "1"), "release_withdrawn", Stage.WITHDRAWN),
        (plan_of(5, "2"), "release_withdrawn", Stage.WITHDRAWN),
        (plan_of(5, "7"), "release_superseded", Stage.SUPERSEDED),
    ):
        scene = started(Scene(NONE))
        assert scene.see(change) == [said]
        assert (scene.stage("2"), scene.state.plan) == (stage, change)
        assert scene.said[-1].change is None


def test_an_own_plan_that_comes_back_is_known() -> None:
    """What was written is what was decided; an older one says nothing."""
    scene = started(Scene(NONE))
    change = scene.said[-1].change
    assert change is not None
    assert (change.expected, change.plan.version) == (1, 2)
    assert scene.see(change.plan) == []
    assert scene.see(plan_of(1)) == []


def test_a_model_that_somebody_made_champion_waits_for_nothing() -> None:
    """Its release is withdrawn."""
    scene = Scene(NONE)
    scene.arrive("2")
    assert scene.see(plan_of(5, "2")) == ["release_withdrawn"]


def test_a_repeat_changes_nothing() -> None:
    """The same event told twice promotes once."""
    scene = started(Scene(NONE))
    scene.ask("promote", "ana", "2")
    before = scene.state
    assert scene.take(scene.told[-1]) == []
    assert scene.state == before


def test_a_guard_watches_events_that_the_new_champion_answered() -> None:
    """These mature later; what matures right after a promotion happened before it."""
    scene = started(Scene(replace(NONE, matures_after=100 * HOUR)))
    assert scene.rows(120, safety=SAFE) == ["release_advanced"], "a share lasts until its own events are mature"
    assert scene.rows(1) == ["release_advanced"]
    assert scene.rows(109) == []
    assert scene.rows(1) == ["release_promoted"]
    assert scene.stage("2") is Stage.GUARDED
    assert scene.rows(119) == []
    assert scene.rows(1) == ["release_settled"]


def test_stream_time_begins_where_it_is_known() -> None:
    """What began before counts from there: neither is a deadline over at once, nor a year."""
    scene = started(Scene(replace(NONE, releases_per_year=2)))
    now = 50 * 365 * DAY
    assert scene.take(StreamTime("t0", 0, now)) == []
    assert (scene.release("2").began, scene.state.spent[0].at) == (now, now)
    scene.ask("rollback", "ana", "2")
    started(scene, "3")
    scene.ask("rollback", "ana", "3")
    scene.arrive("4")
    assert scene.evaluate("4") == ["release_queued"]


def test_a_later_evaluation_counts_until_the_start() -> None:
    """A model that waits and fails then is rejected; one that runs is judged by evidence."""
    scene = started(Scene(NONE))
    scene.arrive("3")
    scene.evaluate("3")
    assert scene.evaluate("3", "unknown") == []
    assert scene.evaluate("3", "failed") == ["release_rejected"]
    assert scene.evaluate("2", "failed") == []


def test_a_settled_champion_is_put_back_by_a_plan() -> None:
    """The refusal says how."""
    scene = started(Scene(NONE))
    scene.rows(100, safety=SAFE)
    assert scene.ask("rollback", "ana", "2") == ["release_refused"]
    assert "headrace plan set" in why(scene)


def test_who_is_unknown_is_refused() -> None:
    """With the request's kind, so that whoever asked finds the answer."""
    scene = Scene()
    assert scene.ask("promote", "ana", "9") == ["release_refused"]
    found = scene.said[-1].finding
    assert isinstance(found, ReleaseRefused)
    assert (found.asked, found.person) == ("promotion_asked", "ana")


def test_without_a_plan_a_release_waits() -> None:
    """There is no champion to be held against."""
    scene = Scene(NONE)
    scene.state = replace(scene.state, plan=None)
    scene.take(ModelArrival("a", 0, package("2")))
    assert scene.evaluate("2") == ["release_queued"]
    assert scene.take(PlanSeen("p", 0, plan_of(1), "ana")) == ["release_started"]


def test_a_superseded_release_names_the_next() -> None:
    """By its digest."""
    scene = started(Scene(NONE))
    scene.see(plan_of(9, "7"))
    found = scene.said[-1].finding
    assert isinstance(found, ReleaseSuperseded)
    assert found.by == "digest-7"
