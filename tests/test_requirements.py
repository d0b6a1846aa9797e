"""The requirement files: hashed, from no particular index, and in step with pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {
    "dev.txt": ("cpu", "train", "retrain", "local", "plot", "drift", "notify", "mlflow", "models", "dev"),
    "run.txt": ("cpu", "notify"),
    "run-gpu.txt": ("gpu", "notify"),
    "run-train.txt": ("cpu", "train", "retrain", "notify"),
}


def distribution(requirement: str) -> str:
    """The normalised name in a requirement."""
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize("file", EXTRAS)
def test_every_dependency_is_pinned(file: str) -> None:
    """Each dependency of the extras that a file stands for has a version in it; else `make lock` is due."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(one for extra in EXTRAS[file] for one in project["optional-dependencies"][extra]),
    ]
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    pinned = {distribution(line) for line in lines if "==" in line}
    assert {distribution(one) for one in asked} - {"headrace"} <= pinned


@pytest.mark.parametrize("file", EXTRAS)
def test_files_install_from_any_mirror(file: str) -> None:
    """Every line is a pin or a hash: no index, no address, no option."""
    for line in (ROOT / "requirements" / file).read_text().splitlines():
        assert re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+( ; .*)? \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$", line), line


def test_every_requirement_file_is_tested() -> None:
    """No file escapes the two tests above."""
    assert {path.name for path in (ROOT / "requirements").glob("*.txt")} == set(EXTRAS)


ALONE = """
import sys
from importlib.metadata import packages_distributions

run, owners = {run!r}, packages_distributions()

class Bare:
    def find_spec(self, name, path=None, target=None):
        own = {{owner.lower().replace("_", "-") for owner in owners.get(name, [])}}
        if path is None and own and not own & run:
            raise ModuleNotFoundError(f"{{name}} is not among what runs services", name=name)

sys.meta_path.insert(0, Bare())
from headrace.cli.main import COMMANDS, load
from headrace.operations.services import SERVICES
for entry in SERVICES.values():
    entry.part("app")
for command in COMMANDS:
    load(command)
print(len(SERVICES), len(COMMANDS))
"""


def test_services_and_commands_load_with_what_runs_them() -> None:
    """Nothing that only development needs is imported where services run, or by a command before it needs it."""
    lines = (ROOT / "requirements/run.txt").read_text().splitlines()
    run = {distribution(line) for line in lines if "==" in line} | {"headrace"}
    ran = subprocess.run([sys.executable, "-c", ALONE.format(run=run)], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "psutil" not in run
    assert "fastavro" not in run
