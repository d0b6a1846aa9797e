"""`headrace topics`: what a broker lacks of a pipeline's topics, shown and applied."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.options import Bootstrap
from headrace.cli.pipeline.check import PIPELINE
from headrace.cli.render.documents import print_json
from headrace.errors import HeadraceError
from headrace.operations.topics.topic_plan import TopicPlan, apply_topics, plan_topics
from headrace.streaming.contracts.topic_changes import TopicChange, refusals
from headrace.streaming.process.settings import Settings, read_settings

app = typer.Typer(help="The topics of a pipeline: what a broker lacks of them.", no_args_is_help=True)

Name = Annotated[str, PIPELINE]
Partitions = Annotated[int | None, typer.Option(min=1, help="Partitions of every topic that may have more than one.")]
Replication = Annotated[int | None, typer.Option(min=1, help="Replicas of every partition; 1 on a single broker.")]
Repartition = Annotated[bool, typer.Option("--allow-repartition", help="Add partitions although keys will move.")]
DataLoss = Annotated[bool, typer.Option("--allow-data-loss", help="Set properties although records will be deleted.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("plan")
def show(
    pipeline: Name,
    bootstrap: Bootstrap = None,
    partitions: Partitions = None,
    replication: Replication = None,
    allow_repartition: Repartition = False,
    allow_data_loss: DataLoss = False,
    detailed_exitcode: Annotated[bool, typer.Option(help="Exit with 2 when there is something to apply.")] = False,
    json: Json = False,
) -> None:
    """Show what `apply` would do, and do nothing.

    Exit code 0, or with --detailed-exitcode 2 when changes are pending; 1 when one is refused (or anything is wrong).
    """
    try:
        settings = read_settings(Settings, pipeline=pipeline, bootstrap=bootstrap)
        found = plan_topics(settings, partitions, replication, allow_repartition, allow_data_loss)
    except HeadraceError as error:
        if not detailed_exitcode:
            raise
        # 2 is taken here: a script must not read a broken pipeline file as pending changes.
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    _report(found, json)
    if found.refused:
        raise typer.Exit(1)
    raise typer.Exit(2 if found.changes and detailed_exitcode else 0)


@app.command()
def apply(
    pipeline: Name,
    bootstrap: Bootstrap = None,
    partitions: Partitions = None,
    replication: Replication = None,
    allow_repartition: Repartition = False,
    allow_data_loss: DataLoss = False,
    json: Json = False,
) -> None:
    """Create what is missing and set what differs; a second time there is nothing to do.

    Where a change is refused, nothing is done and the exit code is 1. Topics are never deleted. A broker that forgets
    the offsets of groups sooner than records is warned of.
    """
    settings = read_settings(Settings, pipeline=pipeline, bootstrap=bootstrap)
    found = apply_topics(settings, partitions, replication, allow_repartition, allow_data_loss)
    _report(found, json)
    raise typer.Exit(1 if found.refused else 0)


def _report(found: TopicPlan, json: bool) -> None:
    changes, applied = found.changes, found.applied
    if json:
        print_json(found)
        return
    console = Console(soft_wrap=True, highlight=False)
    for change in changes:
        for line in _lines(change):
            console.print(line)
    for name in found.not_ours:
        console.print(f"[dim]  {escape(name)}: not in the pipeline; kept[/]")
    for warning in found.warnings:
        console.print(f"[yellow]! {escape(warning)}[/]")
    for refusal in refusals(changes):
        console.print(f"[red]refused: {escape(refusal.refused)}[/]: {escape(', '.join(refusal.topics))}")
        console.print(f"    [green]{escape(refusal.remedy)}[/]")
    refused = sum(bool(change.refused) for change in changes)
    if refused:
        console.print(f"[red]{refused} refused; {'nothing was' if not applied else 'was'} changed[/]")
    elif not changes:
        console.print("[green]no changes[/]")
    else:
        count = f"{len(changes)} {'change' if len(changes) == 1 else 'changes'}"
        console.print(f"[green]{count} applied[/]" if applied else f"{count} to apply")


def _lines(change: TopicChange) -> list[str]:
    """A change as a diff: + for what is new, ~ for what is set anew, ! for what is refused; why is told at the end."""
    sign, colour = {True: ("!", "red"), False: ("~", "yellow")}[bool(change.refused)]
    if change.kind == "create" and not change.refused:
        sign, colour = "+", "green"
    lines = [f"[{colour}]{sign} {escape(change.topic)}[/]"]
    for name, value in change.after.items():
        before = change.before.get(name)
        arrow = "" if change.kind == "create" else f"{before if before is not None else 'not set'} -> "
        lines.append(f"    {escape(f'{name}: {arrow}{value}')}")
    return lines
