"""A replay on paper: what was scored, what was left out, and how it compares with what was recorded."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.operations.plan_changes.lookup import short
from headrace.operations.replay.recorded_scores import RecordedAgreement
from headrace.operations.replay.replay import ReplayedRange
from headrace.operations.time_spans import moment


def replay_lines(done: ReplayedRange) -> Iterator[RenderableType]:
    """What a person should know of it, the exceptions too."""
    span = f", events of {moment(done.first)} to {moment(done.last)}" if done.first is not None and done.last else ""
    model = f"[bold]{escape(done.model)}[/] {short(done.digest)}"
    yield f"replay {done.run} of {model}: {done.scored:,} events scored{span}"
    if done.written_to:
        pace = f"{done.seconds:.1f} s, {done.scored / max(done.cpu_seconds, 1e-9):,.0f} a CPU-second"
        yield escape(f"{done.written:,} written to {done.written_to} ({pace})")
    if done.trained_on:
        share = done.trained_on / done.scored
        yield f"[yellow]{done.trained_on:,} ({share:.1%}) are of event times that the model was fitted on[/]"
    for unknown in done.origin_unknown:
        yield f"[yellow]{escape(unknown)}[/]"
    if done.unanswered:
        yield f"[red]{done.unanswered:,} events got no finite score and are left out[/]"
    if done.unreadable:
        yield f"[red]{done.unreadable:,} records could not be read and are left out[/]"
    for gone in done.gone:
        yield (
            f"[red]features of partition {gone.partition} below offset {gone.below:,} were deleted: events of the time "
            "that was asked for may be missing[/]"
        )
    if done.stopped:
        yield "[red]stopped before its end: the same command does it all, and its predictions have the same ids[/]"
    if done.agreement is not None:
        yield from _agreement(done.agreement)


def _agreement(found: RecordedAgreement) -> Iterator[RenderableType]:
    if not found.compared:
        yield "[yellow]nothing to compare: the predictions topics have no record of this model for these events[/]"
    elif not found.different:
        yield f"[green]as predicted then[/]: {found.compared:,} recorded scores, all the same to the bit"
    else:
        yield (
            f"[red]{found.different:,} of {found.compared:,} recorded scores differ[/], "
            f"by {found.largest:.3g} at most, {found.mean:.3g} on average"
        )
        table = Table("event", "recorded", "replayed", box=None, header_style="bold", padding=(0, 2))
        for one in found.examples:
            table.add_row(escape(one.event_id), f"{one.recorded:.17g}", f"{one.replayed:.17g}")
        yield table
    if found.decisions:
        yield f"[red]{found.decisions:,} decided otherwise: by another threshold, or another score[/]"
    if found.unrecorded:
        yield f"{found.unrecorded:,} replayed events have no record of this model"
    if found.unreplayed:
        yield f"{found.unreplayed:,} records of it are of events that were not replayed"
    if found.unreadable:
        yield f"[red]{found.unreadable:,} records of the predictions topics could not be read[/]"
