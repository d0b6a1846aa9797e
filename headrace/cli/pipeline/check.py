"""`headrace check`: every mistake of a pipeline file, each with its line and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.render.documents import print_json
from headrace.domain.pipeline.check import Problem, load
from headrace.domain.pipeline.check import check as find_problems
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.units import duration
from headrace.domain.pipeline.workspace import resolve
from headrace.errors import ConfigurationError

PIPELINE = typer.Argument(help="A pipeline file, or the name of one in pipelines/.", show_default=False)


def check(
    pipeline: Annotated[str, PIPELINE],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a pipeline file: all its mistakes at once, each with its line and the remedy.

    Of a good file it says what it leaves out of figures.
    Exit code 0 where there are none, 1 where there are some or where there is no such file.
    """
    try:
        path = resolve(pipeline, Path.cwd())
    except ConfigurationError as error:
        path, problems = Path(pipeline), [Problem(1, 1, "", str(error), "name a pipeline file")]
    else:
        problems = find_problems(path)
    told = [] if problems else choices(load(path))
    if json:
        print_json({"file": str(path), "ok": not problems, "problems": problems, "choices": told})
    else:
        console = Console(soft_wrap=True, highlight=False)
        _show(console, _short(path), problems)
        for choice in told:
            console.print(f"[dim]  {escape(choice)}[/]")
    raise typer.Exit(1 if problems else 0)


def choices(pipeline: Pipeline) -> list[str]:
    """What a pipeline file chooses to be left out of windows or figures, or counted otherwise."""
    events, labels, found = pipeline.events, pipeline.labels, []
    lateness = duration(events.allowed_lateness)
    if events.late == "score":
        found.append(
            f"late: score: an event more than {lateness} late is answered from what windows hold at its time, and "
            "folded into none: it counts neither for itself nor for others"
        )
    if events.repeats == "keep":
        found.append("repeats: keep: an event that is published twice counts twice, but for views that fold labels")
    if labels is not None and labels.unlabelled_is is not None:
        found.append(
            f"unlabelled_is: an event without a label counts as {labels.unlabelled_is:g} from "
            f"{duration(labels.matures_after)} after it on"
        )
    return found


def _short(path: Path) -> str:
    """As a person in this folder would write it, so that a terminal makes a link of it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _show(console: Console, path: str, problems: list[Problem]) -> None:
    for problem in problems:
        where = f"{path}:{problem.line}:{problem.column}"
        entry = f" [dim]{escape(problem.path)}[/]" if problem.path else ""
        console.print(f"[bold]{escape(where)}[/]{entry}")
        console.print(f"  [red]{escape(problem.message)}[/]")
        console.print(f"  [green]{escape(problem.remedy)}[/]")
    if problems:
        console.print(f"\n{len(problems)} {'mistake' if len(problems) == 1 else 'mistakes'}")
    else:
        console.print(f"[green]{escape(path)} is good[/]")
