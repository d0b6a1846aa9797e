"""Statistics of features on paper."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.domain.pipeline import units
from headrace.operations.catalogue.statistics import ColumnStatistics, FeatureStatistics

SHOWN = ("0.05", "0.5", "0.95")
"""Quantiles that a table has room for; --json has all."""


def statistics_sheet(found: FeatureStatistics) -> Iterator[RenderableType]:
    """A row for each feature, and each group of a segment where one was asked for."""
    first, last = units.moment(found.first), units.moment(found.last)
    yield f"[bold]{found.rows:,}[/] events of {escape(found.pipeline)}, {first} to {last}"
    grouped = any(each.segment for each in found.columns)
    names = ["feature", *(["group"] if grouped else []), "rows", "null", "mean", "sd", "least"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in [*names, *(f"{float(share):.0%}" for share in SHOWN), "greatest", "distinct"]:
        table.add_column(name, justify="left" if name in ("feature", "group") else "right", no_wrap=True)
    for each in found.columns:
        group = [f"{each.segment} {each.group}".strip() or "all"] if grouped else []
        table.add_row(*map(escape, (each.feature, *group, *_figures(each))))
    yield table
    infinite = [f"{each.feature} ({each.infinite:,})" for each in found.columns if each.infinite and not each.segment]
    if infinite:
        yield f"[yellow]infinite values are left out of the figures: {escape(', '.join(infinite))}[/]"
    if found.unreadable:
        yield f"[yellow]{found.unreadable:,} records could not be read, and are left out[/]"
    for line in found.missing:
        yield f"[yellow]{escape(line)}[/]"


def _figures(of: ColumnStatistics) -> Iterator[str]:
    yield f"{of.rows:,}"
    yield f"{of.null_share:.2%}"
    for value in (of.mean, of.sd, of.least, *(of.quantiles.get(share) for share in SHOWN), of.greatest):
        yield number(value)
    yield f"{of.distinct:,}"


def number(value: float | None) -> str:
    """A figure in few digits; a dash for none."""
    return "-" if value is None else f"{value:.5g}"
