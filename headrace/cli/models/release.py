"""`headrace models approve|deny|promote|rollback|hold|register|plan`: what people ask of, and on, releases."""

from __future__ import annotations

import getpass
import time
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import Bootstrap, Json, PipelineName, Store, contracts_of, seconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import paper
from headrace.cli.render.release.decision import answer_lines
from headrace.cli.render.release.forecast import forecast_lines
from headrace.domain.control.release import (
    ApprovalDenied,
    ApprovalGiven,
    HoldAsked,
    PromotionAsked,
    ReleaseRequest,
    RollbackAsked,
)
from headrace.domain.pipeline import units
from headrace.errors import ConfigurationError
from headrace.operations.models.store_access import store_at
from headrace.operations.release.forecast import forecast_releases
from headrace.operations.release.requests import Asker, ask_release
from headrace.operations.release.requests import register as registration

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME (its newest version), NAME@VERSION, or the start of a digest.")
]
Of = Annotated[str, typer.Option("--pipeline", "-p", metavar="PIPELINE", help="A pipeline file, or one's name.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever reads the ledger later.")]
Actor = Annotated[str | None, typer.Option(help="Who asks; you, unless it says another.")]
Within = Annotated[str, typer.Option(metavar="DURATION", help="How long to wait for the answer.")]


def approve(
    model: Model, pipeline: Of, reason: Reason, actor: Actor = None, within: Within = "30s", models: Store = "models",
    bootstrap: Bootstrap = None, json: Json = False,
) -> None:  # fmt: skip  # options that all of these have
    """Approve a model whose gates are passed. Exit code 3 when `release` refuses it, 1 when nobody answers."""
    _ask(ApprovalGiven, model, pipeline, reason, actor, within, models, bootstrap, json)


def deny(
    model: Model, pipeline: Of, reason: Reason, actor: Actor = None, within: Within = "30s", models: Store = "models",
    bootstrap: Bootstrap = None, json: Json = False,
) -> None:  # fmt: skip  # options that all of these have
    """Reject a model that has not started. Exit code 3 when `release` refuses it, 1 when nobody answers."""
    _ask(ApprovalDenied, model, pipeline, reason, actor, within, models, bootstrap, json)


def promote(
    model: Model, pipeline: Of, reason: Reason,
    to_champion: Annotated[bool, typer.Option("--to-champion", help="All the way, and not by one step.")] = False,
    actor: Actor = None, within: Within = "30s", models: Store = "models", bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:  # fmt: skip  # options that all of these have
    """Let a model go on by a step without waiting for evidence. Exit code 3 when refused, 1 when nobody answers."""
    to = "champion" if to_champion else "next"
    _ask(PromotionAsked, model, pipeline, reason, actor, within, models, bootstrap, json, to=to)


def rollback(
    model: Model, pipeline: Of, reason: Reason, actor: Actor = None, within: Within = "30s", models: Store = "models",
    bootstrap: Bootstrap = None, json: Json = False,
) -> None:  # fmt: skip  # options that all of these have
    """Put a model back: the champion before it answers. Exit code 3 when refused, 1 when nobody answers."""
    _ask(RollbackAsked, model, pipeline, reason, actor, within, models, bootstrap, json)


def hold(
    model: Model, pipeline: Of, reason: Reason,
    lift: Annotated[bool, typer.Option("--lift", help="Let machines move it again.")] = False,
    actor: Actor = None, within: Within = "30s", models: Store = "models", bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:  # fmt: skip  # options that all of these have
    """Keep machines from moving a model, forward or back. Exit code 3 when refused, 1 when nobody answers."""
    _ask(HoldAsked, model, pipeline, reason, actor, within, models, bootstrap, json, lift=int(lift))


def register(
    model: Model, pipeline: Of, reason: Reason, actor: Actor = None, models: Store = "models",
    bootstrap: Bootstrap = None, json: Json = False,
) -> None:  # fmt: skip  # options that all of these have
    """Tell that a package of the model store may be judged and released. One whose release is over comes anew."""
    settings, contracts = contracts_of(pipeline, bootstrap)
    stored = registration(settings, contracts, store_at(models), model, _asker(actor, reason))
    if json:
        print_json({"model": stored.title, "digest": stored.digest, "uri": stored.uri})
    else:
        name = escape(contracts.pipeline.name)
        paper(soft_wrap=True).print(
            f"{escape(stored.title)} is registered; what becomes of it: headrace ledger show {name} --model "
            f"{escape(stored.title)}"
        )


def plan(
    pipeline: PipelineName,
    harm: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARE", help="How much of the champion's loss a candidate loses more, such as 10%."),
    ] = None,
    newest: Annotated[int, typer.Option(min=1_000, help="Records of outcomes that are looked at.")] = 100_000,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Say how many matured events, and about how many days, a release takes to be decided at today's traffic."""
    settings, contracts = contracts_of(pipeline, bootstrap)
    found = forecast_releases(settings, contracts, [_share(text) for text in harm or ()], newest)
    if json:
        print_json(found)
    else:
        for line in forecast_lines(found):
            paper(soft_wrap=True).print(line)


def _share(text: str) -> float:
    try:
        found = units.share(text)
    except ValueError as error:
        raise ConfigurationError(f"{text} is no share: {error}") from None
    if not found > 0:
        raise ConfigurationError(f"{text} is no harm: write a share above 0, such as 10%")
    return found


def _ask(
    request: type[ReleaseRequest], model: str, pipeline: str, reason: str, actor: str | None, within: str, models: str,
    bootstrap: str | None, json: bool, **fields: Any,
) -> None:  # fmt: skip  # options that all of these have
    settings, contracts = contracts_of(pipeline, bootstrap)
    asker, patience = _asker(actor, reason), seconds(within)
    answer = ask_release(settings, contracts, store_at(models), model, request, asker, patience, **fields)
    if json:
        print_json(answer)
    else:
        out = paper(soft_wrap=True)
        for line in answer_lines(answer):
            out.print(line)
    raise typer.Exit(3 if answer.refused else 0)


def _asker(actor: str | None, reason: str) -> Asker:
    return Asker(actor or getpass.getuser(), reason, int(time.time() * 1000))


def add_requests(app: typer.Typer) -> None:
    """Add these commands to `headrace models`."""
    for command in (register, approve, deny, promote, rollback, hold, plan):
        app.command()(command)
