"""Counts that grow, for a person: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from headrace.operations.progress import Advance, Say

LINE_EVERY_S = 5.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s", style="cyan")


@contextmanager
def counted(what: str, total: int | None, *, quiet: bool = False, console: Console | None = None) -> Iterator[Advance]:
    """Tell the yielded function how many more are done. All goes to stderr; nothing at all when `quiet`."""
    console = console or Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        yield _Lines(console, what, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=quiet, disable=quiet, refresh_per_second=5) as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)


@dataclass(frozen=True, slots=True)
class TerminalProgress:
    """`operations.progress.ProgressView` on stderr; nothing at all when `quiet`."""

    quiet: bool = False

    def count(self, what: str, total: int | None) -> AbstractContextManager[Advance]:
        """As `ProgressView.count`."""
        return counted(what, total, quiet=self.quiet)

    @contextmanager
    def stage(self, what: str) -> Iterator[Say]:
        """As `ProgressView.stage`."""
        with Console(stderr=True, quiet=self.quiet).status(escape(what)) as status:
            yield lambda text: status.update(escape(text))


class _Lines:
    def __init__(self, console: Console, what: str, total: int | None) -> None:
        self.console = console
        self.what = what
        self.total = total
        self.done = 0
        self.last = time.monotonic()

    def __call__(self, more: int) -> None:
        self.done += more
        if time.monotonic() - self.last >= LINE_EVERY_S:
            self.last = time.monotonic()
            of = "" if self.total is None else f" of {self.total:,}"
            self.console.print(f"{self.what}: {self.done:,}{of}", highlight=False)
