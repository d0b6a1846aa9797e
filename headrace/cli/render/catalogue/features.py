"""The catalogue of features on paper: a line for each, and one of them whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.domain.pipeline import units
from headrace.operations.catalogue.feature_catalogue import FeatureCatalogue, ShownFeature
from headrace.operations.catalogue.freshness import Freshness
from headrace.operations.plan_changes.lookup import short


def catalogue_table(found: FeatureCatalogue) -> Table:
    """A row a feature."""
    table = Table(
        "feature", "type", "is", "window", "of", "nulls", "owner", "read by", box=None, header_style="bold",
        pad_edge=False,
    )  # fmt: skip  # one row's names
    for each in found.features:
        feature = each.feature
        table.add_row(
            escape(feature.feature),
            feature.type,
            escape(feature.expression),
            escape(feature.span) or "-",
            escape(feature.entity) or "-",
            escape(feature.nulls),
            escape(feature.owner) or "-",
            escape(", ".join(one.words for one in each.readers)) or "nobody",
        )
    return table


def feature_sheet(found: ShownFeature) -> Iterator[RenderableType]:
    """All that is known of a feature."""
    feature = found.feature
    yield f"[bold]{escape(feature.feature)}[/] of {escape(found.pipeline)}, revision {feature.revision}"
    if feature.description:
        yield f"  {escape(feature.description)}"
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    zone = "" if feature.timezone == "UTC" else f", {feature.timezone}"
    said = {
        "is": f"{feature.expression}{zone}",
        "type": feature.type,
        "window": feature.span,
        "of": feature.entity.replace("+", " and "),
        "nulls": feature.nulls,
        "owner": feature.owner or "the file names none",
        "view": f"{feature.view}, version {feature.version}",
        "reads fields": ", ".join(feature.fields),
        "reads features": ", ".join(feature.features),
        "rules of these": "; ".join(feature.field_rules),
        "made of topics": ", ".join(found.topics),
        "served on": found.served_on,
        "newest value": _age(found.freshness),
    }
    if feature.labels:
        said["reads fields"] += ", and what events turned out to be"
    for name, value in said.items():
        if value:
            table.add_row(f"  [dim]{name}[/]", escape(value))
    yield table
    yield "\n[bold]read by[/]"
    for each in found.readers:
        yield escape(f"  {each.words}") + (f" [dim]{short(each.digest)}[/]" if each.digest else "")
    if not found.readers:
        yield "  nobody"
    yield from unknown_lines(found.unknown)


def unknown_lines(unknown: Sequence[str]) -> Iterator[str]:
    """What could not be told, and why."""
    for each in unknown:
        yield f"[yellow]{escape(each)}[/]"


def _age(found: Freshness) -> str:
    if found.unknown:
        return f"not known: {found.unknown}"
    if found.event_time is None or found.age_s is None:
        return f"none among the newest {found.looked_at:,} events"
    text = f"of an event of {units.moment(found.event_time)}, written {found.age_s:,.0f} s ago"
    if found.without:
        text += f"; null in {found.without:,} of the newest {found.looked_at:,} events"
    if found.behind_ms is not None:
        text += f"; its view was {found.behind_ms:,} ms behind at most" if found.behind_ms else "; its view was exact"
    return text
