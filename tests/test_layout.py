"""The import contracts: they name what exists, the code keeps them, and each of them notices a violation."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Contract, the module that breaks it, the import by which it does.
SEEDS = [
    ("Services know what is below them, and not each other", "services.kit.seed_a", "services.pipeline"),
    ("Services know what is below them, and not each other", "services.pipeline.seed_b", "services.inference"),
    ("Services know what is below them, and not each other", "services.inference.seed_c", "services.score"),
    ("Services know what is below them, and not each other", "services.enrich.seed_d", "services.score"),
    ("Services know what is below them, and not each other", "services.score.seed_e", "services.enrich"),
    ("Services know what is below them, and not each other", "services.score.seed_f", "services.cli"),
    ("Services know what is below them, and not each other", "services.training.seed_g", "services.enrich"),
    ("Services know what is below them, and not each other", "services.simulation.seed_h", "services.score"),
    ("Services know what is below them, and not each other", "services.quality.seed_s", "services.inference"),
    ("Services know what is below them, and not each other", "services.inference.seed_t", "services.quality"),
    ("Quality is arithmetic on columns", "services.quality.seed_u", "services.pipeline"),
    ("Quality is arithmetic on columns", "services.quality.seed_v", "sklearn"),
    ("Services know what is below them, and not each other", "services.shadow.seed_s", "services.score"),
    ("Services know what is below them, and not each other", "services.scorecards.seed_y", "services.labels"),
    ("Services know what is below them, and not each other", "services.labels.seed_z", "services.enrich"),
    ("Only the command line starts real parts", "services.score.seed_i", "services.parts.kafka"),
    ("Only the command line starts real parts", "services.kit.seed_j", "services.parts.redis"),
    ("Real parts stand alone, but for the errors", "services.parts.seed_k", "services.kit.batch"),
    ("Real parts stand alone, but for the errors", "services.parts.seed_l", "services.pipeline"),
    ("One door to Kafka", "services.score.seed_m", "confluent_kafka"),
    ("One door to Kafka", "services.kit.seed_n", "confluent_kafka.admin"),
    ("One door to Redis", "services.enrich.seed_o", "redis"),
    ("One door to Redis", "services.kit.seed_p", "redis.client"),
    ("One door to ONNX Runtime", "services.score.seed_q", "onnxruntime"),
    ("One door to ONNX Runtime", "services.inference.seed_r", "onnxruntime"),
]


def configured() -> dict[str, Any]:
    """The import-linter section of pyproject.toml."""
    section: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return section


def lint(tree: Path) -> str:
    """What import-linter says of the tree at `tree`."""
    program = Path(sys.executable).with_name("lint-imports")
    argv = [str(program), "--no-cache", "--no-logo"]
    plain = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(argv, cwd=tree, env=plain, capture_output=True, text=True, check=False).stdout


def copied(tree: Path) -> Path:
    """The services and their contracts, copied to `tree`."""
    shutil.copytree(ROOT / "services", tree / "services", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a tree with every violation of `SEEDS`."""
    tree = copied(tmp_path_factory.mktemp("seeded"))
    for _, importer, imported in SEEDS:
        module = tree.joinpath(*importer.split(".")).with_suffix(".py")
        module.write_text(f"import {imported}\n")
    return lint(tree)


def test_the_code_keeps_its_contracts() -> None:
    """No module imports what its place forbids."""
    report = lint(ROOT)
    assert f"{len(configured()['contracts'])} kept, 0 broken" in report, report


@pytest.mark.parametrize(("contract", "importer", "imported"), SEEDS, ids=[seed[1] for seed in SEEDS])
def test_each_contract_notices_a_violation(seeded: str, contract: str, importer: str, imported: str) -> None:
    """A forbidden import breaks its contract, and the report names the line."""
    assert f"{contract} BROKEN" in seeded, seeded
    assert f"{importer} -> {imported.split('.')[0]}" in seeded, seeded


def test_every_contract_has_a_seed() -> None:
    """No contract goes unproven."""
    assert {seed[0] for seed in SEEDS} == {contract["name"] for contract in configured()["contracts"]}


def test_contracts_name_the_packages_that_exist() -> None:
    """The layers and the parts are exactly the packages of `services/`, and each door is shut to all of them."""
    packages = {path.parent.name for path in (ROOT / "services").glob("*/__init__.py")}
    layers, *others = configured()["contracts"]
    layered = {name.strip() for layer in layers["layers"] for name in layer.split("|")}
    assert layered | set(layers["exhaustive_ignores"]) == packages
    for contract in others:
        if contract["name"].startswith("One door"):
            assert {source.removeprefix("services.") for source in contract["source_modules"]} == packages
    named = {name for contract in others for name in contract["source_modules"] + contract["forbidden_modules"]}
    ours = {name.removeprefix("services.") for name in named if name.startswith("services.")}
    assert ours == packages


def test_importing_a_package_does_nothing() -> None:
    """Every `__init__.py` is a docstring and nothing else."""
    for path in (ROOT / "services").rglob("__init__.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{path} says nothing"
        assert len(tree.body) == 1, f"{path} does something"
