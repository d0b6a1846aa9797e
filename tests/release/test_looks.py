"""From outcomes to decisions: the evidence fold's looks are rows of the machine."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.domain.release.evidence.bet_kernels import EVENTS
from headrace.domain.release.evidence.evidence_fold import MINUTE, EvidenceFold
from headrace.domain.release.evidence.evidence_looks import EvidenceLooks, PairLooks
from headrace.domain.release.evidence.outcome_rows import OutcomeRows
from headrace.domain.release.fold import ReleaseDecision
from headrace.domain.release.looks import questions, rows_of_looks
from headrace.domain.release.paired_evidence import EvidenceCourse
from headrace.domain.release.states import ReleaseState, Stage
from loadtests.release.simulated_pairs import models
from tests.release.release_scenes import HOUR, RULES, Scene


def looks(times: list[int], offset: int, standings: dict[str, list[tuple[float, float, int]]]) -> EvidenceLooks:
    """Evidence for harm and safety, which once was twice as large, and events, at looks; how far one partition was read
    at the first of them.
    """
    pairs = {}
    for name, rows in standings.items():
        counts = np.zeros((len(rows), 3), np.int64)
        counts[:, EVENTS] = [events for _, _, events in rows]
        logs = np.array([(harm, safety, 2 * harm, 2 * safety) for harm, safety, _ in rows])
        pairs[name] = PairLooks(
            EvidenceCourse(logs, np.zeros((len(rows), 7)), counts), np.zeros((len(rows), 5), np.int64)
        )
    return EvidenceLooks(np.array(times), offset + np.arange(len(times))[:, np.newaxis], pairs)


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
    told = [
        looks([HOUR], 5, {name: [(0.0, 1.0, 10)]}),
        looks([2 * HOUR], 7, {}),
        looks([11 * HOUR, 12 * HOUR], 8, {name: [(-0.5, 1.1, 19), (-1.0, 1.6, 20)]}),
    ]
    rows = rows_of_looks(release, told, 77)
    assert (rows.times.tolist(), rows.events.tolist()) == ([HOUR, 11 * HOUR, 12 * HOUR], [10, 19, 20])
    assert [dict(each) for each in rows.offsets] == [dict(each) for each in rows.offsets[:]] == [{0: 5}, {0: 8}, {0: 9}]
    assert scene.take(rows) == ["release_advanced"]
    said = scene.said[-1]
    assert (said.cause, said.time, dict(said.finding.offsets)) == (f"outcomes@{12 * HOUR}", 77, {0: 9})
    assert (said.finding.log_safety, said.finding.events) == (1.6, 20)
    assert scene.stage("2") is Stage.CANARY


def test_no_look_is_no_row() -> None:
    """Nothing comes of nothing."""
    scene = started("2", Scene(replace(RULES, approvals=0)))
    assert scene.take(rows_of_looks(scene.release("2"), [], 0)) == []


def outcomes(noise: float, events: int) -> OutcomeRows:
    """Of one partition: an event each minute, answered by both models, mature at once."""
    candidate, champion, labels = models(np.random.default_rng(3), "balanced", noise, events)
    number = np.repeat(np.arange(events), 2)
    model = np.tile([0, 1], events)
    return OutcomeRows(
        progress=number * MINUTE,
        source=np.zeros(2 * events, np.int64),
        offset=np.arange(2 * events),
        model=model,
        key=number,
        time=number * MINUTE,
        score=np.where(model == 0, candidate[number], champion[number]),
        label=labels[number],
    )


def decided(rows: OutcomeRows, cuts: list[int]) -> tuple[ReleaseState, list[ReleaseDecision]]:
    """What becomes of a release by these outcomes, read in such batches."""
    rules = replace(RULES, approvals=0, minimum=100)
    scene = started("2", Scene(rules))
    fold = EvidenceFold()
    for name, question in questions(scene.release("2")).items():
        fold.begin(name, question)
    for low, high in pairwise([0, *cuts, len(rows)]):
        if high > low:
            part = rows.take(slice(low, high))
            reached = int(part.progress[-1])
            told = [*fold.take(0, high, reached, False, 1, ["digest-2", "digest-1"], part)]
            scene.take(rows_of_looks(scene.release("2"), told, 0))
    return scene.state, scene.said


@given(st.lists(st.integers(0, 2_000), max_size=6).map(sorted))
@settings(max_examples=10, deadline=None)
def test_outcomes_decide_alike_however_they_are_read(cuts: list[int]) -> None:
    """Of a model that harms: it is put back, at the same event, by the same evidence."""
    rows = outcomes(2.5, 1_000)
    state, said = decided(rows, cuts)
    assert (state, said) == decided(rows, [])
    assert [each.finding.type for each in said] == ["release_started", "release_rolled_back"]
    assert said[-1].finding.events < 500


def test_a_good_model_is_let_in_by_its_outcomes() -> None:
    """From the first pair in the dark to the end of its guard."""
    said = decided(outcomes(0.3, 4_000), [100, 3_000])[1]
    kinds = [each.finding.type for each in said]
    assert kinds == ["release_started", "release_advanced", "release_advanced", "release_promoted", "release_settled"]
