"""Plans are written one after the other, whoever writes."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from headrace.domain.plans.plan_log import Contested, PlanFact, history, newest, publish
from headrace.domain.plans.plans import CANARY, CHAMPION, SHADOW, Arm, Plan
from tests.project import Project


def arm(kind: str, version: str = "1", **others: float) -> Arm:
    """A model's part."""
    return Arm(kind, "m", version, f"sha256:{version * 64}", "file:///models/m", **others)


def write(project: Project, plan: Plan, reason: str = "test") -> Plan:
    """Write a plan whatever there was before."""
    channel = project.contracts.channel("plans")
    return publish(project.connection, channel, project.name, lambda _: plan, time=5, actor="me", reason=reason)


def facts(project: Project) -> list[PlanFact]:
    """What the topic says."""
    return history(project.connection, project.contracts.channel("plans"), project.name)


def test_plans_count_up_and_tell_who_and_why(project: Project) -> None:
    """Each plan has the next version, and its fact says when, who and why; what makes no plan is told too."""
    assert facts(project) == []
    first = Plan(project.name, 0, (arm(CHAMPION), arm(SHADOW, "2", priority=3)), "salt")
    assert write(project, first, "first").version == 1
    assert write(project, replace(first, arms=(arm(SHADOW),)), "nobody answers").version == 2
    assert write(project, replace(first, arms=(arm(CHAMPION, "3"),)), "third").version == 3
    one, none, three = facts(project)
    assert (one.plan, one.time, one.actor, one.reason) == (replace(first, version=1), 5, "me", "first")
    assert none.plan is None
    assert "0 champions" in str(none.fault)
    assert newest(facts(project)) == three


def test_a_writer_that_comes_in_between_wins(project: Project) -> None:
    """Of two that read the same plan the second writes and the first is told; no version is used twice."""
    plan = Plan(project.name, 0, (arm(CHAMPION),))
    write(project, plan)

    def slowly(known: Plan | None) -> Plan:
        assert known is not None
        assert write(project, replace(known, arms=(*known.arms, arm(CANARY, "2", share=0.1)))).version == 2
        return known

    channel = project.contracts.channel("plans")
    with pytest.raises(Contested, match="somebody else is changing the plan"):
        publish(project.connection, channel, project.name, slowly, time=6, actor="late", reason="lost")
    assert [fact.version for fact in facts(project)] == [1, 2]
    assert write(project, plan).version == 3


def test_many_writers_at_once(project: Project) -> None:
    """Writers at the same moment either fail or get a version of their own, and what they wrote is all there."""
    plan = Plan(project.name, 0, (arm(CHAMPION),))
    got: list[int] = []
    contested: list[Contested] = []

    def one() -> None:
        try:
            got.append(write(project, plan).version)
        except Contested as lost:
            contested.append(lost)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) + len(contested) == 6
    assert sorted(got) == [fact.version for fact in facts(project)] == list(range(1, len(got) + 1))
    assert got


def test_a_change_that_raises_writes_nothing(project: Project) -> None:
    """What the change raises comes through, and the next writer finds everything as it was."""

    def no(_: Plan | None) -> Plan:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        publish(project.connection, project.contracts.channel("plans"), project.name, no, time=1, actor="", reason="")
    assert facts(project) == []
    assert write(project, Plan(project.name, 0, (arm(CHAMPION),))).version == 1
