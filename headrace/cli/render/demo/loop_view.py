"""The loop on a terminal, from its first start to its account and its story in files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console

from headrace.cli.render.demo.timeline import Timeline
from headrace.cli.render.demo.view import TerminalDemo, account_table
from headrace.cli.render.documents import print_json
from headrace.devparts.maven import Report
from headrace.errors import ConfigurationError
from headrace.operations.demo.loop import LoopStory
from headrace.operations.demo.loop_report import loop_report
from headrace.operations.demo.report import DemoFigures
from headrace.operations.demo.scenario import Plot, Show

PICTURE, PAGE = "story.png", "story.html"
JUDGEMENT = ("ledger", "verify")


class TerminalLoop:
    """`operations.demo.loop.LoopView` on a console; with `json` the account and the story are a document on stdout.

    Args:
        out: folder that takes the story; made when missing.
    """

    def __init__(self, console: Console, json: bool, out: Path) -> None:
        self.console = console
        self.json = json
        self.out = out
        self._plain = TerminalDemo(console, json)

    def set_up(self) -> AbstractContextManager[Report]:
        """A bar for each step."""
        return self._plain.set_up()

    @contextmanager
    def live(self, plot: Plot, rate: float) -> Iterator[Timeline]:
        """What the clock does, then a line for all that happens."""
        times = plot.live.times
        spans = int(times[min(int(60 * rate), len(times) - 1)] - times[0])
        self.console.print(
            f"\nLive events come in, {rate:g} a second: an hour of the stream lasts {3_600_000 * 60 / spans:.2g} s, "
            "and longer where services fall behind, for it waits for them.",
            highlight=False,
        )
        with Timeline(self.console) as timeline:
            yield timeline

    def settling(self) -> AbstractContextManager[object]:
        """A line while it lasts."""
        return self._plain.settling()

    def concluded(self, show: Show, figures: DemoFigures, story: LoopStory) -> None:
        """The account, the story in files, and whether the ledger is whole."""
        if story.missed:
            self.console.print(f"\n[red]it did not come to its end: {story.missed}[/]", soft_wrap=True, highlight=False)
        files = self._written(story, figures)
        if self.json:
            print_json(loop_report(figures, story, files))
            return
        self.console.print()
        self.console.print(account_table(figures))
        self._plain.run(show, JUDGEMENT)
        for file in files:
            self.console.print(f"story: {file}", style="green", soft_wrap=True, highlight=False)

    def draining(self) -> None:
        """A line."""
        self._plain.draining()

    def _written(self, story: LoopStory, figures: DemoFigures) -> list[str]:
        # Not at the top: it takes a second, and is not needed before.
        from headrace.cli.render.demo.story_page import write_page
        from headrace.cli.render.demo.story_plot import draw

        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"--story {self.out} cannot be made: {error.strerror}") from None
        picture, page = self.out / PICTURE, self.out / PAGE
        draw(story, picture)
        write_page(story, figures.account, page)
        return [str(picture), str(page)]
