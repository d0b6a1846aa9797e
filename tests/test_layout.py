"""The import contracts: they name what exists, the code keeps them, and each of them notices a violation."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from headrace.operations.services import SERVICES
from tests.sources import ROOT, ROOTS, name_of, sources

LIBRARY = "The library knows what is below"
DOMAIN = "The domain knows what is below"
APART = "Services do not know each other"
NO_SERVICE = "The library knows no service"
TERMINAL = "Operations know no terminal"
NOBODY_ASKS = "Services know nothing of people who ask"
STARTED = "Only the command line and its operations start real parts"
PARTS = "Real parts stand alone, but for the errors"
KAFKA = "One door to Kafka"
REDIS = "One door to Redis"
ONNX = "One door to ONNX Runtime"
FAUST = "One door to Faust"
APPRISE = "One door to Apprise"
MLFLOW = "One door to MLflow"
ARITHMETIC = "Quality is arithmetic on columns"

# Contract, the module that breaks it, the import by which it does.
SEEDS = [
    (LIBRARY, "headrace.columnar.seed_a", "headrace.streaming.records.batch"),
    (LIBRARY, "headrace.streaming.seed_b", "headrace.stores.online"),
    (LIBRARY, "headrace.stores.seed_c", "headrace.domain.pipeline.spec"),
    (LIBRARY, "headrace.domain.seed_d", "headrace.operations.services"),
    (LIBRARY, "headrace.operations.seed_e", "headrace.cli.options"),
    (DOMAIN, "headrace.domain.pipeline.seed_f", "headrace.domain.features.rules"),
    (DOMAIN, "headrace.domain.aggregations.seed_a", "headrace.domain.pipeline.spec"),
    (DOMAIN, "headrace.domain.features.seed_g", "headrace.domain.plans.plans"),
    (DOMAIN, "headrace.domain.plans.seed_h", "headrace.domain.quality.ranking"),
    (DOMAIN, "headrace.domain.quality.seed_i", "headrace.domain.models.package"),
    (DOMAIN, "headrace.domain.release.seed_a", "headrace.domain.models.package"),
    (DOMAIN, "headrace.domain.models.seed_j", "headrace.domain.training.trainer"),
    (DOMAIN, "headrace.domain.models.seed_k", "headrace.domain.explanations.attributions"),
    (DOMAIN, "headrace.domain.explanations.seed_a", "headrace.domain.training.trainer"),
    (DOMAIN, "headrace.domain.training.seed_k", "headrace.domain.simulation.cards"),
    (DOMAIN, "headrace.domain.records.seed_l", "headrace.domain.scorecards.card"),
    (NO_SERVICE, "headrace.streaming.task.seed_a", "services.score"),
    (NO_SERVICE, "headrace.domain.models.seed_b", "services.shadow"),
    (NO_SERVICE, "headrace.operations.seed_c", "services.enrich"),
    (NO_SERVICE, "headrace.cli.seed_d", "services.labels"),
    (NO_SERVICE, "headrace.domain.seed_e", "services.views"),
    (NO_SERVICE, "headrace.stores.seed_f", "services.scorecards"),
    (TERMINAL, "headrace.operations.seed_f", "rich.console"),
    (TERMINAL, "headrace.operations.history.seed_g", "typer"),
    (TERMINAL, "headrace.operations.local.seed_h", "click"),
    (NOBODY_ASKS, "services.score.seed_g", "headrace.cli.main"),
    (NOBODY_ASKS, "services.labels.seed_h", "headrace.operations.services"),
    (NOBODY_ASKS, "services.views.seed_i", "headrace.devparts.kafka"),
    (STARTED, "headrace.streaming.seed_g", "headrace.devparts.redis"),
    (STARTED, "headrace.domain.pipeline.seed_h", "headrace.devparts.kafka"),
    (PARTS, "headrace.devparts.seed_a", "headrace.streaming.records.batch"),
    (PARTS, "headrace.devparts.seed_b", "headrace.domain.pipeline"),
    (KAFKA, "services.score.seed_j", "confluent_kafka"),
    (KAFKA, "headrace.streaming.kafka.seed_a", "confluent_kafka.admin"),
    (REDIS, "services.enrich.seed_k", "redis"),
    (REDIS, "headrace.stores.seed_g", "redis.client"),
    (ONNX, "services.score.seed_l", "onnxruntime"),
    (ONNX, "headrace.domain.models.seed_m", "onnxruntime"),
    (DOMAIN, "headrace.domain.retrain.seed_a", "headrace.domain.models.package"),
    (FAUST, "services.retrain.seed_m", "faust"),
    (FAUST, "headrace.operations.seed_i", "aiokafka"),
    (APPRISE, "services.notify.seed_m", "apprise"),
    (MLFLOW, "headrace.domain.registry.seed_a", "mlflow.pyfunc"),
    (MLFLOW, "services.release.seed_n", "mlflow"),
    (DOMAIN, "headrace.domain.training.seed_o", "headrace.domain.registry.estimators"),
    (ARITHMETIC, "headrace.domain.quality.seed_n", "headrace.domain.pipeline"),
    (ARITHMETIC, "headrace.domain.quality.comparison.seed_o", "sklearn"),
    (ARITHMETIC, "headrace.domain.release.seed_b", "scipy"),
    *(
        (APART, f"services.{name}.seed_apart", f"services.{other}.app")
        for name, other in pairwise((*SERVICES, "enrich"))
    ),
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
    """The library, the services and their contracts, copied to `tree`."""
    for root in ROOTS:
        shutil.copytree(ROOT / root, tree / root, ignore=shutil.ignore_patterns("__pycache__"))
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
    """The layers are exactly what the library and its domain are made of."""
    contracts = {contract["name"]: contract for contract in configured()["contracts"]}
    for name, folder in ((LIBRARY, ROOT / "headrace"), (DOMAIN, ROOT / "headrace" / "domain")):
        packages = {path.parent.name for path in folder.glob("*/__init__.py")}
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        layered = {part.strip() for layer in contracts[name]["layers"] for part in layer.split("|")}
        assert layered | set(contracts[name].get("exhaustive_ignores", ())) == packages | modules
    for name in (KAFKA, REDIS, ONNX, FAUST, APPRISE, MLFLOW):
        assert contracts[name]["source_modules"] == list(ROOTS)


@pytest.mark.slow
def test_the_doors_are_the_modules_that_import_what_is_behind_them() -> None:
    """A contract lets in those modules that need it, of one room, and no other."""
    contracts = {contract["name"]: contract for contract in configured()["contracts"]}
    for name in (KAFKA, REDIS, ONNX):
        library = contracts[name]["forbidden_modules"][0]
        allowed = {line.partition(" -> ")[0] for line in contracts[name]["ignore_imports"]}
        assert {name_of(path) for path in sources() if library in imported(path)} == allowed
        assert len({each.rpartition(".")[0] for each in allowed if not each.startswith("headrace.devparts.")}) == 1


def imported(path: Path) -> set[str]:
    """The roots of what a module imports, anywhere in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names}


DOORS = ("headrace/client/__init__.py",)
"""What programs of others import from: names of the modules beside them."""


def test_importing_a_package_does_nothing() -> None:
    """Every `__init__.py` is a docstring and nothing else; a door hands names on."""
    for path in (path for root in ROOTS for path in (ROOT / root).rglob("__init__.py")):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{path} says nothing"
        if path.relative_to(ROOT).as_posix() in DOORS:
            assert all(isinstance(node, ast.ImportFrom | ast.Assign) for node in tree.body[1:]), (
                f"{path} does something"
            )
            continue
        assert len(tree.body) == 1, f"{path} does something"
