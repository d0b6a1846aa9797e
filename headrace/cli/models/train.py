"""`headrace train`: a model from the features and labels on the topics, stored, and named by a plan."""

from __future__ import annotations

import ast
import json as codec
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.options import Bootstrap, FromTime, Json, PipelineName, ToTime, contracts_of, milliseconds
from headrace.cli.render.progress import counted
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.truth import said_of
from headrace.domain.training import dataset
from headrace.domain.training.bootstrap import train_offline
from headrace.domain.training.trainer import TRAINERS, trainer_of
from headrace.errors import ConfigurationError
from headrace.operations.local.home import home
from headrace.operations.models.training import between, revision, used
from headrace.operations.plan_changes.plan_topic import publish_plan
from headrace.streaming.kafka.reader import read_topic

WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "null": None}


def train(
    pipeline: PipelineName,
    from_: FromTime = None,
    to: ToTime = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Know the labels of then only. [default: the newest moment in the data]"),
    ] = None,
    trainer: Annotated[
        str | None, typer.Option(help=f"{', '.join(TRAINERS)}. [default: the pipeline's retrain.trainer]")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A parameter of the trainer's library; repeatable.")
    ] = None,
    trees: Annotated[
        int | None, typer.Option(min=1, help="How many trees, where many are grown. [default: 100]")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same rows and seed give the same model.")] = 0,
    holdout: Annotated[float, typer.Option(help="Share of the time, at its end, to judge by; 0 fits on all.")] = 0.25,
    version: Annotated[
        str | None,
        typer.Option("--model-version", "--version", help="Of the model. [default: now, as 20180401-120000]"),
    ] = None,
    plan: Annotated[bool, typer.Option(help="Make it the champion; otherwise only store it.")] = True,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the plan later.")] = "trained by hand",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Train the pipeline's model on events between two times, judge it on their last quarter, store it, play it.

    Labels join by event id, the newest holds; an event without one is what the pipeline's `labels` say once it has
    matured. The package names the offsets it was made from. Score takes up the plan by itself.
    """
    parameters = parameters_of(param or ())
    moment = milliseconds(as_of)
    if trainer is not None:
        trainer_of(trainer)  # what is not there is said before topics are read
    settings, contracts = contracts_of(pipeline, bootstrap)
    spec, connection = contracts.pipeline, settings.connection
    console = Console(stderr=True, quiet=json)
    with console.status("reading features and labels"):
        features = between(
            read_topic(connection, contracts.channel("features"))[0], milliseconds(from_), milliseconds(to)
        )
        labels, _ = read_topic(connection, contracts.channel("labels"))
    if moment is not None:
        labels = dataset.known_by(labels, moment)
    silent = labels.num_rows - dataset.meaningful(labels, spec.labels).num_rows
    if silent:
        why = said_of(spec.labels) if spec.labels is not None else "is no finite number"
        console.print(f"{silent:,} labels are left out: each {why}", style="yellow", highlight=False)
    offsets = {f"{spec.name}.{name}": used(rows) for name, rows in (("features", features), ("labels", labels))}
    store = ModelStore(settings.models, home() / "models")
    with counted(f"training on {features.num_rows:,} events", None, quiet=json) as told:
        grown = 0

        def progress(so_far: int) -> None:
            nonlocal grown
            told(so_far - grown)
            grown = so_far

        package, uri = train_offline(
            spec,
            features,
            labels,
            store,
            version or f"{datetime.now(UTC):%Y%m%d-%H%M%S}",
            trainer=trainer,
            parameters=parameters,
            trees=trees,
            seed=seed,
            holdout=holdout,
            as_of=moment,
            revision=revision(),
            offsets=offsets,
            progress=progress,
        )
    played = publish_plan(connection, contracts.channel("plans"), spec.name, package, uri, reason) if plan else None
    _report(package, uri, played, silent, json)


def parameters_of(given: Sequence[str]) -> dict[str, Any]:
    """Parameters of a command line: numbers, texts, true, false, none, and Python's lists and mappings of these.

    >>> parameters_of(["max_depth=2", "learning_rate=1e-2", "criterion=gini", "bootstrap=false", "max_features=none"])
    {'max_depth': 2, 'learning_rate': 0.01, 'criterion': 'gini', 'bootstrap': False, 'max_features': None}

    Raises:
        ConfigurationError: one is no `key=value`, or a key is given twice.
    """
    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"--param {text}: write a name and a value, such as --param max_depth=2")
        if key in found:
            raise ConfigurationError(f"--param {key} is given twice")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return value if isinstance(value, bool | int | float | str | list | dict) else text


def _report(package: ModelPackage, uri: str, plan: int | None, silent: int, json: bool) -> None:
    manifest = package.manifest
    if json:
        told = {"model": manifest.name, "version": manifest.version, "digest": package.digest, "uri": uri}
        told["trainer"] = manifest.parameters["trainer"]
        trained = manifest.training.model_dump(mode="json")
        more = {"plan_version": plan, "labels_left_out": silent}
        typer.echo(codec.dumps({**told, **more, "metrics": manifest.metrics, "training": trained}))
        return
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # A place or a digest that is cut leads nowhere.
    table.add_row("model", f"[bold]{package.title}[/]")
    table.add_row("trainer", manifest.parameters["trainer"])
    table.add_row("digest", package.digest)
    table.add_row("stored at", uri)
    table.add_row("trained on", f"{manifest.training.rows:,} events, {manifest.training.positives:,} positive")
    for name, value in manifest.metrics.items():
        table.add_row(f"held out: {name}", f"{value:,.0f}" if name in ("rows", "positives") else f"{value:.4f}")
    table.add_row("plan", f"version {plan}: champion" if plan else "none; it is stored only")
    Console(highlight=False, soft_wrap=True).print(table)
