"""Which packages are judged again, and when no more."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import (
    ReleaseHeld,
    ReleaseInconclusive,
    ReleaseRejected,
    ReleaseStarted,
    ReleaseSuperseded,
    ReleaseWithdrawn,
)
from headrace.domain.control.retrain import ModelEvaluated, ModelRegistered
from headrace.domain.pipeline.release.spec import DAY, Release
from headrace.domain.release.inputs import ModelEvaluation
from headrace.domain.retrain.gate_waits import GateWait
from headrace.domain.retrain.history import TrainingHistory
from headrace.domain.retrain.packages import RegisteredPackage
from headrace.domain.training.job.child import JobEnd
from services.release.machine_inputs import event_told
from services.retrain.job_findings import verdict_of

PACKAGE = RegisteredPackage("r1", "m@1", "sha256:1", "file:///m", "")
ENDS = [ReleaseRejected, ReleaseSuperseded, ReleaseWithdrawn, ReleaseStarted]


def unknown(look: int, outcomes: int = 600, verdict: str = "unknown", digest: str = "sha256:1") -> ModelEvaluated:
    """A verdict that nobody knows yet."""
    return ModelEvaluated(
        "m@1", digest, verdict=verdict, outcomes=outcomes, offsets='{"0": [5, 70]}', look=look, again=2 * outcomes,
        until=30 * DAY,
    )  # fmt: skip  # as `verdict_of` tells it


@pytest.mark.parametrize("seed", range(200))
def test_random_courses_wait_as_a_plain_account_says(seed: int) -> None:
    """Packages, verdicts, decisions in any order, some twice: what waits is what has no end and a newest unknown."""
    chance = random.Random(seed)
    history, events, plain = TrainingHistory(), list[ControlEvent](), dict[str, int | None]()
    registered = dict[str, str]()
    for step in range(60):
        digest = f"sha256:{chance.randrange(4)}"
        doing = chance.random()
        if doing < 0.3:
            cause = f"r{step}"
            registered[cause] = digest
            event = ControlEvent(cause, "p", step, "ana", ModelRegistered("m@1", digest))
        elif doing < 0.75 and registered:
            cause = chance.choice([*registered])
            look = (plain.get(cause) or 0) + 1
            verdict = chance.choice(["unknown", "unknown", "unknown", "passed", "failed"])
            event = ControlEvent(f"{cause}/{look}", "p", step, "retrain", unknown(look, verdict=verdict), cause)
            if plain.get(cause, 0) is not None and event.event_id not in {each.event_id for each in events}:
                plain[cause] = look if verdict == "unknown" else None
        else:
            kind = chance.choice([*ENDS, ReleaseHeld, ReleaseInconclusive])
            event = ControlEvent(f"d{step}", "p", step, "release", kind(f"{step}", "m@1", digest))
            if kind in ENDS:
                plain |= {cause: None for cause, its in registered.items() if its == digest}
        events.append(event)
        history.fold(event)
        if chance.random() < 0.3:
            history.fold(chance.choice(events))
        waits = {cause: look for cause, look in plain.items() if look}
        assert {cause: wait.look - 1 for cause, wait in history.gates.waiting.items()} == waits


def ended(outcomes: int, look: int, standing: str = "unknown") -> JobEnd:
    """The end of an evaluation."""
    gate = {"gate": "auc_roc", "standing": standing, "figure": 0.1, "bound": 0.0, "remedy": "", "fixed_sample": True}
    candidate = {"arm": "canary", "model": "m", "version": "1", "digest": "sha256:1", "uri": "file:///m"}
    order = {"pipeline": "p", "candidate": candidate, "look": look, "offsets": {"0": [5, 70], "2": [0, 9]}}
    result = {
        "order": order, "gates": [gate], "outcomes": outcomes, "known": 0, "unanswered": 0, "start": None, "end": None,
        "figures": {}, "latency": None, "memory": 0, "agreement": None, "as_of": 10 * DAY,
    }  # fmt: skip  # as a job tells it
    return JobEnd(Path("log"), result)


def test_a_verdict_says_when_the_next_one_comes() -> None:
    """At twice the outcomes, or the minimum; within the deadline of the first look, which later ones keep."""
    rules = Release(minimum=5_000, deadline=20 * DAY)
    first = verdict_of(PACKAGE, ended(700, 1), rules)
    assert (first.look, first.again, first.until) == (1, 5_000, 30 * DAY)
    none = verdict_of(PACKAGE, ended(0, 1), Release(deadline=DAY))
    assert (none.look, none.again, none.until) == (0, 500, 11 * DAY), "nothing was looked at"
    wait = GateWait(PACKAGE, 2, 700, 5_000, 12 * DAY, {0: 70})
    second = verdict_of(PACKAGE, ended(5_200, 2), rules, wait)
    assert (second.look, second.again, second.until) == (2, 10_400, 12 * DAY)
    over = verdict_of(PACKAGE, ended(5_200, 2, "passed"), rules, wait)
    assert (over.verdict, over.again, over.until) == ("passed", None, None)


def test_an_evaluation_that_fails_is_not_tried_again_and_again() -> None:
    """The first one is a person's; a later one waits for twice the outcomes that it was to be made on."""
    broken = JobEnd(Path("log"))
    first = verdict_of(PACKAGE, broken, Release())
    assert (first.verdict, first.again) == ("unknown", None)
    second = verdict_of(PACKAGE, broken, Release(), GateWait(PACKAGE, 2, 700, 1_400, 12 * DAY, {0: 70}))
    assert (second.look, second.again, second.outcomes) == (2, 2_800, 700)
    assert json.loads(second.offsets) == {"0": [70, 70]}


def test_people_are_told_when_it_is_judged_again() -> None:
    """A sentence with both numbers and the last date."""
    row = ControlEvent("e", "p", 5, "retrain", unknown(1, 12_000), "r1").row()
    told = event_told({**row, "evidence": dict(row["evidence"])})
    assert isinstance(told, ModelEvaluation)
    assert told.again == (
        "it is judged again at 24,000 outcomes of after its training, of which there were 12,000, "
        "if they come by 1970-01-31 00:00 UTC of event time"
    )
