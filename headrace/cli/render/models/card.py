"""A model card on paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.domain.models.card import CardGroup, ModelCard, TriedWindow
from headrace.operations.time_spans import moment

SHOWN = {"brier": "Brier", "average_precision": "AP", "auc_roc": "AUC", "log_loss": "log loss"}
"""Metrics of a table, and what its columns are called."""
MOST_INPUTS = 15


def card_lines(card: ModelCard) -> Iterator[RenderableType]:
    """What a card tells beyond a package's manifest, in parts."""
    window = card.window
    bounds = [None if time is None else moment(time) for time in (window.start, window.stop)]
    yield f"\n[bold]data[/]\n  events {_span(*bounds)}" + (
        f", labels as known at {moment(window.as_of)}" if window.as_of is not None else ""
    )
    if card.base is not None:
        yield escape(f"  goes on from {card.base}")
    if card.judged is not None:
        yield f"  held out: events of {moment(card.judged[0])} to {moment(card.judged[1])}"
    if card.windows:
        yield "\n[bold]windows that were tried[/], on rows that none was fitted on"
        yield _windows(card)
        yield from _behind(card)
    if card.groups:
        yield "\n[bold]held out, by group[/]"
        yield _groups(card.groups)
    yield "\n[bold]what answers rest on[/]"
    contributions = card.contributions
    if contributions.why is not None:
        yield f"  not known: {escape(contributions.why)}"
    elif contributions.inputs:
        kind = "Shapley values" if contributions.exact else "estimates of Shapley values"
        yield f"  mean size of contributions to the {contributions.of}, {kind} on {contributions.rows:,} rows held out"
        yield _sizes(contributions.inputs)
    yield "\n[bold]limits[/]"
    yield from (f"  {escape(limit)}" for limit in card.limits)
    if not card.limits:
        yield "  none are told"


def _span(start: str | None, stop: str | None) -> str:
    if start is None and stop is None:
        return "of all times"
    return " ".join(part for part in (f"from {start}" if start else "", f"up to {stop}" if stop else "") if part)


def _windows(card: ModelCard) -> Table:
    table = _table("window", "from", "rows", "positive")
    for one in card.windows:
        name = escape(one.name) + (f" (on from {escape(one.base)})" if one.base else "")
        name += " [green](chosen)[/]" if one.name == card.chosen else ""
        table.add_row(name, *_window(one))
    return table


def _behind(card: ModelCard) -> Iterator[str]:
    """By how much the chosen one was better than each other."""
    for one in card.windows:
        if one.behind is not None:
            more, low, high = one.behind
            sure = "" if low > 0 else ": no more than chance may make"
            span = f"{low:.4f} to {high:.4f} at 95%, rows taken as independent"
            yield f"  {escape(one.name)} lost {more:.4f} more at a row than {escape(card.chosen or '')} ({span}){sure}"


def _window(one: TriedWindow) -> list[str]:
    if one.why is not None:
        return [f"[yellow]not tried[/]: {escape(one.why)}"]
    start = "-" if one.start is None else moment(one.start)
    return [start, f"{one.rows:,}", f"{one.positives:,}", *_metrics(one.metrics)]


def _groups(groups: tuple[CardGroup, ...]) -> Table:
    table = _table("segment", "group", "rows", "positive")
    for one in groups:
        figures = _metrics(one.metrics) if one.why is None else [escape(one.why)]
        table.add_row(escape(one.segment), escape(one.group), f"{one.rows:,}", f"{one.positives:,}", *figures)
    return table


def _metrics(metrics: Mapping[str, float]) -> list[str]:
    return [f"{metrics[name]:.4f}" if name in metrics else "-" for name in SHOWN]


def _table(*names: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2))
    for name in names:
        table.add_column(name, justify="right" if name in ("rows", "positive") else "left")
    for name in SHOWN.values():
        table.add_column(name, justify="right")
    return table


def _sizes(inputs: Mapping[str, float]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, size in list(inputs.items())[:MOST_INPUTS]:
        table.add_row(escape(name), f"{size:.4g}")
    if len(inputs) > MOST_INPUTS:
        table.add_row(f"and {len(inputs) - MOST_INPUTS} more", "")
    return table
