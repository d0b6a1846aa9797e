"""The built wheel: an editable install has the whole tree on its path, so only this shows what users get."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = (folder / "dist").glob("headrace-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, code: str) -> str:
    """What a Python program prints that finds the wheel's content before anything else."""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.check_output([sys.executable, "-c", code], cwd=installed.parent, env=env, text=True).strip()


@pytest.mark.parametrize("folder", ["schemas", "topics", "pipelines"])
def test_contracts_are_in_the_wheel(installed: Path, folder: str) -> None:
    """Every contract of the tree is in the wheel, and the code finds it there."""
    found = Path(run(installed, "from headrace.domain.pipeline.workspace import builtin; print(builtin())"))
    assert found == installed / "headrace" / "contracts"
    expected = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert expected
    assert {path.relative_to(found) for path in (found / folder).rglob("*") if path.is_file()} == expected


def test_parts_are_in_the_wheel(installed: Path) -> None:
    """The recipes by which the broker and the registry are fetched come with the code that reads them."""
    code = "import headrace.devparts.maven as m; from importlib.resources import files; "
    code += "print(m.__file__, *sorted(p.name for p in files('headrace.devparts').joinpath('poms').iterdir()))"
    where, *poms = run(installed, code).split()
    assert Path(where).is_relative_to(installed)
    assert poms == ["kafka.xml", "registry.xml"]


def test_command_is_importable(installed: Path) -> None:
    """The `headrace` command points at a function that is in the wheel."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, function = scripts["headrace"].split(":")
    assert run(installed, f"import {module} as m; print(callable(m.{function}))") == "True"
