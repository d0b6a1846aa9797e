"""Drift on paper: bars of evidence, incidents, and how values lie beside the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.cli.render.evidence import WIDTH, bar, block, share_of
from headrace.cli.render.harm.sheet import effects_sheet, harm_note, harm_sheet, loss_line, signed
from headrace.domain.drift.first_values import LEARNT
from headrace.domain.drift.reference_profile import LOSS
from headrace.domain.drift.refusals.refusal_rate import REFUSED
from headrace.domain.records.contribution_columns import CONTRIBUTION
from headrace.domain.records.watched_columns import PREDICTIONS, SHADOW
from headrace.operations.drift.report import ChangedColumn, DriftReport, Incident, WatchedColumn, WatchedModel
from headrace.operations.drift.supposition import SupposedDrift
from headrace.operations.drift.witnesses import WitnessStatement
from headrace.operations.time_spans import minute

NAMED = 3
"""Columns that an incident is shown with in a list of them."""
OF_STREAMS = {
    "predictions": "what it reads and answers",
    "shadow-predictions": "what it reads and answers in the dark",
    "outcomes": "how wrong it is",
    "dead-letters": "how often that is refused",
}
LITTLE = 0.001
"""Of the threshold: contributions with less evidence than that are only counted."""
STYLES = {"changed": "red", "learning": "dim", "left_out": "dim"}


def drift_sheet(found: DriftReport) -> Iterator[RenderableType]:
    """How everything stands, then incidents."""
    for model in found.models:
        what = OF_STREAMS[model.stream]
        yield f"[bold]{escape(model.model)}[/]: {what}, {model.events:,} {model.stream} up to {minute(model.reached)}"
        yield _columns(model)
        if model.stream in (PREDICTIONS, SHADOW):
            yield _contributions(model)
        lost = None if model.losses is None else loss_line(model.losses)
        if lost is not None:
            yield escape(lost)
        yield ""
    if not found.incidents:
        yield "no incident so far"
        return
    yield "[bold]incidents[/], the open ones first"
    yield _incidents(found.incidents)
    yield f"headrace drift {escape(found.pipeline)} INCIDENT tells all of one"


def _contributions(model: WatchedModel) -> str:
    """Of how many predictions contributions are, or that there are none."""
    told = [each for each in model.columns if each.column.startswith(CONTRIBUTION)]
    if not told:
        return "[dim]what inputs contribute is not watched: the package has nothing that it could be held against[/]"
    events, still = max(each.events for each in told), sum(map(_still, told))
    further = f"; --json has those of {still} inputs with next to no evidence" if still else ""
    return f"[dim]contributions are those of a sample: {events:,} predictions{further}[/]"


def _still(each: WatchedColumn) -> bool:
    """Whether a column is of contributions of which there is nothing to be seen."""
    return each.column.startswith(CONTRIBUTION) and each.state == "watched" and each.evidence < LITTLE


def _columns(model: WatchedModel) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("evidence", no_wrap=True)
    table.add_column("of threshold", justify="right", no_wrap=True)
    table.add_column("divergence", justify="right", no_wrap=True)
    table.add_column("effect on the loss", justify="right", no_wrap=True)
    table.add_row("all together", bar(model.evidence), share_of(model.evidence), "", "", style="bold")
    for each in model.columns:
        if _still(each):
            continue
        share = share_of(each.evidence) if each.state == "watched" else ""
        divergence = f"{each.divergence:.3f}" if each.state in ("watched", "changed") else ""
        effect = "" if each.effect is None else signed(each.effect)
        table.add_row(escape(each.column), _evidence(each), share, divergence, effect, style=STYLES.get(each.state))
    return table


def _evidence(each: WatchedColumn) -> str:
    """A bar, or why there is none."""
    if each.state == "learning":
        return f"learning: {each.learnt or 0:,} of {LEARNT:,}"
    return {"changed": "changed", "left_out": "of the calendar alone"}.get(each.state) or bar(each.evidence)


def _incidents(found: Sequence[Incident]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "seen", "began", "over"):
        table.add_column(name, no_wrap=True)
    for name in ("harm", "kind", "changed"):
        table.add_column(name)
    for each in found:
        over = "open" if each.closed is None else minute(each.closed)
        told = named(each.names) + (f" (as in {', '.join(each.beside)})" if each.beside else "")
        times = minute(each.opened)[:16], _began(each.began)[:16], over[:16]
        kind = "not known yet" if each.kind == "unknown" else each.kind
        further = harm_note(each), kind, escape(told)
        table.add_row(escape(each.incident), *times, *further, style="red" if each.closed is None else None)
    return table


def named(names: Sequence[str]) -> str:
    """The first few of them.

    >>> named(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _began(time: int | None) -> str:
    return "not known" if time is None else minute(time)


def incident_sheet(found: Incident) -> Iterator[RenderableType]:
    """All of one incident."""
    state = "open" if found.closed is None else f"over since {minute(found.closed)}: {found.because}"
    yield f"[bold]{escape(found.incident)}[/], {state}"
    times = f"seen at {minute(found.opened)}, began {_began(found.began)}, all in event time"
    yield f"in {found.stream}: {OF_STREAMS[found.stream]}; {times}"
    if found.beside:
        yield f"most likely the same change as {escape(', '.join(found.beside))}, seen by other models"
    yield from harm_sheet(found)
    effects = effects_sheet(found.columns)
    if effects is not None:
        yield effects
    for (model, reached), several in groupby(found.columns, key=lambda each: (each.model, each.reached)):
        yield f"\n[bold]{escape(model)}[/], seen at {minute(reached)}"
        for each in several:
            began = _began(each.began) + (" or earlier" if each.earlier else "")
            told = f"{escape(each.bet)}, since {began}, {each.share:.0%} of the evidence"
            unit = ", in spreads from what is usual at the hour" if each.cyclic else ""
            yield f"  [bold]{escape(each.column)}[/]{unit}: {told}"
            before, since = mean_of(each.edges, each.reference), mean_of(each.edges, each.since)
            if before is not None and since is not None:
                judged = (" (worse)" if since > before else " (better)") if each.column.startswith(LOSS) else ""
                yield f"  about {before:.3g} before on average, {since:.3g} since{judged}, by the middles of the bins"
            yield _histogram(each)


def witness_sheet(heard: Sequence[WitnessStatement]) -> Table:
    """What witnesses say, and how often each of them had spoken before."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title="witnesses", title_justify="left")
    for name in ("", "first after the change", "rows after", "times before, in rows before"):
        table.add_column(name, no_wrap=True)
    for each in heard:
        seen = ("never", "") if each.seen is None else (minute(each.seen), f"{each.after:,}")
        table.add_row(each.name, *seen, f"{each.before:,} in {each.rows_before:,}")
    return table


def supposed_sheet(found: SupposedDrift) -> Iterator[str]:
    """When a supposed change would have been seen."""
    rows = f"{found.changed:,} of {found.rows:,} predictions"
    yield f"[bold]{escape(found.supposed)}[/] in {rows} of {escape(found.model)}"
    yield f"from {minute(found.since)} on (event time), scores as they were:"
    if found.seen is None:
        yield "[yellow]it would not have been seen[/]"
    else:
        time = minute(found.seen.time)
        yield f"seen after [bold]{found.seen.rows:,}[/] of these, at {time}, in {escape(named(found.seen.columns))}"
    others = [f"{minute(each.time)} in {escape(named(each.columns))}" for each in found.others]
    yield f"without it there is {'no alarm' if not others else 'an alarm at ' + '; '.join(others)}"


def _histogram(each: ChangedColumn) -> Table:
    """Share of each bin in the reference and since the change."""
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for name in ("", "reference", "", "since", ""):
        table.add_column(name, no_wrap=True)
    most = max([*each.reference, *each.since, 1e-9])
    labels = ["passed", "refused"] if each.column == REFUSED else bins_of(each.edges, len(each.reference), each.levels)
    for label, before, since in zip(labels, each.reference, each.since, strict=True):
        if before >= 0.0005 or since >= 0.0005:
            cells = (
                f"{before:6.1%}",
                block(before / most, WIDTH // 2),
                f"{since:6.1%}",
                block(since / most, WIDTH // 2),
            )
            table.add_row(label, *cells)
    return table


def mean_of(edges: Sequence[float], shares: Sequence[float]) -> float | None:
    """About the mean of numbers by the shares of their bins: the middle of each, and the bounds of the outermost.

    >>> mean_of([1.0, 3.0], [0.25, 0.5, 0.25, 0.0])
    2.0
    >>> mean_of([], [1.0, 0.0]) is None
    True
    """
    there = sum(shares[:-1])
    if not edges or there <= 0:
        return None
    middles = [edges[0], *((low + high) / 2 for low, high in pairwise(edges)), edges[-1]]
    return sum(middle * share for middle, share in zip(middles, shares[:-1], strict=True)) / there


def bins_of(edges: Sequence[float], count: int, levels: Sequence[str] = ()) -> list[str]:
    """Names of bins.

    >>> bins_of([1.0, 2.5], 4)
    ['up to 1', '1 to 2.5', 'above 2.5', 'missing']
    >>> bins_of([], 2)
    ['any', 'missing']
    >>> bins_of([], 4, ["web", "shop"])
    ['web', 'shop', 'others', 'missing']
    """
    if levels:
        return [*levels, "others", "missing"]
    if not edges:
        return [*(["any"] * (count - 1)), "missing"]
    named = [f"{edge:.4g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(named)]
    return [f"up to {named[0]}", *between, f"above {named[-1]}", "missing"]
