"""The service `notify` as a process, on a real Kafka, with a receiver that it has to wait for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.domain.control.drift import DriftHarmed
from headrace.domain.control.events import ControlEvent
from tests.members import ROOT
from tests.notification.webhook import Webhook
from tests.project import Project

pytestmark = pytest.mark.faults

BOUND_S = 120.0
SECTION = "notify: {channels: {oncall: {env: ONCALL_URL, events: [harm]}, gone: {env: GONE_URL, events: [harm]}}}\n"


def waited(found: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait until something is found."""
    end = time.monotonic() + BOUND_S
    while not found():
        assert time.monotonic() < end, what()
        time.sleep(0.05)  # It comes by HTTP or Kafka: there is no event to wait for.


def headrace(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    """A command, on the project's broker."""
    argv = [sys.executable, "-m", "headrace.cli", *words, "--bootstrap", project.bootstrap]
    return subprocess.run(argv, cwd=project.directory, env=project.environment("cli"), capture_output=True, text=True)


def test_a_killed_member_repeats_one_message_and_loses_none(
    kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path
) -> None:
    """Killed after a receiver had a message and before that was committed; what nobody takes is a dead letter."""
    (tmp_path / "pipelines").mkdir()
    source = tmp_path / "pipelines/card_fraud.yaml"
    source.write_text((ROOT / "pipelines/card_fraud.yaml").read_text() + SECTION)
    (tmp_path / "schemas").mkdir()
    project = Project(source, pipeline_name, tmp_path / "project", kafka, redis_server, 1)
    webhook, go = Webhook(), threading.Event()

    def answer() -> int:
        go.wait(BOUND_S)
        return 200

    webhook.answer = answer
    with webhook.at() as port:
        project.settings = {
            "ONCALL_URL": f"json://127.0.0.1:{port}/?rto=60", "GONE_URL": "json://127.0.0.1:1/",
            "HEADRACE_GIVE_UP_S": "1", "HEADRACE_CHECKPOINT_S": "1",
        }  # fmt: skip  # a table
        now = int(time.time() * 1000)
        events = [
            ControlEvent(identity, pipeline_name, now, "drift", DriftHarmed(identity, "outcomes", model="m@1"))
            for identity in ("first", "second")
        ]
        schema = project.contracts.channel("control").codec.reader.arrow
        try:
            project.publish(pa.RecordBatch.from_pylist([e.row() for e in events], schema=schema), "pipeline", "control")
            project.start("notify-0")
            waited(lambda: len(webhook.received) == 1, project.logs)
            project.stop("notify-0", signal.SIGKILL)
            go.set()
            project.start("notify-0")
            project.await_count("notifications", 8)
            project.await_count("dead-letters", 2)
            webhook.answer = lambda: 200
            project.settings["GONE_URL"] = project.settings["ONCALL_URL"]  # somebody mended the address
            project.stop("notify-0", signal.SIGKILL)
            resent = headrace(project, "notify", "resend", str(project.path), "--channel", "gone", "--json")
            assert [row["event_id"] for row in json.loads(resent.stdout)] == ["first", "second"]
            again = headrace(project, "notify", "resend", str(project.path))
            assert (again.returncode, "no message of" in again.stdout) == (1, True)
            project.start("notify-0")
            project.await_count("notifications", 12)
            assert project.stop("notify-0") == 0
        finally:
            project.close()
    steps = Counter((row["channel"], row["step"]) for row in project.read("notifications").to_pylist())
    assert steps == {
        ("oncall", "due"): 2, ("gone", "due"): 2, ("oncall", "sent"): 2, ("gone", "undelivered"): 2,
        ("gone", "again"): 2, ("gone", "sent"): 2,
    }  # fmt: skip  # a table
    told = [body["message"].splitlines()[-1] for body in webhook.received]
    assert told[:3] == ["event first", "event first", "event second"]
    assert told[3:] == ["event first", "event second"]
    letters = project.read("dead-letters").to_pylist()
    assert {(row["reason"], row["topic"]) for row in letters} == {("undelivered", f"{pipeline_name}.notifications")}
