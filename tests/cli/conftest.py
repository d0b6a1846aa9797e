"""A pipeline of its own on real parts for each test of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.project import Project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """The card pipeline under a name of its own."""
    source = ROOT / "pipelines" / "card_fraud.yaml"
    made = Project(source, pipeline_name, tmp_path / "project", kafka, redis_server, partitions=2)
    yield made
    made.close()


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """The command line in an empty directory."""
    return Terminal(tmp_path, {"HEADRACE_HOME": str(tmp_path / "home")})


@pytest.fixture
def headrace(terminal: Terminal, project: Project) -> Terminal:
    """The command line with the addresses of the project's parts in its environment."""
    return Terminal(
        terminal.directory,
        {
            **terminal.env,
            "HEADRACE_BOOTSTRAP": project.bootstrap,
            "HEADRACE_REDIS": project.redis,
            "HEADRACE_MODELS": str(project.directory / "models"),
        },
    )
