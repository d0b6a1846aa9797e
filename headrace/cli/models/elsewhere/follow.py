"""`headrace models follow`: versions of a registry of others come in, and it is told what became of them."""

from __future__ import annotations

import os
import threading
import time
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json, PipelineName, Store, seconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.follow import look_lines
from headrace.cli.render.models.package import paper
from headrace.cli.render.progress import TerminalProgress
from headrace.cli.signals import stopped_by_signals
from headrace.domain.pipeline.registry.section import REGISTRY_EXAMPLE
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.pipeline.wiring import read_contracts
from headrace.domain.registry.model_source import WAYS, AliasSource, RunSource, VersionSource, read_source
from headrace.errors import ConfigurationError, Transient
from headrace.operations.models.store_access import store_at
from headrace.operations.registry.follower import RegistryFollower, RegistryLook
from headrace.operations.registry.mlflow_door import MlflowRegistry
from headrace.streaming.process.settings import Settings, read_settings

VARIABLES = ("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI")
LEAST_S = 1.0
Mlflow = Annotated[
    str | None,
    typer.Option(
        "--mlflow", metavar="URI", help="MLflow. [default: as the pipeline file says, or MLFLOW_REGISTRY_URI]"
    ),
]


def follow(
    pipeline: PipelineName,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]", help="models:/NAME@ALIAS, or models:/NAME/VERSION. [default: as the pipeline file says]"
        ),
    ] = None,
    mlflow: Mlflow = None,
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Look again and again, such as every 1m, until stopped.")
    ] = None,
    models: Store = "models",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Bring the version behind an alias of MLflow in as a registered package, and tell MLflow what was decided.

    A version comes in once, whenever this is killed and started again. Exit code 1 when MLflow or Kafka does not answer
    or could not be told all, 3 when the version does not fit.
    """
    pause = None if every is None else max(LEAST_S, seconds(every))
    settings = read_settings(Settings, pipeline=pipeline, bootstrap=bootstrap, models=models)
    contracts = read_contracts(settings)
    rules = contracts.pipeline.registry or ModelRegistry()
    followed = _followed(source, rules, contracts.pipeline.model.name)
    if pause is not None and not isinstance(followed, AliasSource):
        raise ConfigurationError(f"{followed} never names another version: --every is for models:/NAME@ALIAS")
    registry = MlflowRegistry(mlflow_address(mlflow, rules))
    follower = RegistryFollower(settings, contracts, store_at(models), registry, followed, rules)
    if pause is None:
        look = follower.look(int(time.time() * 1000), TerminalProgress(quiet=json))
        _show(look, json, None)
        raise typer.Exit(_code(look))
    _follow(follower, pause, json)


def _follow(follower: RegistryFollower, pause: float, json: bool) -> None:
    stop = threading.Event()
    before: RegistryLook | None = None
    with stopped_by_signals(stop):
        while not stop.is_set():
            try:
                look = follower.look(int(time.time() * 1000), TerminalProgress(quiet=json))
                _show(look, json, before)
                before = look
            except Transient as away:
                errors = Console(stderr=True, soft_wrap=True)
                errors.print(f"{away}; again in {pause:g} s", style="red", markup=False)
            stop.wait(pause)


def _followed(source: str | None, rules: ModelRegistry, name: str) -> AliasSource | VersionSource:
    found = AliasSource(rules.model or name, rules.alias) if source is None else read_source(source)
    if isinstance(found, RunSource):
        raise ConfigurationError(
            f"{found} is no version of a registered model, so nobody could be told what becomes of it: register it "
            f"(mlflow.register_model({str(found)!r}, NAME)) and {WAYS.partition(',')[0]}; or store it once, and tell "
            f"nobody: headrace models add {found} --pipeline PIPELINE"
        )
    if isinstance(found, AliasSource) and found.alias == rules.champion:
        raise ConfigurationError(
            f"{found.alias} is the alias that promotions move: follow another one, or name another champion in the "
            f"pipeline file: registry: {REGISTRY_EXAMPLE}"
        )
    return found


def mlflow_address(given: str | None, rules: ModelRegistry) -> str:
    """Where MLflow is: as the command line says, the pipeline file, or the environment. ConfigurationError: nowhere."""
    told = given or rules.mlflow or next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    if told is None:
        raise ConfigurationError(
            f"nothing says where MLflow is: give --mlflow URI, set {VARIABLES[0]}, or write registry: "
            f"{REGISTRY_EXAMPLE} into the pipeline file"
        )
    return told


def _show(look: RegistryLook, json: bool, before: RegistryLook | None) -> None:
    """Print a look; of one that repeats the one before, nothing."""
    if json:
        print_json(look)
        return
    out = paper(soft_wrap=True)
    for line in look_lines(look, before):
        out.print(line)


def _code(look: RegistryLook) -> int:
    if look.outcome in ("refused", "refused before"):
        return 3
    return 1 if look.outcome in ("away", "none") or look.told.away or look.told.problems or look.left_out else 0
