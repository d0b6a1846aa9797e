"""From outcomes to decisions: the evidence fold's looks are rows of the machine."""

from __future__ import annotations

from dataclasses import replace

from headrace.domain.release.evidence.evidence_fold import EvidenceLook, PairStanding
from headrace.domain.release.looks import questions, rows_of_looks
from headrace.domain.release.paired_evidence import PairedMoments
from headrace.domain.release.states import Stage
from tests.release.release_scenes import HOUR, RULES, Scene


def standing(harm: float, safety: float, events: int) -> PairStanding:
    """Evidence that once was twice as large."""
    moments = PairedMoments(events, 0.0, 0.1, 0.1, 0.1, 0)
    return PairStanding(harm, safety, 2 * harm, 2 * safety, moments, events, 0, 0, 0, 0, 0)


def started(version: str, scene: Scene) -> Scene:
    """A release in the dark."""
    scene.arrive(version)
    scene.evaluate(version)
    return scene


def test_an_active_release_asks_of_each_baseline() -> None:
    """Champion and last approved model, by the margin that it began with; one that waits asks nothing."""
    scene = started("2", Scene(replace(RULES, approvals=0, margin_share=0.1)))
    (asked,) = questions(scene.release("2")).values()
    assert (asked.candidate, asked.baseline, asked.margin.share) == ("digest-2", "digest-1", 0.1)
    scene.rows(100, safety=9)
    assert questions(scene.release("2")) == {}
    started("3", scene)
    assert [each.baseline for each in questions(scene.release("3")).values()] == ["digest-2", "digest-1"]


def test_looks_decide_by_what_was_ever_reached() -> None:
    """And the decision says up to where outcomes were read; a look without every question is left out."""
    scene = started("2", Scene(replace(RULES, approvals=0)))
    release = scene.release("2")
    (name,) = questions(release)
    looks = [
        EvidenceLook(1 * HOUR, {0: 5}, {name: standing(0.0, 1.0, 10)}),
        EvidenceLook(2 * HOUR, {0: 7}, {}),
        EvidenceLook(12 * HOUR, {0: 9}, {name: standing(-1.0, 1.6, 20)}),
    ]
    rows = rows_of_looks(release, looks, 77)
    assert (rows.times.tolist(), rows.events.tolist()) == ([HOUR, 12 * HOUR], [10, 20])
    assert scene.take(rows) == ["release_advanced"]
    said = scene.said[-1]
    assert (said.cause, said.time, dict(said.finding.offsets)) == (f"outcomes@{12 * HOUR}", 77, {0: 9})
    assert (said.finding.log_safety, said.finding.events) == (1.6, 20)
    assert scene.stage("2") is Stage.CANARY


def test_no_look_is_no_row() -> None:
    """Nothing comes of nothing."""
    scene = started("2", Scene(replace(RULES, approvals=0)))
    assert scene.take(rows_of_looks(scene.release("2"), [], 0)) == []
