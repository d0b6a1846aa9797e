"""What the demo shows while it runs, drawn from values: a panel on a terminal, a line elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from headrace.cli.render.predictions import HEADER, line
from headrace.domain.scorecards.window_sums import AGAIN
from headrace.operations.demo.picture import Picture, ServiceState, percentiles
from headrace.operations.scorecard_query.leaderboard import SHOWN, Standing
from headrace.operations.topics.prediction_lines import PredictionLine


def line_of(picture: Picture) -> str:
    """A picture in a line of plain text."""
    seen = picture.seen
    both = percentiles(seen.latencies)
    latency = "-" if both is None else f"{both.p50_ms:.0f} / {both.p99_ms:.0f} ms"
    lag = max((service.lag for service in picture.services), default=0.0)
    outcomes = sum(count for state, count in seen.outcomes.items() if state != AGAIN)
    troubled = [f"{service.name} {service.state}" for service in picture.services if not service.good]
    return (
        f"{picture.left:4.0f} s left   in {picture.rate:,.0f}/s   out {seen.rate:,.0f}/s   p50 / p99 {latency}   "
        f"lag {lag:.1f} s   {picture.published:,} events, {seen.predictions:,} predictions, "
        f"{seen.dead_letters:,} dead letters, {outcomes:,} outcomes" + "".join(f"   {each}" for each in troubled)
    )


def panel_of(picture: Picture) -> RenderableType:
    """A picture for a terminal."""
    return Panel(
        Group(
            _figures(picture),
            Text(),
            _services(picture.services),
            Text(),
            standings_of(picture.seen.standings, picture.seen.outcomes),
            Text(),
            _last(picture.seen.last),
        ),
        title=f"[bold]{picture.pipeline}[/]  events in, predictions out, exactly once",
        subtitle=f"ends by itself in {max(picture.left, 0):.0f} s; Ctrl-C ends it now",
        box=box.ROUNDED,
        expand=False,
        width=100,
    )


def _figures(picture: Picture) -> Table:
    seen, both = picture.seen, percentiles(picture.seen.latencies)
    table = Table.grid(padding=(0, 3))
    for _ in range(6):
        table.add_column(justify="right")
    names = ("events/s in", "predictions/s out", "latency p50", "p99", "in flight", "dead letters")
    values = (
        f"{picture.rate:,.0f}",
        f"{seen.rate:,.0f}",
        "-" if both is None else f"{both.p50_ms:,.0f} ms",
        "-" if both is None else f"{both.p99_ms:,.0f} ms",
        f"{max(picture.published - seen.predictions - seen.dead_letters, 0):,}",
        f"{seen.dead_letters:,}",
    )
    table.add_row(*(Text(value, style="bold cyan") for value in values))
    table.add_row(*(Text(name, style="dim") for name in names))
    return table


def _services(services: Sequence[ServiceState]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("member")
    table.add_column("state", min_width=10)
    for name in ("lag", "records/s", "restarts"):
        table.add_column(name, justify="right")
    for each in services:
        state = Text(each.state, style="green" if each.good else "yellow")
        table.add_row(each.name, state, f"{each.lag:.1f} s", f"{each.rate:,.0f}", str(each.restarts))
    return table


def standings_of(standings: Sequence[Standing], outcomes: Mapping[str, int]) -> RenderableType:
    """How models do, as far as labels have come."""
    told = ", ".join(f"{count:,} {state}" for state, count in sorted(outcomes.items())) or "none yet"
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("model and arm")
    for name in ("mature days", "AUC", "AP", "value", "of", "AUC expected today"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in standings:
        figures = [_number(each.figures.get(name), digits) for name, digits in zip(SHOWN, (3, 3, 0), strict=True)]
        expected = _number(each.estimated, 3)
        table.add_row(each.who, f"{each.mature} of {each.windows}", *figures, each.day or "-", expected)
    return Group(Text.assemble(("outcomes  ", "dim"), told), *([table] if standings else []))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _last(rows: Sequence[PredictionLine]) -> Group:
    lines = [Text.from_markup(line(row)) for row in rows]
    for each in lines:
        each.no_wrap, each.overflow = True, "ellipsis"
    return Group(Text(HEADER, style="dim"), *(lines or [Text("no prediction yet", style="dim")]))
