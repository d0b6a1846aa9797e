"""The page that adds a service: its files and its entry are all that a service takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.domain.simulation.simulators import World, simulate
from headrace.streaming.kafka.admin import Admin
from tests.contributing.page import files
from tests.contributing.tree import Tree
from tests.members import ROOT
from tests.project import Project

FILES = files("service")
REGISTRY = "headrace/operations/services.py"
CONTRACTS = ("topics/counts.yaml", "schemas/count.avsc")


class Extended(Project):
    """A project of a headrace that has one service more."""

    tree: Path

    def command(self, member: str) -> list[str]:
        return ["services.counts"] if member.startswith("counts") else super().command(member)

    def own(self) -> dict[str, str]:
        return super().own() | {"PYTHONPATH": str(self.tree), "PYTHONSAFEPATH": "1"}

    def headrace(self, *arguments: str) -> str:
        """What a command of the tree prints."""
        env = {**os.environ, **self.own(), "HEADRACE_BOOTSTRAP": self.bootstrap}
        command = [sys.executable, "-m", "headrace.cli", *arguments]
        ran = subprocess.run(command, cwd=self.tree, env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """The product with the page's folder and entry."""
    made = Tree(tmp_path / "tree")
    for path, text in FILES.items():
        if path.startswith("services/"):
            made.add(path, text)
    made.enter(REGISTRY, "    for entry in (\n", FILES[REGISTRY])
    return made


@pytest.fixture
def project(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path, tree: Tree) -> Iterator[Extended]:
    """Card fraud with the page's topic."""
    source = tmp_path / "source"
    for folder in ("topics", "schemas", "pipelines"):
        (source / folder).mkdir(parents=True)
    for path in CONTRACTS:
        (source / path).write_text(FILES[path])
    (source / "pipelines/card_fraud.yaml").write_text((ROOT / "pipelines/card_fraud.yaml").read_text())
    made = Extended(source / "pipelines/card_fraud.yaml", pipeline_name, tmp_path / "project", kafka, redis_server, 2)
    made.tree = tree.directory
    made.settings = {"HEADRACE_CHECKPOINT_S": "1"}
    yield made
    made.close()


def numbered(rows: pa.RecordBatch, key: str, name: str) -> dict[str, tuple[str, int]]:
    """What the service has to say: (entity, how many it had) of each event."""
    had: Counter[str] = Counter()
    wanted = {}
    for event, entity in zip(rows[name].to_pylist(), rows[key].to_pylist(), strict=True):
        had[str(entity)] += 1
        wanted[str(event)] = (str(entity), had[str(entity)])
    return wanted


def test_a_service_is_a_folder_and_an_entry(project: Extended) -> None:
    """It counts each event once though it is killed and its topic grows; commands know it."""
    (rows,) = simulate(project.contracts.pipeline, World(entities=40, others=60, days=20)).combine_chunks().to_batches()
    key, name = project.contracts.pipeline.events.key, project.contracts.pipeline.events.id
    third = rows.num_rows // 3
    project.publish(rows.slice(0, third), key)
    project.start("counts-0")
    project.await_count("counts", third)
    project.stop("counts-0", signal.SIGKILL)
    project.publish(rows.slice(third, third), key)
    project.start("counts-0")
    project.await_count("counts", 2 * third)
    assert project.stop("counts-0") == 0
    Admin(project.bootstrap).add_partitions(f"{project.name}.events", 3)
    assert "counts: its state is in 3 partitions now" in project.headrace("repartition", str(project.path))
    project.publish(rows.slice(2 * third), key)
    project.start("counts-0")
    found = project.await_count("counts", rows.num_rows)
    assert project.stop("counts-0") == 0
    assert found.num_rows == rows.num_rows
    told = {row["event_id"]: (row["entity"], row["number"]) for row in found.to_pylist()}
    assert told == numbered(rows, key, name)
    lags = json.loads(project.headrace("lag", str(project.path), "--json"))
    assert {each["records"] for each in lags if each["group"] == f"{project.name}.counts"} == {0}


def test_the_import_contracts_hold_for_it(tree: Tree) -> None:
    """As for all others, and without a word in pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    env = {**os.environ, "PYTHONPATH": str(tree.directory)}
    said = subprocess.run([str(program), "--no-cache"], cwd=tree.directory, env=env, capture_output=True, text=True)
    assert "0 broken" in said.stdout, said.stdout
    (tree.directory / "services/counts/service.py").write_text("import services.score.app\n")
    said = subprocess.run([str(program), "--no-cache"], cwd=tree.directory, env=env, capture_output=True, text=True)
    assert "services.counts.service -> services.score.app" in said.stdout, said.stdout
