"""Rules over figures on paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from headrace.domain.pipeline import units
from headrace.operations.kpi.rule_report import KpiEvent, RuleStanding

COLOURS = {"ok": "green", "pending": "yellow", "breached": "red", "unknown": "magenta"}
VERBS = {"kpi_breached": "[red]breached[/]", "kpi_unknown": "[magenta]unknown[/]", "kpi_recovered": "[green]over[/]"}


def standing_table(found: Sequence[RuleStanding]) -> Table:
    """A row a rule."""
    table = Table(
        "rule", "figure", "now", "breached when", "state", "since", "severity", "told", box=None, header_style="bold"
    )
    for each in found:
        held = "" if each.held in ("0s", "1 window") else f" for {each.held}"
        table.add_row(
            escape(each.rule),
            escape(each.figure),
            "-" if each.value is None else f"{each.value:.4g}",
            f"{escape(each.condition)}{held}",
            f"[{COLOURS[each.state]}]{each.state}[/]",
            "-" if each.since is None else units.moment(each.since),
            each.severity,
            escape(", ".join(each.told)) or "nobody",
        )
    return table


def standing_lines(found: Sequence[RuleStanding]) -> Iterator[str]:
    """What there is to say of figures that are beyond their bounds, or not known."""
    for each in found:
        if each.beyond_since is not None and each.value is not None:
            rows = f" ({each.rows:,} rows)" if each.rows else ""
            whose = f", {each.model}" if each.model else ""
            since = f"since {units.moment(each.beyond_since)}"
            if each.source == "scorecard" and each.at is not None:
                since = f"from the window of {units.moment(each.beyond_since)} to that of {units.moment(each.at)}"
            yield f"[bold]{escape(each.rule)}[/]: {escape(each.condition)} {since}{escape(whose)}{rows}"
        if each.unknown is not None:
            last = "" if each.at is None else f"; what it was at {units.moment(each.at)} is shown"
            yield f"[bold]{escape(each.rule)}[/]: [magenta]unknown[/], because {escape(each.unknown)}{last}"


def history_lines(told: Sequence[KpiEvent]) -> Iterator[str]:
    """An event a line, the oldest first."""
    if not told:
        yield "nothing was told of any rule"
    for each in told:
        value = f" is {each.value}" if each.value else ""
        whose = f", {each.model}" if each.model else ""
        was = f" ({each.was})" if each.was else ""
        asks = "; it asked for a training" if each.retrain else ""
        to = f"; told {', '.join(each.told)}" if each.told else ""
        yield (
            f"[bold]{units.moment(each.time)}[/]  {escape(each.rule)} {VERBS[each.type]}{was}, {each.severity}: "
            f"{escape(each.figure + value + whose)}: {escape(each.because + asks + to)}"
        )
