"""The loop on a terminal: a line for everything that happens, and below them how it stands."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from headrace.cli.render.demo.marks import lane_of
from headrace.domain.control.drift import DriftGrew
from headrace.domain.control.release import (
    ReleaseAdvanced,
    ReleaseInconclusive,
    ReleasePromoted,
    ReleaseRejected,
    ReleaseRolledBack,
    ReleaseSettled,
)
from headrace.domain.control.retrain import RetrainIgnored, RetrainProgress
from headrace.operations.demo.control_log import MarkedEvent
from headrace.operations.demo.loop_acts import Remark
from headrace.operations.demo.picture import Picture, percentiles

LINE_EVERY_S = 15.0
"""Where there is no terminal, a line tells so often how it stands."""
COLOURS = {"drift": "yellow", "retrain": "cyan", "release": "magenta", "people": "blue"}
GOOD, BAD = (
    (ReleaseAdvanced, ReleasePromoted, ReleaseSettled),
    (ReleaseRejected, ReleaseRolledBack, ReleaseInconclusive),
)
BRIEF = (DriftGrew, RetrainIgnored, RetrainProgress)
"""Told in one line."""


class Timeline:
    """`operations.demo.loop.LoopScreen` on a console: lines that stay, and on a terminal a panel that changes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.last = time.monotonic()

    def __enter__(self) -> Timeline:
        self.console.print("[dim]stream time     after  who      what[/]", highlight=False)
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.update(Text(""), refresh=True)
            self.live.stop()

    def draw(self, picture: Picture, stream: int, waiting: str) -> None:
        """The panel, or now and then a line."""
        if self.live is not None:
            self.live.update(panel_of(picture, stream, waiting), refresh=True)
        elif time.monotonic() - self.last >= LINE_EVERY_S:
            self.last = time.monotonic()
            self.console.print(standing(picture, stream, waiting), style="dim", soft_wrap=True, highlight=False)

    def tell(self, said: MarkedEvent | Remark) -> None:
        """A line, and below it one with figures where there are some."""
        for line in lines_of(said):
            self.console.print(line, soft_wrap=True, highlight=False)


def lines_of(said: MarkedEvent | Remark) -> list[str]:
    """What happened, as rich markup."""
    when = f"[dim]{moment(said.stream)}  {said.elapsed:4.0f} s[/]"
    if isinstance(said, Remark):
        return [f"{when}  [bold]{'':7}  {escape(said.text)}[/]"]
    finding, lane = said.event.finding, lane_of(said.event.actor)
    tone = "green" if isinstance(finding, GOOD) else "red" if isinstance(finding, BAD) else ""
    title = escape(said.title)
    line = f"{when}  [{COLOURS.get(lane, 'white')}]{lane:7}[/]  " + (f"[{tone}]{title}[/]" if tone else title)
    if isinstance(finding, BRIEF) or not said.detail:
        return [line]
    return [line, f"{'':31}[dim]{escape(said.detail)}[/]"]


def standing(picture: Picture, stream: int, waiting: str) -> str:
    """How it stands, in a line."""
    seen = picture.seen
    return escape(
        f"{moment(stream)}  waiting for {waiting}; in {picture.rate:,.0f}/s, out {seen.rate:,.0f}/s, "
        f"{picture.published:,} events, {seen.predictions:,} predictions"
    )


def panel_of(picture: Picture, stream: int, waiting: str) -> RenderableType:
    """How it stands, for a terminal."""
    seen, both = picture.seen, percentiles(picture.seen.latencies)
    table = Table.grid(padding=(0, 3))
    names = ("stream time", "events/s in", "predictions/s out", "latency p50", "p99", "furthest behind")
    slowest = max(picture.services, key=lambda service: service.lag, default=None)
    values = (
        moment(stream),
        f"{picture.rate:,.0f}",
        f"{seen.rate:,.0f}",
        "-" if both is None else f"{both.p50_ms:,.0f} ms",
        "-" if both is None else f"{both.p99_ms:,.0f} ms",
        "-" if slowest is None else f"{slowest.name} {slowest.lag:.1f} s",
    )
    table.add_row(*(Text(value, style="bold cyan") for value in values))
    table.add_row(*(Text(name, style="dim") for name in names))
    title = f"[bold]{escape(picture.pipeline)}[/]  waiting for {escape(waiting)}"
    return Panel(Group(table), title=title, title_align="left", subtitle="Ctrl-C ends it now", expand=False)


def moment(stream: int) -> str:
    """A time of the stream in few letters.

    >>> moment(1_522_540_800_000)
    'Apr 01 00:00'
    """
    return f"{datetime.fromtimestamp(stream / 1000, UTC):%b %d %H:%M}"
