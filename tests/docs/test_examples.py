"""The examples of the pages, run as they stand there, but for addresses and the pipeline's name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headrace.devparts.maven import fetch, java
from tests.compose.system import SERVICES, System
from tests.docs.tables import ROOT
from tests.pipeline.conftest import STRANGER

DOCS = ROOT / "docs"
BROKER, REGISTRY = "localhost:9092", "http://localhost:8081/apis/ccompat/v7"
PATIENCE_S = 90


def blocks(kind: str) -> dict[str, str]:
    """What stands in the pages behind `<!-- KIND: NAME -->`, by name."""
    found = {}
    for page in sorted(DOCS.glob("*.md")):
        for name, text in re.findall(rf"<!-- {kind}: (\S+) -->\n```\w+\n(.*?)```", page.read_text(), re.DOTALL):
            assert name not in found, f"{name} stands twice"
            found[name] = text
    return found


class Reader:
    """A user who copies examples into the folder of the pipeline and runs them.

    Args:
        system: the services that they talk to.
        places: what stands in the examples and what to put in its place.
    """

    def __init__(self, system: System, places: dict[str, str]) -> None:
        self.system = system
        self.places = places
        self.directory = system.directory

    def command(self, name: str) -> list[str]:
        """Write an example to its file; how it is run."""
        text = blocks("example")[name]
        for there, here in self.places.items():
            text = text.replace(there, here)
        path = self.directory / name
        path.write_text(text)
        if path.suffix == ".java":
            return [java(), "-cp", f"{fetch('kafka')}/*:{fetch('registry')}/lib/*", str(path)]  # the latter has Avro
        run = {".py": [sys.executable], ".sh": ["bash", "-e"], ".mjs": ["node"]}[path.suffix]
        return [*run, str(path)]

    @property
    def env(self) -> dict[str, str]:
        """As in a user's shell: the commands are on PATH, the registry and the broker are known."""
        return {**self.system.environment("cli"), "PYTHONUNBUFFERED": "1"}

    def run(self, name: str) -> str:
        """Run an example to its end; what it printed."""
        ran = subprocess.run(
            self.command(name), cwd=self.directory, env=self.env, capture_output=True, text=True, timeout=120
        )
        assert ran.returncode == 0, f"{name}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def lines(self, name: str, count: int) -> list[str]:
        """Run an example that never ends until it has printed so many lines."""
        command = self.command(name)
        with subprocess.Popen(command, cwd=self.directory, env=self.env, stdout=subprocess.PIPE, text=True) as child:
            watch = threading.Timer(PATIENCE_S, child.kill)
            watch.start()
            assert child.stdout is not None
            try:
                found = [line for _, line in zip(range(count), child.stdout, strict=False)]
            finally:
                watch.cancel()
                child.kill()
        assert len(found) == count, f"{name}: {found}\n{self.system.logs()}"
        return found


@pytest.fixture(scope="module")
def reader(kafka: str, redis_server: str, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader of the pages beside running services of card_fraud with a model."""
    directory = tmp_path_factory.mktemp("docs")
    addresses = {
        "kafka:9092": kafka,
        "redis://redis:6379/0": redis_server,
        "http://registry:8080/apis/ccompat/v7": registry,
    }
    system = System(directory / "system", addresses)
    try:
        system.run("schemas")
        system.run("topics")
        for service in SERVICES:
            system.start(service)
        system.play()
        places = {REGISTRY: registry, BROKER: kafka, "card_fraud.": f"{system.name}."}
        yield Reader(system, places)
    finally:
        system.kill()


def program(name: str) -> None:
    """Skip without a program, but fail in CI."""
    if shutil.which(name) is None:
        assert not os.environ.get("CI"), f"{name} is not on PATH"
        pytest.skip(f"{name} is not on PATH")


@pytest.mark.slow  # services start, and a JVM, and each example is a process
def test_producers_and_consumers(reader: Reader) -> None:
    """Events of the Python, the Java and the kcat example come back as predictions to the consumers' examples."""
    program("kcat")
    assert len(reader.run("produce.py").splitlines()) == 3
    assert reader.system.name in reader.run("Produce.java")
    reader.run("encode.py")
    reader.run("kcat-produce.sh")
    found = [line.split() for line in reader.lines("consume.py", 5)]
    assert sorted(words[0] for words in found) == [f"{number}/tiny@1/champion" for number in range(1, 6)]
    assert {words[1] for words in found} == {"42"}
    told = reader.run("kcat-consume.sh").splitlines()
    assert len(told) == 5
    # One customer, three partitioners that agree: all in one partition.
    assert len({line.split(",")[0] for line in told}) == 1
    assert all("key 42" in line for line in told)


@pytest.mark.slow  # as above
def test_dead_letters(reader: Reader) -> None:
    """A dead letter is read and published again as the page says, with its bytes; unmended, it comes back."""
    program("kcat")
    topic, kafka = f"{reader.system.name}.events", reader.places[BROKER]
    command = ["kcat", "-P", "-b", kafka, "-t", topic, "-k", "7", "-X", "partitioner=murmur2_random"]
    subprocess.run(command, input=b"this is no Avro", check=True, timeout=60)
    reader.system.wait(lambda: letters(reader) == 1, "the dead letter")
    assert reader.run("republish.py") == "1 records published again\n"
    reader.system.wait(lambda: letters(reader) == 2, "the dead letter again")


def letters(reader: Reader) -> int:
    """How many dead letters there are, read as the page says."""
    reader.run("read-dead-letters.sh")
    found = pq.read_table(reader.directory / "dead-letters.parquet")
    assert set(found["value"].to_pylist()) <= {b"this is no Avro"}
    return int(found.num_rows)


@pytest.mark.slow  # as above
def test_clients_are_told_the_predictions_of_their_own_events(reader: Reader) -> None:
    """In Python by the product's client, in Java and JavaScript by what the page shows."""
    program("npm")
    packages = ["kafkajs@2.2.4", "avsc@5.7.9", "lz4js@0.2.0"]
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", *packages]
    subprocess.run(install, cwd=reader.directory, check=True, timeout=300)
    assert reader.run("client.py").splitlines() == ["6 tiny@1 True", "7 out_of_range"]
    assert reader.run("Predict.java").startswith("10/tiny@1/champion 0.")
    assert reader.run("predict.mjs").startswith("11/tiny@1/champion 0.")


@pytest.mark.slow  # seven commands, two of which run services
def test_own_use_case(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> None:
    """The commands of the page lead from two files to predictions."""
    project = tmp_path / "project"
    shutil.copytree(STRANGER, project)
    path = project / "pipelines" / "bike_demand.yaml"
    path.write_text(path.read_text().replace("pipeline: bike_demand", f"pipeline: {pipeline_name}"))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    env = {
        **ours,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HEADRACE_BOOTSTRAP": kafka,
        "HEADRACE_REDIS": redis_server,
    }
    ran = ""
    for name, text in blocks("commands").items():
        for line in text.splitlines():
            done = subprocess.run(
                ["bash", "-ec", line], cwd=project, env=env, capture_output=True, text=True, timeout=150
            )
            assert done.returncode == 0, f"{name}: {line}: {done.returncode}\n{done.stdout}{done.stderr}"
            ran = done.stdout
    assert "bike_demand 2" in ran  # the last command shows predictions: the model's name and version, a time
