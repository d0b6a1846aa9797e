"""`headrace plan`: what scores what, shown with its history, and changed by people who say why."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.options import Bootstrap, Json, PipelineName, Store, contracts_of
from headrace.cli.render.documents import print_json
from headrace.cli.render.package import paper
from headrace.cli.render.plan import COLOURS, plan_sheet, told
from headrace.cli.render.progress import TerminalProgress
from headrace.domain.plans.plan_log import PlanFact, newest
from headrace.domain.plans.plans import Plan
from headrace.errors import ConfigurationError
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.change import Decision, PlanChange, change_plan
from headrace.operations.plan_changes.diff import PlanDifference, changes
from headrace.operations.plan_changes.edit import Wish
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.plan_changes.syntax import numbers, share_of
from headrace.operations.topics.tail import plain

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
    facts = facts_of(settings, contracts)
    held = newest(facts)
    name = contracts.pipeline.name
    refused = [fact for fact in facts if fact.plan is None and (held is None or fact.offset > held.offset)]
    if json:
        answer: dict[str, Any] = {"pipeline": name, "plan": told(held) if held else None}
        answer["refused"] = [told(fact) for fact in refused]
        print_json(answer | ({"history": [told(fact) for fact in facts]} if history else {}))
    elif held is None:
        Console(stderr=True).print(
            f"{name} has no plan: headrace train {name}, or headrace plan set {name} --champion MODEL", soft_wrap=True
        )
    else:
        console = paper()
        for part in plan_sheet(held):
            console.print(part, soft_wrap=isinstance(part, str))
    if refused and not json:
        _refused(name, refused)
    if history and not json:
        _history(facts)
    raise typer.Exit(0 if held else 1)


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
        canary=_one_of("canary", canary, "no-canary", no_canary, ""),
        share=None if share is None else share_of(share),
        challengers=_one_of(
            "challenger", tuple(challenger) if challenger else None, "no-challengers", no_challengers, ()
        ),
        shadows=_one_of("shadow", tuple(shadow or ()) or None, "no-shadows", no_shadows, ()),
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
        _report(change)


def _one_of(option: str, value: Any, off: str, none: bool, nothing: Any) -> Any:
    """What two options that exclude each other say together."""
    if none and value is not None:
        raise ConfigurationError(f"--{option} and --{off} exclude each other: write one of them")
    return nothing if none else value


def _report(change: PlanChange) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not change.told.changes:
        console.print(f"nothing changes: plan {change.plan.version} stays")
        return
    for difference in change.told.changes:
        console.print(line(difference))
    for warning in change.told.warnings:
        console.print(f"[yellow]! {escape(warning)}[/]")
    if change.told.written:
        console.print(f"[green]plan {change.plan.version} written[/]; services take it up between two batches")
    else:
        version = change.before.version if change.before else 0
        console.print(f"nothing was written (--dry-run): it would become plan {version + 1}")


def line(change: PlanDifference) -> str:
    """A change in a line of rich markup."""
    values = [str(value) for value in (change.before, change.after) if value is not None]
    return f"[{COLOURS[change.sign]}]{change.sign} {escape(change.what)}[/]: {escape(' -> '.join(values))}"


def _refused(name: str, facts: Sequence[PlanFact]) -> None:
    """What was written since the newest plan and makes none: services go on with that plan."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for fact in facts:
        console.print(f"[yellow]! the fact at offset {fact.offset} makes no plan: {escape(str(fact.fault))}[/]")
    console.print(f"services go on with the plan before; headrace plan set {name} writes the next one")


def _history(facts: Sequence[PlanFact]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print("\n[bold]history[/], oldest first")
    before: Plan | None = None
    for fact in facts:
        document = plain(told(fact))
        console.print(
            f"plan {fact.version}  {document['time'][:19]}  {escape(fact.actor)}: {escape(fact.reason)}", style="bold"
        )
        if fact.plan is None:
            console.print(f"  [red]makes no plan: {escape(str(fact.fault))}[/]")
            continue
        for change in changes(before, fact.plan):
            console.print(f"  {line(change)}")
        before = fact.plan
