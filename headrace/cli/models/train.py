"""`headrace train`: a model from the features and labels on the topics, stored, and named by a plan."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, FromTime, Json, PipelineName, ToTime, contracts_of, milliseconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.training import training_sheet
from headrace.cli.render.progress import TerminalProgress
from headrace.domain.training.trainer import TRAINERS
from headrace.operations.models.parameters import parameters_of
from headrace.operations.models.training import TrainingRequest, train_model


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
    settings, contracts = contracts_of(pipeline, bootstrap)
    warn = partial(Console(stderr=True, quiet=json).print, style="yellow", highlight=False)
    trained = train_model(settings, contracts, request, TerminalProgress(quiet=json), warn)
    if json:
        print_json(trained)
    else:
        Console(highlight=False, soft_wrap=True).print(training_sheet(trained))
