"""`headrace check`: every mistake of a pipeline file, each with its line and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.render.documents import print_json
from headrace.domain.pipeline.check import Problem
from headrace.operations.pipeline_check import check_pipeline

PIPELINE = typer.Argument(help="A pipeline file, or the name of one in pipelines/.", show_default=False)


def check(
    pipeline: Annotated[str, PIPELINE],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a pipeline file: all its mistakes at once, each with its line and the remedy.

    Of a good file it says what it leaves out of figures.
    Exit code 0 where there are none, 1 where there are some or where there is no such file.
    """
    checked = check_pipeline(pipeline)
    if json:
        print_json(checked)
    else:
        console = Console(soft_wrap=True, highlight=False)
        _show(console, _short(Path(checked.file)), checked.problems)
        for choice in checked.choices:
            console.print(f"[dim]  {escape(choice)}[/]")
    raise typer.Exit(0 if checked.ok else 1)


def _short(path: Path) -> str:
    """As a person in this folder would write it, so that a terminal makes a link of it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _show(console: Console, path: str, problems: Sequence[Problem]) -> None:
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
