"""The service with headrace's own jobs: so many outcomes ask for a training, which makes a package of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.domain.models.package import ModelPackage, load
from headrace.domain.plans.plan_log import publish
from headrace.domain.plans.plans import CHAMPION, Arm, Plan
from tests.members import Members
from tests.training.meters import ROWS, Meters

SECTION = f"retrain: {{on: [volume], volume: {ROWS - 500}, window: 1d, memory_mb: 2048, limit: 10m}}\n"


class Service(Members):
    """The service `retrain` of a project."""

    def __init__(self, meters: Meters) -> None:
        super().__init__(meters.bootstrap, meters.directory)
        self.meters = meters

    def command(self, member: str) -> list[str]:
        return ["services.retrain"]

    def own(self) -> dict[str, str]:
        trainings = str(self.meters.directory / "trainings")
        own = {"HEADRACE_PIPELINE": str(self.meters.path), "HEADRACE_TRAININGS": trainings, "HEADRACE_LOOK_S": "0.2"}
        return {**self.meters.environment(), **own}

    def headrace(self, *words: str) -> str:
        """A command about this pipeline; what it prints."""
        named = [str(self.meters.path)] if words[0] != "models" else []
        about = ["--pipeline", str(self.meters.path)] if words[0] == "models" else []
        verbs = 1 if words[0] == "retrain" else 2
        argv = [sys.executable, "-m", "headrace.cli", *words[:verbs], *named, *words[verbs:], *about]
        argv += ["--bootstrap", self.bootstrap]
        environment = {**os.environ, **self.meters.environment()}
        ran = subprocess.run(argv, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def let_answer(self, package: ModelPackage) -> None:
        """Make it the champion of the first plan."""
        manifest, meters = package.manifest, self.meters
        arm = Arm(CHAMPION, manifest.name, manifest.version, package.digest, "")
        plans = meters.contracts.channel("plans")
        made = Plan(meters.name, 1, (arm,))
        publish(meters.connection, plans, meters.name, lambda old: made, time=0, actor="a test", reason="a test")

    def ended(self, count: int) -> dict[str, object]:
        """The newest story, once there are so many and it has ended."""
        end = time.monotonic() + 400
        while True:
            found: list[dict[str, object]] = json.loads(self.headrace("retrain", "--history", "--json"))
            if len(found) >= count and found[-1]["outcome"] not in ("waiting", "active"):
                return found[-1]
            assert time.monotonic() < end, self.logs()
            self.assert_alive()
            time.sleep(1)  # Asks a command each time.


@pytest.fixture
def service(kafka: str, tmp_path: Path) -> Iterator[Service]:
    """A project with outcomes, and its service, which is not started yet."""
    meters = Meters(tmp_path / "meters", kafka)
    meters.path.write_text(meters.path.read_text() + SECTION)
    made = Service(meters)
    yield made
    made.close()


@pytest.mark.slow
def test_outcomes_ask_for_a_training_and_become_a_model(service: Service) -> None:
    """Not before they are as many as the file says; corrections and dark models do not count. Once the model answers,
    the next training lets it learn on, beside the windows that begin anew.
    """
    service.meters.fill(0, ROWS - 501)
    service.start("retrain-0")
    service.meters.fill(ROWS - 501, ROWS - 500)
    story = service.ended(1)
    assert (story["source"], story["outcome"]) == ("volume", "finished"), story
    packages = [load(path.parent) for path in (service.directory / "models").rglob("model.yaml")]
    (first,) = packages
    assert first.title == story["model"]

    service.let_answer(first)
    service.meters.fill(ROWS - 500, ROWS)
    service.headrace("retrain", "--reason", "a test")
    story = service.ended(2)
    assert (story["source"], story["outcome"]) == ("person", "finished"), story
    made = load(next(service.directory.glob(f"models/meters/{str(story['model']).partition('@')[2]}/*")))
    assert made.model_card is not None
    tried = {window.name: window for window in made.model_card.windows}
    assert list(tried) == ["sliding", "growing", "continued"]
    assert tried["continued"].base == first.title
    assert tried["continued"].why is None, tried
    assert first.manifest.training.end is not None
    assert (tried["continued"].start or 0) > first.manifest.training.end, "no row is learnt twice"
    assert sum(window.behind is None for window in tried.values()) == 1, "of all but the chosen one it is said how far"
    told = json.loads(service.headrace("models", "reproduce", made.title, "--json"))
    assert (told["state"], told["again"]) == ("identical", made.digest), told
    assert service.stop("retrain-0", signal.SIGTERM) == 0, service.logs()
