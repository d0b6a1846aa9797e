"""The features of an entity on paper."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.domain.pipeline import units
from headrace.operations.catalogue.entity_features import EntityFeatures


def entity_sheet(found: EntityFeatures) -> Iterator[RenderableType]:
    """A line for each feature, view by view, and what there is to say of how exact they are."""
    when = units.moment(found.at)
    asked = "" if found.asked else ", as far as event time has come"
    yield f"[bold]{escape(found.entity)}[/] of {escape(found.pipeline)} at {when}{asked}"
    if found.event_id is not None:
        yield f"  served with event {escape(found.event_id)} of that time"
    elif found.newest is None:
        yield "  it has no event up to then that is still on the topic"
    else:
        yield f"  from {found.events:,} events of its own, the newest of {units.moment(found.newest)}"
    for view in found.views:
        of = f" of {escape(view.key.replace('+', ' and '))}" if view.key else ""
        exact = "" if view.exact else ", [yellow]not exact[/]"
        yield f"\n[bold]{escape(view.view)}[/]{of}, version {view.version}, {view.how}{exact}"
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
        table.add_column()
        table.add_column(justify="right")
        for name, value in view.values.items():
            table.add_row(
                escape(name), "null" if value is None else f"{value:,}" if isinstance(value, int) else f"{value!r}"
            )
        yield table
        for line in view.because:
            yield f"  [{'dim' if view.exact else 'yellow'}]{escape(line)}[/]"
