"""What to expect of a release, on paper."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from headrace.domain.release.forecast import DecisionForecast
from headrace.operations.plan_changes.lookup import percent
from headrace.operations.release.forecast import ReleaseForecast
from headrace.operations.time_spans import minute


def forecast_lines(found: ReleaseForecast) -> Iterator[str]:
    """When evidence decides, for candidates that are worse and for one that is as good."""
    yield (
        f"[bold]{escape(found.pipeline)}[/]: {found.outcomes:,} labelled outcomes from {minute(found.start)} to "
        f"{minute(found.end)}, {found.events_a_day:,.0f} a day; the champion loses {found.loss:.4g} an event "
        f"(deviation {found.deviation:.4g})"
    )
    for harm in found.harms:
        yield f"  loses {percent(round(harm.share, 4))} more: put back {_when(harm.found)}"
    yield f"  as good as the champion: evidence lets it go on {_when(found.as_good)}"
    if found.champion_days is None:
        yield "  it is never champion by evidence alone: a wider margin, or more events, or `headrace models promote`"
    else:
        yield f"  champion after about {found.champion_days:.3g} days, all shares passed"
    yield "[dim]Days of event time, labels included. Before a candidate is seen, its losses are taken to differ as[/]"
    yield "[dim]much as the champion's vary, which is more than those of two models of the same kind do.[/]"


def _when(found: DecisionForecast) -> str:
    if found.events is None:
        return "by nothing that evidence could see: it is within the margin"
    days = "" if found.days is None else f", about {found.days:.3g} days"
    return f"after about {found.events:,} matured events{days}"
