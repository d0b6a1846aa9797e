"""A small pipeline in a folder of its own, to be broken in every way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.domain.pipeline.check import check
from headrace.domain.pipeline.document import Problem

STRANGER = Path(__file__).parent / "stranger"
SMALL = """\
pipeline: small
events: {schema: bike_trip, id: trip, time: returned_at, key: rider}
views:
  rider: {key: rider, windows: [1h], features: {trips: count, ridden: sum(minutes)}}
model: {name: small, inputs: [minutes, rider.*]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with the stranger's schemas."""
    shutil.copytree(STRANGER, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def problems_of(project: Path) -> Callable[[str], list[Problem]]:
    """What `check` says of a text that is saved as a pipeline file of the project."""

    def problems(text: str) -> list[Problem]:
        path = project / "pipelines" / "small.yaml"
        path.write_text(text, "utf-8")
        return check(path)

    return problems
