"""The demo on a terminal, from its first start to its account."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.table import Table

from headrace.cli.render.demo.screen import Screen
from headrace.cli.render.documents import print_json
from headrace.devparts.maven import Report
from headrace.devparts.progress import bars
from headrace.domain.plans.plans import CHALLENGER, CHAMPION
from headrace.operations.demo.picture import Picture
from headrace.operations.demo.report import SHOWN_DISAGREEMENTS, DemoFigures, report_of
from headrace.operations.demo.scenario import Show, Stopped

JUDGEMENTS = (("scorecard",), ("duel", CHAMPION, CHALLENGER, "--top", str(SHOWN_DISAGREEMENTS)))
"""Commands that tell at the end what became of the predictions; the pipeline comes after the first word."""

GROUPS = ("ledger",)
"""Commands whose second word is part of their name."""


class TerminalDemo:
    """`operations.demo.demo.DemoView` on a console; with `json` the account is a document on stdout."""

    def __init__(self, console: Console, json: bool) -> None:
        self.console = console
        self.json = json

    @contextmanager
    def set_up(self) -> Iterator[Report]:
        """A bar for each step."""
        with bars(self.console) as report:
            try:
                yield report
            except Stopped:
                self.console.print("stopped during the set-up: no live events went in")
                raise

    @contextmanager
    def live(self) -> Iterator[Callable[[Picture], None]]:
        """A panel, or a line now and then."""
        with Screen(self.console) as screen:
            yield screen.show

    def settling(self) -> AbstractContextManager[object]:
        """A line while it lasts."""
        return self.console.status("waiting for the last answers")

    def concluded(self, show: Show, figures: DemoFigures) -> None:
        """The account, and what commands say of the models."""
        if self.json:
            print_json(report_of(show.settings, show.contracts, figures, self._warn))
            return
        self.console.print(account_table(figures))
        for words in JUDGEMENTS:
            self.run(show, words)

    def draining(self) -> None:
        """A line."""
        self.console.print("draining", style="dim")

    def _warn(self, text: str) -> None:
        self.console.print(text, style="red", soft_wrap=True, markup=False, highlight=False)

    def run(self, show: Show, words: Sequence[str]) -> None:
        """A command on the show's topics as its user would run it, in sight; the pipeline comes after its name."""
        name = 2 if words[0] in GROUPS else 1
        command, rest = words[:name], words[name:]
        shown = " ".join([*command, show.contracts.pipeline.name, *rest])
        self.console.print(f"\n$ headrace {shown}", style="bold")
        self.console.file.flush()
        env = {**os.environ, **show.env, "COLUMNS": str(self.console.width)}
        run = [sys.executable, "-m", "headrace.cli", *command, show.settings.pipeline, *rest]
        subprocess.run(run, env=env, check=False)


def account_table(figures: DemoFigures) -> Table:
    """Events against their answers, and how quick these were."""
    account, latency = figures.account, figures.latency
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    live = account.events - figures.history
    table.add_row("events in", f"{account.events:,}", f"{figures.history:,} of history, {live:,} live")
    table.add_row("predictions out", f"{account.predictions:,}")
    table.add_row("dead letters", f"{account.dead_letters:,}")
    verdict = "[green]every event has exactly one answer, compared by event id[/]"
    if not account.balanced:
        verdict = (
            f"[red]{account.unanswered:,} unanswered, {account.repeated:,} repeated, {account.strange:,} of no event, "
            f"{account.both:,} both answered and refused[/]"
        )
    table.add_row("difference", f"{account.differences:,}", verdict)
    if latency is not None:
        measured = f"p50; p99 {latency.p99_ms:,.0f} ms; {len(figures.latencies):,} live events"
        table.add_row("latency", f"{latency.p50_ms:,.0f} ms", measured)
    return table
