"""The service with headrace's own jobs: so many outcomes ask for a training, which makes a package of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.domain.models.package import load
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

    def stories(self) -> list[dict[str, object]]:
        """What became of all triggers."""
        words = ["retrain", str(self.meters.path), "--bootstrap", self.bootstrap, "--history", "--json"]
        argv = [sys.executable, "-m", "headrace.cli", *words]
        ran = subprocess.run(argv, cwd=self.directory, capture_output=True, text=True, timeout=120, check=True)
        found: list[dict[str, object]] = json.loads(ran.stdout)
        return found


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
    """Not before they are as many as the file says; corrections and dark models do not count."""
    service.meters.fill(0, ROWS - 501)
    service.start("retrain-0")
    end = time.monotonic() + 300
    service.meters.fill(ROWS - 501, ROWS)
    while not (stories := service.stories()) or stories[0]["outcome"] in ("waiting", "active"):
        assert time.monotonic() < end, service.logs()
        service.assert_alive()
        time.sleep(1)  # Asks a command each time.
    (story,) = stories
    assert (story["source"], story["outcome"]) == ("volume", "finished"), story
    packages = [load(path.parent) for path in (service.directory / "models").rglob("model.yaml")]
    assert [f"{found.manifest.name}@{found.manifest.version}" for found in packages] == [story["model"]]
    assert service.stop("retrain-0", signal.SIGTERM) == 0, service.logs()
