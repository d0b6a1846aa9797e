"""Training against serving on paper."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.cli.render.catalogue.statistics import number
from headrace.domain.pipeline import units
from headrace.operations.catalogue.reference_skew import ReferenceSkew
from headrace.operations.catalogue.serving_agreement import ServingAgreement
from headrace.operations.catalogue.skew import FeatureSkew
from headrace.operations.plan_changes.lookup import short


def skew_sheet(found: FeatureSkew) -> Iterator[RenderableType]:
    """Both tables, or why one of them is not there."""
    if found.reference is None:
        yield f"[yellow]served against training: not known, because {escape(found.reference_unknown)}[/]"
    else:
        yield from _reference(found.reference)
    yield ""
    if found.agreement is None:
        yield f"[yellow]served against the log of events: not known, because {escape(found.agreement_unknown)}[/]"
    else:
        yield from _agreement(found.agreement)


def _reference(found: ReferenceSkew) -> Iterator[RenderableType]:
    when = f"{units.moment(found.first)} to {units.moment(found.last)}"
    title = f"{escape(found.model)} [dim]{short(found.digest)}[/]"
    yield f"[bold]served against training[/]: {found.rows:,} predictions of {title}, {when}"
    table = Table(box=None, header_style="bold", pad_edge=False)
    for at, name in enumerate(
        ("column", "rows", "divergence", "by chance", "", "effect", "null trained", "null served")
    ):
        table.add_column(name, justify="right" if at not in (0, 4) else "left", no_wrap=True)
    for each in found.columns:
        table.add_row(
            escape(each.column),
            f"{each.rows:,}",
            number(each.divergence),
            number(each.by_chance),
            "[red]beyond[/]" if each.beyond else "",
            "-" if each.effect is None else f"{each.effect:+.1%}",
            f"{each.reference[-1]:.2%}",
            f"{each.served[-1]:.2%}",
        )
    yield table
    if found.left_out:
        yield f"[dim]left out, for they follow from the time alone: {escape(', '.join(found.left_out))}[/]"
    if found.unknown:
        yield f"[dim]of these the reference tells nothing: {escape(', '.join(found.unknown))}[/]"


def _agreement(found: ServingAgreement) -> Iterator[RenderableType]:
    yield f"[bold]served against the log of events[/]: {found.anew:,} of {found.served:,} events made anew"
    table = Table(box=None, header_style="bold", pad_edge=False)
    names = ("feature", "compared", "the same", "different", "nulls", "view behind", "largest", "cut off")
    for at, name in enumerate(names):
        table.add_column(name, justify="right" if at else "left", no_wrap=True)
    for each in found.features:
        table.add_row(
            escape(each.feature),
            f"{each.compared:,}",
            f"{each.same_share:.2%}" if each.compared else "-",
            f"[red]{each.different:,}[/]" if each.different > each.behind else f"{each.different:,}",
            f"{each.nulls:,}",
            f"{each.behind:,}",
            number(each.largest),
            f"{each.cut:,}",
        )
    yield table
    for each in found.features:
        for event in each.first:
            yield (
                f"  {escape(each.feature)} of event {escape(event.event_id)}, {units.moment(event.event_time)}: served "
                f"{_told(event.served)}, anew {_told(event.anew)}"
            )
    counted = {
        "are no longer on the events topic, or would be refused now": found.not_on_log,
        "are on the events topic and not on the features topic": found.not_served,
        "came several times and are not compared": found.repeated,
    }
    for what, count in counted.items():
        if count:
            yield f"[yellow]{count:,} events {what}[/]"
    for line in found.missing:
        yield f"[yellow]{escape(line)}[/]"


def _told(value: float | None) -> str:
    return "null" if value is None else repr(value)
