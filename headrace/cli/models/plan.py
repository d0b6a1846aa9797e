"""`headrace plan`: what scores what, shown with its history, and changed by people who say why."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json, PipelineName, Store, contracts_of, one_of
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import paper
from headrace.cli.render.plan import change_sheet, history_sheet, plan_sheet, refused_sheet
from headrace.cli.render.progress import TerminalProgress
from headrace.errors import ConfigurationError
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.change import Decision, change_plan
from headrace.operations.plan_changes.edit import Wish
from headrace.operations.plan_changes.plan_history import plan_history
from headrace.operations.plan_changes.syntax import numbers, share_of

app = typer.Typer(help="What scores what: champion, canary, challengers, shadows.", no_args_is_help=True)

MODEL = "NAME, NAME@VERSION, the start of a digest, or an ensemble."
Model = Annotated[str | None, typer.Option(metavar="MODEL", help=MODEL)]


@app.command()
def show(
    pipeline: PipelineName,
    history: Annotated[bool, typer.Option("--history", help="Every plan that the topic still has.")] = False,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show the newest plan. Exit code 1 when there is none.

    The topic is compacted: of older plans those are there that it has not taken away yet.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    plans = plan_history(settings, contracts)
    if json:
        print_json(plans.report(history))
        raise typer.Exit(0 if plans.held else 1)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    if plans.held is None:
        name = plans.pipeline
        errors.print(f"{name} has no plan: headrace train {name}, or headrace plan set {name} --champion MODEL")
    else:
        sheet = paper()
        for part in plan_sheet(plans.held):
            sheet.print(part, soft_wrap=isinstance(part, str))
    for line in refused_sheet(plans.pipeline, plans.refused):
        errors.print(line)
    if history:
        Console(highlight=False, soft_wrap=True).print(*history_sheet(plans.steps()), sep="\n")
    raise typer.Exit(0 if plans.held else 1)


@app.command("set")
def set_(
    pipeline: PipelineName,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the plan later.")],
    champion: Model = None,
    canary: Model = None,
    no_canary: Annotated[bool, typer.Option("--no-canary", help="The champion answers everybody.")] = False,
    share: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Of the entities that the canary answers: 5% or 0.05.")
    ] = None,
    challenger: Annotated[list[str] | None, typer.Option(metavar="MODEL", help="Instead of those now.")] = None,
    no_challengers: Annotated[bool, typer.Option("--no-challengers", help="None any more.")] = False,
    shadow: Annotated[list[str] | None, typer.Option(metavar="MODEL", help="Instead of those now.")] = None,
    no_shadows: Annotated[bool, typer.Option("--no-shadows", help="None any more.")] = False,
    salt: Annotated[str | None, typer.Option(help="Deal the entities anew. Empty: the pipeline's name.")] = None,
    ensemble: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME@VERSION=HOW:MODEL,MODEL[:WEIGHT,WEIGHT]", help="HOW is mean, weighted or stacking."),
    ] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(metavar="NAME@VERSION=NUMBER", help="Positive from this score on.")
    ] = None,
    priority: Annotated[
        list[str] | None, typer.Option(metavar="NAME@VERSION=NUMBER", help="Shed later than lower ones.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Who decides; you, unless it says another.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show and check it all, and write nothing.")] = False,
    models: Store = "models",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Change the plan: what is named changes, all else stays. The new plan is a fact with actor and reason.

    Every model that gets a part must be in the store, hold its checks (`headrace models verify`) and take features that
    the pipeline has. When somebody else changes the plan at the same moment, nothing is written, exit code 1.
    """
    wish = Wish(
        champion=champion,
        canary=one_of("canary", canary, "no-canary", no_canary, ""),
        share=None if share is None else share_of(share),
        challengers=one_of(
            "challenger", tuple(challenger) if challenger else None, "no-challengers", no_challengers, ()
        ),
        shadows=one_of("shadow", tuple(shadow or ()) or None, "no-shadows", no_shadows, ()),
        salt=salt,
        ensembles=tuple(ensemble or ()),
        thresholds=numbers("threshold", threshold or (), float),
        priorities=numbers("priority", priority or (), int),
    )
    if not reason.strip():
        raise ConfigurationError("say why, in a sentence: --reason")
    settings, contracts = contracts_of(pipeline, bootstrap)
    decision = Decision(actor or getpass.getuser(), reason, dry_run)
    change = change_plan(settings, contracts, store_at(models), wish, decision, TerminalProgress(quiet=json))
    if json:
        print_json(change.told)
    else:
        Console(highlight=False, soft_wrap=True).print(*change_sheet(change), sep="\n")
