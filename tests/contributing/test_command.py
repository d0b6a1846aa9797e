"""The page that adds a command: an operation, a file and an entry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.contributing.page import files
from tests.contributing.tree import Tree
from tests.members import ROOT
from tests.project import Project

FILES = files("command")
TABLE = "headrace/cli/main.py"


@pytest.fixture
def project(kafka: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """Card fraud under a name of its own."""
    source = ROOT / "pipelines/card_fraud.yaml"
    made = Project(source, pipeline_name, tmp_path / "project", kafka, "unused", partitions=3)
    yield made
    made.close()


def test_a_command_is_an_operation_a_file_and_an_entry(project: Project, tmp_path: Path) -> None:
    """It tells the offsets of what was published, for programs and for people, and stands in the help."""
    tree = Tree(tmp_path / "tree")
    for path, text in FILES.items():
        if path != TABLE:
            tree.add(path, text)
    tree.enter(TABLE, "COMMANDS: dict[str, tuple[str, str]] = {\n", FILES[TABLE])

    def headrace(*arguments: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(tree.directory), "PYTHONSAFEPATH": "1", "COLUMNS": "120"}
        command = [sys.executable, "-m", "headrace.cli", *arguments]
        ran = subprocess.run(command, cwd=tree.directory, env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    schema = project.contracts.channel("labels").codec.reader.arrow
    labels = [{"event_id": str(n), "value": 1.0, "label_time": n, "source": ""} for n in range(7)]
    project.publish(pa.RecordBatch.from_pylist(labels, schema), "event_id", "labels")
    asked = (str(project.path), "--bootstrap", project.bootstrap)
    found = {each["topic"]: each for each in json.loads(headrace("sizes", *asked, "--json"))}
    assert found[f"{project.name}.labels"] == {"topic": f"{project.name}.labels", "partitions": 3, "offsets": 7}
    assert found[f"{project.name}.features"]["offsets"] == 0
    assert f"{project.name}.labels" in headrace("sizes", *asked)
    assert "How many offsets each topic of a pipeline holds." in headrace("--help")
