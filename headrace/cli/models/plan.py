"""`headrace plan`: what scores what, shown with its history, and changed by people who say why."""

from __future__ import annotations

import getpass
import json as codec
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.models.models import Store
from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of
from headrace.cli.render.package import paper
from headrace.cli.render.plan import COLOURS, plan_sheet, told
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plan_log import Contested, PlanFact, newest, publish
from headrace.domain.plans.plans import Plan
from headrace.errors import ConfigurationError
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.admission import admitted
from headrace.operations.plan_changes.diff import changes, moved
from headrace.operations.plan_changes.edit import Wish, arrange
from headrace.operations.plan_changes.lookup import choose, percent
from headrace.operations.plan_changes.plan_topic import facts_of, now
from headrace.operations.plan_changes.syntax import numbers, share_of
from headrace.operations.topics.tail import plain
from headrace.streaming.process.settings import Settings

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
        typer.echo(codec.dumps(answer | ({"history": [told(fact) for fact in facts]} if history else {})))
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
    spec, store = contracts.pipeline, store_at(models)
    packages = store.packages()
    held = newest(facts_of(settings, contracts))
    before = held.plan if held else None
    plan = arrange(before, wish, spec.name, spec.model.threshold, lambda text: choose(packages, text))
    differing = changes(before, plan)
    if differing:
        features = contracts.channel("features").codec.reader.arrow
        with Console(stderr=True, quiet=json).status("checking the models") as status:
            admitted(
                store,
                packages,
                before,
                plan,
                features,
                spec.model.output,
                lambda title: status.update(f"checking {title}"),
            )
        if not dry_run:
            plan = _publish(settings, contracts, before, plan, actor or getpass.getuser(), reason)
    written = bool(differing) and not dry_run
    warnings = _warnings(before, plan)
    if json:
        answer = {"pipeline": spec.name, "written": written, "plan_version": plan.version if written else None}
        typer.echo(codec.dumps({**answer, "changes": differing, "warnings": warnings}))
    else:
        _report(before, plan, differing, warnings, written)


def _publish(
    settings: Settings, contracts: Contracts, before: Plan | None, plan: Plan, actor: str, reason: str
) -> Plan:
    """Write the plan, if the newest one is still the one that it was made from."""

    def unchanged(known: Plan | None) -> Plan:
        if known != before:
            newer = "none" if known is None else f"plan {known.version}"
            raise Contested(
                f"{newer} came meanwhile: nothing was written; look at it with `headrace plan show "
                f"{contracts.pipeline.name} --history`, then try again"
            )
        return plan

    channel, name = contracts.channel("plans"), contracts.pipeline.name
    return publish(settings.connection, channel, name, unchanged, time=now(), actor=actor, reason=reason)


def _one_of(option: str, value: Any, off: str, none: bool, nothing: Any) -> Any:
    """What two options that exclude each other say together."""
    if none and value is not None:
        raise ConfigurationError(f"--{option} and --{off} exclude each other: write one of them")
    return nothing if none else value


def _warnings(before: Plan | None, plan: Plan) -> list[str]:
    found = []
    if share := moved(before, plan):
        found.append(f"another salt deals the entities anew: about {percent(round(share, 4))} of them change arm")
    known = {arm.place: arm.digest for arm in before.arms} if before else {}
    found += [
        f"{arm.place} was another package before: predictions of both are told apart by their digest alone"
        for arm in plan.arms
        if known.get(arm.place, arm.digest) != arm.digest
    ]
    return found


def _report(
    before: Plan | None, plan: Plan, differing: Sequence[dict[str, Any]], warnings: Sequence[str], written: bool
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not differing:
        console.print(f"nothing changes: plan {plan.version} stays")
        return
    for change in differing:
        console.print(line(change))
    for warning in warnings:
        console.print(f"[yellow]! {escape(warning)}[/]")
    if written:
        console.print(f"[green]plan {plan.version} written[/]; services take it up between two batches")
    else:
        console.print(f"nothing was written (--dry-run): it would become plan {(before.version if before else 0) + 1}")


def line(change: dict[str, Any]) -> str:
    """A change in a line of rich markup."""
    values = [str(value) for value in (change["before"], change["after"]) if value is not None]
    return f"[{COLOURS[change['sign']]}]{change['sign']} {escape(change['what'])}[/]: {escape(' -> '.join(values))}"


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
