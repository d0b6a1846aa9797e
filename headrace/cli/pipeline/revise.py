"""`headrace revise`: turns a running pipeline into another, without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import Bootstrap, PipelineName, Store, contracts_of
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.workspace import Workspace, resolve
from headrace.domain.plans.plan_log import newest
from headrace.domain.revisions.former import pipeline_of
from headrace.domain.revisions.revision import ABANDONED, BUILDING, Revisions
from headrace.errors import ConfigurationError
from headrace.operations.local.revision_pair import end_others, others, runs_here, started_as
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.revision.changes import RevisionChange, changes, refusals, unreadable
from headrace.operations.revision.going_back import write_former
from headrace.operations.revision.steps import RevisionStanding, RevisionSteps

Reason = Annotated[str, typer.Option(help="Why, in a sentence; it is kept.")]
Before = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The pipeline file as it runs now, where nobody announced it.")
]


def revise(
    pipeline: PipelineName,
    build: Annotated[bool, typer.Option("--build", help="Announce the revision: its members may be started.")] = False,
    switch: Annotated[
        bool, typer.Option("--switch", help="Have it answer from here on, and wait until it does.")
    ] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give it up before it answers.")] = False,
    back: Annotated[
        Path | None,
        typer.Option(metavar="NEW_FILE", help="Write the file that ran before, as the next revision, and end."),
    ] = None,
    reason: Reason = "",
    before: Before = None,
    within: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for members that are built, and for the switch.")
    ] = 120.0,
    behind: Annotated[
        int, typer.Option(min=0, help="Offsets that it may still lack in a partition at the switch.")
    ] = 20_000,
    bootstrap: Bootstrap = None,
    store: Store = "models",
) -> None:
    """Show what the next revision of a pipeline changes and how far it is; announce it, switch to it, or give it up.

    Write `revision: 2` into the changed file (then 3, and so on). `--build` announces it: members of `enrich` that are
    started with the file fold what the log still holds, and answer nothing. `--switch`: those of the revision before
    end, and these go on where they stopped, so each event is answered once, by one of the two. `--back NEW_FILE` writes
    the file that ran before as the next revision: to build and to switch to it is the way back. Exit code 1 when it is
    refused or takes too long; nothing is lost then.
    """
    if build + switch + abandon + (back is not None) > 1:
        raise ConfigurationError("one of --build, --switch, --abandon and --back at a time")
    if (build or switch or abandon) and not reason.strip():
        raise ConfigurationError("say why: --reason '...'")
    settings, contracts = contracts_of(pipeline, bootstrap)
    steps, console = RevisionSteps(settings.connection, contracts), Console(soft_wrap=True, highlight=False)
    name, number = contracts.pipeline.name, contracts.pipeline.revision
    known = steps.known()
    if back is not None:
        made, there = write_former(known, name, back), escape(str(back))
        console.print(f"[green]{there} is revision {made} of {name}[/]: as it was before {known.answering} answered")
        console.print(f"next: headrace revise {there} --build --reason '...'")
        return
    former = ""
    if build or number not in known.newest:
        then, former = _before(resolve(pipeline, Path.cwd()), before, known, name, number)
        _show(changes(then, contracts.pipeline), console)
        plan, features = newest(facts_of(settings, contracts)), contracts.channel("features").codec.reader.arrow
        faults = [*refusals(then, contracts.pipeline)]
        faults += unreadable(plan.plan if plan else None, store_at(store), features)
        for fault in faults:
            console.print(f"[red]{escape(fault)}[/]")
        if faults:
            raise typer.Exit(1)
    if build:
        announced = steps.build(resolve(pipeline, Path.cwd()), reason, former)
        console.print(f"[green]revision {number} of {name} may be built[/]: it takes the place of {announced.follows}")
        there = f"headrace revise {escape(pipeline)} --switch --reason '...'"
        console.print(
            f"next: its members, by headrace up {escape(pipeline)} where that started those of revision "
            f"{announced.follows}, else by headrace run; then {there}"
        )
    elif abandon:
        steps.turn(ABANDONED, reason)
        console.print(f"[green]revision {number} of {name} is given up[/]: stop its members")
    elif switch:
        found = steps.switch(reason, within, behind, lambda lacks: console.print(f"waits: {escape('; '.join(lacks))}"))
        console.print(_table(found))
        console.print(f"[green]revision {number} of {name} answers[/]")
        ended = end_others(name, number, settings.drain_s) if runs_here(settings.bootstrap) else []
        gone = f"stopped, as headrace up had started it: {', '.join(ended)}"
        console.print(escape(gone) if ended else f"stop the members of revision {found.revision.follows}")
    elif number in known.newest:
        found = steps.standing()
        console.print(f"revision {number} of {name} is {found.revision.state}: {escape(found.revision.reason)}")
        console.print(_table(found))
        for lacks in steps.lacking(found, behind) if found.revision.state == BUILDING else ():
            console.print(f"[yellow]lacks: {escape(lacks)}[/]")


def _before(path: Path, named: Path | None, known: Revisions, name: str, number: int) -> tuple[Pipeline, str]:
    """The pipeline that runs, and the text of its file: the one that was named, else as it was announced, or started
    here.

    Raises:
        ConfigurationError: nobody announced it, and no file was named; or that file has mistakes.
    """
    if named is not None:
        return load(named, Workspace.of(path)), named.read_text("utf-8")
    if known.answering not in known.newest:
        here = [text for each in others(name, number) if (text := started_as(each))]
        if len(here) == 1:  # As `headrace up` started it.
            return pipeline_of(here[0], path.name, Workspace.of(path)), here[0]
        raise ConfigurationError(
            f"nobody announced the revision that runs: say what it is, such as --before {path.stem}.before.yaml"
        )
    text = known.newest[known.answering].definition
    return pipeline_of(text, path.name, Workspace.of(path)), text


def _show(found: Sequence[RevisionChange], console: Console) -> None:
    table = Table("", "what", "before", "after", box=None)
    for each in found:
        table.add_row(each.what, escape(each.path), escape(each.before), escape(each.after))
    console.print(table if found else "[yellow]nothing that features depend on changes[/]")


def _table(found: RevisionStanding) -> Table:
    table = Table("partition", "log begins", "answered below", "built below", "answered by", box=None)
    for each in found.partitions:
        built = "not begun" if each.built is None else f"{each.built:,}"
        by = found.revision.number if each.taken else found.revision.follows
        table.add_row(str(each.partition), f"{each.begins:,}", f"{each.answered:,}", built, f"revision {by}")
    return table
