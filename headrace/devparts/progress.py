"""Progress of downloads and starts, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from headrace.devparts.maven import Report


@contextmanager
def bars(console: Console) -> Iterator[Report]:
    """A report that draws one bar for each thing it is told of; where the console is no terminal, a line at its end."""
    tasks: dict[str, TaskID] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def report(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=1.0)
            progress.update(tasks[what], completed=share)
            if share >= 1.0 and not console.is_terminal:
                console.print(what)

        yield report
