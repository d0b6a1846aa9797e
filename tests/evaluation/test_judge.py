"""The service `retrain` has registered packages judged: each once, whoever registered it, whatever is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.control.retrain import ModelEvaluated, ModelRegistered
from headrace.domain.pipeline.wiring import read_contracts
from headrace.domain.plans.plan_log import publish
from headrace.domain.plans.plans import CHAMPION, Arm, Plan
from headrace.operations.control_tail import ControlTail
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings
from tests.evaluation.test_evaluation import stored
from tests.training.meters import MINUTE, ROWS, Meters, outcomes

WAIT_S = 240
RELEASE = """
release: {minimum: 500, gates: {average_precision: better}}
"""


def register(meters: Meters, event_id: str, arm: Arm) -> None:
    """As a person does."""
    event = ControlEvent(event_id, meters.name, 1_000, "ana", ModelRegistered(arm.title, arm.digest, arm.uri))
    tail = ControlTail(meters.connection, meters.contracts.channel("control"))
    tail.say(event)
    tail.close()


def verdicts(meters: Meters, look: int = 1) -> dict[str, ModelEvaluated]:
    """Those of one look, by the event that registered a package; two of one are a failure."""
    channel, found = meters.contracts.channel("control"), dict[str, ModelEvaluated]()
    for intake in read(meters.connection, channel, ranges(meters.connection, channel.name)):
        for row in intake.batch.columns.to_pylist():
            event = read_event(row)
            if event is not None and isinstance(event.finding, ModelEvaluated) and event.finding.look == look:
                assert event.cause is not None
                assert event.cause not in found, "told twice"
                found[event.cause] = event.finding
    return found


def later(rows: list[dict[str, Any]], minutes: int) -> list[dict[str, Any]]:
    """The same readings once more, so much later."""
    times = ("event_time", "ingest_time", "predicted_time", "as_of", "label_time")
    return [
        {**row, **{name: row[name] + minutes * MINUTE for name in times if row.get(name) is not None}}
        | {name: f"{row[name]}/again" for name in ("event_id", "prediction_id")}
        for row in rows
    ]


def test_registered_packages_are_judged(kafka: str, tmp_path: Path) -> None:
    """A better one, one as good, one that is not there; a kill in between and a repeat change nothing.

    The one as good is judged again on twice the outcomes, also by a member that was not there before.
    """
    meters = Meters(tmp_path / "meters", kafka)
    meters.path.write_text(meters.path.read_text() + RELEASE)
    meters.contracts = read_contracts(Settings(pipeline=str(meters.path), bootstrap=kafka))
    meters.fill()
    large, small = stored(meters, "1", [0.05, 0.0], 2_000), stored(meters, "2", [-0.05, 0.0], 2_000)
    same = stored(meters, "3", [0.05, 0.0], 2_000)
    away = Arm("canary", "meters", "9", "sha256:" + "0" * 64, "file:///x")
    champion = Arm(CHAMPION, large.model, large.version, large.digest, large.uri)
    plan = Plan(meters.name, 0, (champion,))
    publish(
        meters.connection,
        meters.contracts.channel("plans"),
        meters.name,
        lambda _: plan,
        time=1,
        actor="ana",
        reason="first",
    )
    environment = {
        **os.environ, **meters.environment(), "HEADRACE_PIPELINE": str(meters.path), "HEADRACE_MEMBER": "retrain-0",
        "HEADRACE_SESSION_TIMEOUT_MS": "6000", "HEADRACE_TRAININGS": str(tmp_path / "trainings"), "HEADRACE_PORT": "0",
        "HEADRACE_LOOK_S": "0.2",
    }  # fmt: skip  # a row of settings

    def served() -> subprocess.Popen[bytes]:
        with (tmp_path / "retrain.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "services.retrain"], env=environment, stdout=log, stderr=log)

    register(meters, "r1", small)
    register(meters, "r2", same)
    register(meters, "r1", small)
    member = served()
    end = time.monotonic() + WAIT_S
    while "r1" not in verdicts(meters):
        assert time.monotonic() < end, (tmp_path / "retrain.log").read_text()
        time.sleep(0.2)  # The topic is all that tells.
    member.kill()
    member.wait()
    register(meters, "r3", away)
    member = served()
    while set(verdicts(meters)) != {"r1", "r2", "r3"}:
        assert time.monotonic() < end, (tmp_path / "retrain.log").read_text()
        time.sleep(0.2)  # The topic is all that tells.
    member.kill()
    member.wait()
    judged = verdicts(meters)["r2"]
    assert (judged.look, judged.again) == (1, 2 * judged.outcomes)
    meters.publish(later(outcomes(ROWS - judged.outcomes - 100, ROWS), ROWS))
    member = served()
    while not verdicts(meters, look=2):
        assert time.monotonic() < end, (tmp_path / "retrain.log").read_text()
        time.sleep(0.2)  # The topic is all that tells.
    (second,) = verdicts(meters, look=2).values()
    assert (second.model, second.verdict, second.until) == (judged.model, "unknown", judged.until)
    assert second.outcomes >= 2 * judged.outcomes
    assert second.again == 2 * second.outcomes
    assert "look 2, 98.75%" in second.because
    member.terminate()
    assert member.wait(60) == 0
    found = verdicts(meters)
    assert (found["r1"].verdict, found["r2"].verdict, found["r3"].verdict) == ("passed", "unknown", "failed")
    assert found["r1"].champion == "meters@1"
    assert found["r1"].outcomes > 1_500
    gates = {gate["gate"]: gate["standing"] for gate in json.loads(found["r2"].gates)}
    assert gates == {"minimum": "passed", "average_precision": "unknown"}
    assert "average_precision is unknown" in found["r2"].because
    assert "package is failed:" in found["r3"].because
    assert Path(found["r3"].log).exists()
