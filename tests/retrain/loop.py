"""A pipeline whose trainings are made up, on real parts: what is asked, what is answered, which jobs ran."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.control.retrain import RetrainIgnored, RetrainStarted
from headrace.operations.control_tail import ControlTail
from headrace.streaming.kafka.reader import ranges, read
from tests.members import ROOT
from tests.project import Project

MEMBER = "retrain-0"
SECTION = "retrain: {on: [drift, harm], cooldown: 1h, per_month: 3}"


class Loop(Project):
    """A project with the service `retrain` and a job that ends when it is told to."""

    def __init__(self, name: str, directory: Path, bootstrap: str, section: str = SECTION) -> None:
        super().__init__(ROOT / "pipelines/card_fraud.yaml", name, directory, bootstrap, "redis://127.0.0.1:1", 2)
        lines = self.path.read_text().splitlines()
        self.path.write_text("\n".join(section if line.startswith("retrain:") else line for line in lines) + "\n")
        self.jobs = directory / "jobs"
        self.jobs.mkdir()
        command = [sys.executable, str(ROOT / "tests/retrain/job.py"), str(self.jobs)]
        self.settings |= {
            "HEADRACE_JOB": json.dumps(command),
            "HEADRACE_TRAININGS": str(directory / "trainings"),
            "HEADRACE_LOOK_S": "0.2",
        }

    def say(self, event_id: str, finding: ControlFinding) -> None:
        """Write an event to the control topic."""
        tail = ControlTail(self.connection, self.contracts.channel("control"))
        tail.say(ControlEvent(event_id, self.name, int(time.time() * 1000), "a test", finding))
        tail.close()

    def headrace(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`headrace retrain` of this pipeline."""
        argv = [sys.executable, "-m", "headrace.cli", "retrain", str(self.path), "--bootstrap", self.bootstrap, *words]
        return subprocess.run(argv, cwd=self.directory, capture_output=True, text=True, timeout=120)

    def events(self) -> list[ControlEvent]:
        """All that is on the control topic, in its order."""
        channel = self.contracts.channel("control")
        intakes = read(self.connection, channel, ranges(self.connection, channel.name))
        found = [read_event(row) for intake in intakes for row in intake.batch.columns.to_pylist()]
        return [event for event in found if event is not None]

    def kinds(self) -> list[str]:
        """The kinds of all events, in the order of the topic."""
        return [event.finding.type for event in self.events()]

    def answers(self) -> dict[str, str]:
        """By trigger, the rule of its answer, or `started`; a trigger that has two is a failure."""
        found: dict[str, str] = {}
        for event in self.events():
            said = event.finding
            if isinstance(said, RetrainStarted | RetrainIgnored):
                assert said.trigger not in found, f"{said.trigger} is answered twice"
                found[said.trigger] = said.rule if isinstance(said, RetrainIgnored) else "started"
        return found

    def began(self) -> list[dict[str, Any]]:
        """The jobs that began: their pids and orders."""
        path = self.jobs / "began.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def running(self) -> list[int]:
        """Pids of jobs that run."""
        pids = [each["pid"] for each in self.began() if psutil.pid_exists(each["pid"])]
        return [pid for pid in pids if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]

    def wait(self, until: Callable[[], bool], what: str, within: float = 90.0) -> None:
        """Wait for something; members that end meanwhile are started again."""
        end = time.monotonic() + within
        while not until():
            assert time.monotonic() < end, f"{what} did not come\n{self.kinds()}\n{self.logs()}"
            self.revive()
            time.sleep(0.1)  # The topic is all that tells.
