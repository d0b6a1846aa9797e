"""compose.yaml as data, and its services as processes with the very same commands and variables."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from headrace.devparts import process
from headrace.operations.services import SERVICES as KINDS
from tests.models import graphs

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose" / "compose.yaml"
SERVICES = tuple(name for name, kind in KINDS.items() if not kind.profile)
"""Those that every pipeline has work for."""
PORT = "9100"


def services() -> dict[str, dict[str, Any]]:
    """The services of compose.yaml by name, anchors and merges resolved."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


class System:
    """The containers of headrace, run as processes in a folder of their own.

    The pipeline keeps the name by which the commands call it, but the topics in it get a prefix that nobody else uses.

    Args:
        directory: takes the pipeline file, models and logs.
        addresses: what stands in compose.yaml and what to put in its place.
    """

    def __init__(self, directory: Path, addresses: Mapping[str, str]) -> None:
        self.directory = directory
        self.name = f"card_fraud_{uuid.uuid4().hex[:8]}"
        folders = {
            folder: str(directory / folder.strip("/"))
            for folder in ("/tmp/models", "/tmp/trainings", "/tmp/headrace", "/models")
        }
        self.places = {**addresses, **folders}
        self.ports = dict(zip(SERVICES, map(str, process.free_ports(len(SERVICES))), strict=True))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (directory / "pipelines").mkdir(parents=True)
        text = (ROOT / "pipelines" / "card_fraud.yaml").read_text()
        assert "\npipeline: card_fraud\n" in text
        text = text.replace("\npipeline: card_fraud\n", f"\npipeline: {self.name}\n")
        (directory / "pipelines" / "card_fraud.yaml").write_text(text)

    def here(self, service: str, text: str) -> str:
        """A word of compose.yaml as it reads on this machine; `$$` is compose's way to write `$`."""
        for there, here in self.places.items():
            text = text.replace(there, here)
        return text.replace(PORT, self.ports.get(service, PORT)).replace("$$", "$")

    def environment(self, service: str) -> dict[str, str]:
        """The variables of a service's process: compose's own, and none of ours of that kind."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        ours["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{ours['PATH']}"
        given: dict[str, str] = services()[service].get("environment", {})
        return {**ours, **{name: self.here(service, value) for name, value in given.items()}}

    def run(self, service: str, *arguments: str) -> str:
        """Run a job of compose.yaml to its end (or the service `cli` with arguments); its output."""
        described = services()[service]
        command = ["headrace", *arguments] if arguments else [self.here(service, word) for word in described["command"]]
        ran = subprocess.run(
            command, cwd=self.directory, env=self.environment(service), capture_output=True, text=True, timeout=400
        )
        assert ran.returncode == 0, f"{service}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def start(self, service: str) -> None:
        """Start a service by its command; compose runs it below tini, which changes exit codes alone."""
        command = [self.here(service, word) for word in services()[service]["command"]]
        with (self.directory / f"{service}.log").open("wb") as log:
            self.processes[service] = subprocess.Popen(
                command, cwd=self.directory, env=self.environment(service), stdout=log, stderr=log
            )

    def healthy(self, service: str) -> bool:
        """What the service's own health check says."""
        kind, *command = services()[service]["healthcheck"]["test"]
        assert kind == "CMD"
        command = [self.here(service, word) for word in command]
        return subprocess.run(command, env=self.environment(service), capture_output=True, timeout=30).returncode == 0

    def play(self, weight: float = 0.01) -> str:
        """Put a tiny model into the store and have it played; its digest."""
        from headrace.domain.models.package import Input, Manifest, pack
        from headrace.domain.models.store import ModelStore
        from headrace.domain.pipeline.spec import expand
        from headrace.domain.pipeline.wiring import read_contracts
        from headrace.operations.plan_changes.plan_topic import publish_plan
        from headrace.streaming.process.settings import Settings

        settings = Settings(
            pipeline=str(self.directory / "pipelines" / "card_fraud.yaml"),
            bootstrap=self.here("score", "kafka:9092"),
            registry=self.here("score", services()["score"]["environment"]["HEADRACE_REGISTRY"]),
        )
        contracts = read_contracts(settings)
        inputs = tuple(Input(name=name) for name in expand(contracts.pipeline))
        weights = [weight] + [0.0] * (len(inputs) - 1)
        package = pack(Manifest(name="tiny", version="1", inputs=inputs), graphs.logistic(weights))
        uri = ModelStore(self.here("score", "/models"), self.directory / "cache").put(package)
        publish_plan(settings.connection, contracts.channel("plans"), self.name, package, uri, "for a test")
        return package.digest

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
        """Wait until it holds; fails with the services' logs when it does not, or when a service ends."""
        end = time.monotonic() + seconds
        while not condition():
            for service, child in self.processes.items():
                assert child.poll() is None, f"{service} ended with {child.returncode}\n{self.logs()}"
            assert time.monotonic() < end, f"{what}: not within {seconds:g} s\n{self.logs()}"
            time.sleep(0.3)  # Asks a process: there is no event to wait for.

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; how each ended."""
        for child in self.processes.values():
            child.terminate()
        codes = {service: child.wait(30) for service, child in self.processes.items()}
        self.processes.clear()
        return codes

    def kill(self) -> None:
        """End what still runs."""
        for child in self.processes.values():
            child.kill()
            child.wait()
        self.processes.clear()

    def logs(self) -> str:
        """What services said last."""
        return "\n".join(f"{path.name}: {path.read_text()[-3000:]}" for path in sorted(self.directory.glob("*.log")))
