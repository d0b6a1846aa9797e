"""The service on a real Kafka: each trigger one answer and each training one end, whatever is killed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.domain.control.drift import DriftClosed, DriftHarmed, DriftOpened
from headrace.domain.control.release import ReleaseRejected, ReleaseRolledBack
from headrace.domain.control.retrain import ModelRegistered, RetrainAsked, RetrainFailed, RetrainFinished
from tests.retrain.loop import MEMBER, Loop

pytestmark = pytest.mark.faults


@pytest.fixture
def loop(kafka: str, pipeline_name: str, tmp_path: Path) -> Iterator[Loop]:
    """A pipeline with a service that is not started yet."""
    made = Loop(pipeline_name, tmp_path / "p", kafka)
    yield made
    made.close()


def test_an_incident_asks_again_when_its_training_failed(kafka: str, pipeline_name: str, tmp_path: Path) -> None:
    """Or its model was rejected; the member is killed between. Each time one more training, until it is over."""
    section = "retrain: {on: [drift, harm], cooldown: 1s, settle: 1s}"
    loop = Loop(pipeline_name, tmp_path / "p", kafka, section)
    try:
        (loop.jobs / "fail").touch()
        loop.say("t0", DriftOpened("i0", "outcomes", 5, model="m@1"))
        loop.say("t1", DriftHarmed("i0", "outcomes", 7, model="m@1"))
        member = loop.start(MEMBER)
        loop.wait(lambda: "retrain_asked" in loop.kinds(), "the incident's asking")
        assert (loop.answers()["t0"], loop.answers()["t1"]) == ("started", "incident")
        member.kill()
        member.wait()
        (loop.jobs / "fail").unlink()
        (loop.jobs / "go").touch()
        loop.wait(lambda: "model_registered" in loop.kinds(), "the second training")
        (made,) = (event.finding for event in loop.events() if isinstance(event.finding, ModelRegistered))
        loop.say("u1", ReleaseRejected("1", made.model, made.digest))
        loop.wait(lambda: loop.kinds().count("model_registered") == 2, "the third training")
        asked = [event for event in loop.events() if isinstance(event.finding, RetrainAsked)]
        assert {(event.finding.incident, event.cause) for event in asked} == {("i0", "t1")}
        assert {loop.answers()[event.event_id] for event in asked} == {"started"}
        reasons = [event.finding.reason for event in asked]
        assert ["failed" in reason for reason in reasons] == [True] * (len(asked) - 1) + [False]
        assert "was rejected" in reasons[-1]
        assert "harm" in loop.headrace("--history").stdout
        loop.say("t2", DriftClosed("i0", because="all as before"))
        last = [event.finding for event in loop.events() if isinstance(event.finding, ModelRegistered)][-1]
        loop.say("u2", ReleaseRolledBack("2", last.model, last.digest))
        loop.say("t3", RetrainAsked("person", "to see that all before it was heard"))
        loop.wait(lambda: loop.kinds().count("model_registered") == 3, "the training that a person asked for")
        assert len([event for event in loop.events() if event.event_id.startswith("retrain/harm/")]) == len(asked)
        assert not [*Path.cwd().glob(f"{pipeline_name}*")], "the service leaves something where it was started"
    finally:
        loop.close()


def test_triggers_are_answered_once_whatever_is_killed(loop: Loop) -> None:
    """Killed before an answer, between an answer and the end of its job, and asked to drain.

    One answer for each trigger, one training at a time, its job started again with the same order.
    """
    loop.say("t0", DriftOpened("i0", "predictions", 5, model="m@1"))
    member = loop.start(MEMBER)
    loop.wait(lambda: "t0" in loop.answers(), "the answer to what was said before")
    loop.say("t0", DriftOpened("i0", "predictions", 5, model="m@1"))  # told twice by its writer
    loop.say("t1", DriftOpened("i1", "shadow-predictions", 6, model="c@2"))
    loop.say("t2", RetrainAsked("person", "a new tariff"))
    loop.wait(lambda: len(loop.answers()) == 3, "answers to what was said meanwhile")
    assert loop.answers() == {"t0": "started", "t1": "dark", "t2": "active"}
    loop.wait(lambda: len(loop.began()) == 1, "the job")

    member.kill()
    member.wait()
    loop.say("t3", DriftHarmed("i0", "outcomes", 7, model="m@1"))
    loop.wait(lambda: "t3" in loop.answers(), "the answer after a kill")
    assert loop.answers()["t3"] == "incident"
    loop.wait(lambda: len(loop.began()) == 2, "the job again")
    first, second = loop.began()
    assert first["order"] == second["order"]
    assert loop.running() == [second["pid"]], "a job beside another"

    assert loop.stop(MEMBER) == 0, loop.logs()
    loop.wait(lambda: not loop.running(), "the end of the job", 10)
    loop.say("t4", DriftOpened("i4", "predictions", 8, model="m@1"))
    loop.start(MEMBER)
    loop.wait(lambda: "t4" in loop.answers(), "the answer after a drain")
    assert loop.answers()["t4"] == "active"
    (loop.jobs / "go").touch()
    loop.wait(lambda: "model_registered" in loop.kinds(), "the end of the training")
    events = loop.events()
    (finished,) = (event.finding for event in events if isinstance(event.finding, RetrainFinished))
    (told,) = (event for event in events if isinstance(event.finding, ModelRegistered))
    registered = told.finding
    assert isinstance(registered, ModelRegistered)
    assert (registered.run, registered.model) == (finished.run, finished.model)
    assert registered.figures == '{"auc_roc": 0.9}'
    assert "a library speaks" in Path(finished.log).read_text()
    stages = [event.event_id for event in events if event.finding.type == "retrain_progress"]
    assert [each.rpartition("/")[2] for each in stages] == ["read", "fit"], "a stage is told once"
    assert told.cause == "t0"

    loop.say("t5", DriftOpened("i5", "predictions", 9, model="m@1"))
    loop.say("t6", RetrainAsked("person", "they know better"))
    loop.wait(lambda: len(loop.answers()) == 7, "answers after the end")
    assert (loop.answers()["t5"], loop.answers()["t6"]) == ("cooldown", "started")
    loop.wait(lambda: loop.kinds().count("model_registered") == 2, "the second training")
    (loop.jobs / "go").unlink()
    (loop.jobs / "fail").touch()
    loop.say("t7", RetrainAsked("person", "once more"))
    loop.say("t8", RetrainAsked("person", "and once more"))
    loop.wait(lambda: "retrain_failed" in loop.kinds(), "the failure")
    (failed,) = (event.finding for event in loop.events() if isinstance(event.finding, RetrainFailed))
    assert failed.problem == "refused: no rows to learn from"
    ran = loop.headrace("--reason", "beyond the budget")
    assert (ran.returncode, ran.stdout.partition(",")[0]) == (3, "ignored: budget"), ran.stderr
    assert loop.stop(MEMBER, signal.SIGTERM) == 0
    unanswered = loop.headrace("--reason", "nobody is there", "--within", "2s")
    assert unanswered.returncode == 1
    assert "--history" in unanswered.stderr
    stories = json.loads(loop.headrace("--history", "--json").stdout)
    outcomes = ["finished", "ignored", "ignored", "ignored", "ignored", "ignored", "finished", "failed", "ignored"]
    assert [story["outcome"] for story in stories] == [*outcomes, "ignored", "waiting"]
    assert (stories[0]["model"], stories[0]["cpu_s"], stories[7]["problem"]) == (finished.model, 1.5, failed.problem)
    shown = loop.headrace("--history").stdout
    assert "cooldown, training" in shown
    assert "no answer yet" in shown
