"""`headrace train`: a model from the features and labels on the topics, stored, and named by a plan."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.options import Bootstrap, FromTime, Json, PipelineName, ToTime, contracts_of, milliseconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.progress import TerminalProgress
from headrace.domain.training.trainer import TRAINERS, trainer_of
from headrace.errors import ConfigurationError
from headrace.operations.models.training import TrainedModel, TrainingRequest, train_model

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
    request = TrainingRequest(
        start=milliseconds(from_),
        stop=milliseconds(to),
        as_of=milliseconds(as_of),
        trainer=trainer,
        parameters=parameters_of(param or ()),
        trees=trees,
        seed=seed,
        holdout=holdout,
        version=version,
        plan_reason=reason if plan else None,
    )
    if trainer is not None:
        trainer_of(trainer)  # what is not there is said before topics are read
    settings, contracts = contracts_of(pipeline, bootstrap)
    console = Console(stderr=True, quiet=json)

    def warn(text: str) -> None:
        console.print(text, style="yellow", highlight=False)

    trained = train_model(settings, contracts, request, TerminalProgress(quiet=json), warn)
    if json:
        print_json(trained)
    else:
        Console(highlight=False, soft_wrap=True).print(_sheet(trained))


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


def _sheet(trained: TrainedModel) -> Table:
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # A place or a digest that is cut leads nowhere.
    table.add_row("model", f"[bold]{trained.model}@{trained.version}[/]")
    table.add_row("trainer", trained.trainer)
    table.add_row("digest", trained.digest)
    table.add_row("stored at", trained.uri)
    rows, positives = trained.training["rows"], trained.training["positives"]
    table.add_row("trained on", f"{rows:,} events, {positives:,} positive")
    for name, value in trained.metrics.items():
        table.add_row(f"held out: {name}", f"{value:,.0f}" if name in ("rows", "positives") else f"{value:.4f}")
    played = trained.plan_version
    table.add_row("plan", f"version {played}: champion" if played else "none; it is stored only")
    return table
