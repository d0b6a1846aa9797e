"""Scorecards on paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.cli.render.classes.class_tables import class_tables
from headrace.cli.render.models.figure_table import figure_table
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.units import duration
from headrace.domain.scorecards.card import ESTIMATED, RESTS_ON, SHIFTED, WITHHELD, Card
from headrace.domain.scorecards.estimate_errors import EstimateError
from headrace.domain.scorecards.figure import Basis, Figure
from headrace.domain.scorecards.identity import Identity
from headrace.domain.scorecards.partial_aggregate import UNREAD
from headrace.operations.comparison.training_overlap import Origin
from headrace.operations.scorecard_query.catalogue import SHARES, cell, short, shown, title
from headrace.operations.scorecard_query.report import fitted_windows
from headrace.operations.scorecard_query.span import Summary, matures_by, overdue, unmatched
from headrace.operations.time_spans import TimeSpan, minute

NAME_WIDTH, ARM_WIDTH, GROUP_WIDTH = 22, 18, 10
TREND = ("auc_roc", "average_precision", "value", "mean_absolute_error", "accuracy", "macro_f1")
"""Figures whose course over the windows is drawn: of these the first two that there are."""
BARS = "▁▂▃▄▅▆▇█"
ESTIMATES_TOLD = ("auc_roc", "average_precision", "value")


def scorecard_sheet(
    found: Sequence[Summary], pipeline: Pipeline, span: TimeSpan, segment: str | None, names: Sequence[str], width: int
) -> Iterator[RenderableType]:
    """Scorecards in parts, for a terminal of so many columns; arms that do not fit beside each other follow below."""
    length = duration(pipeline.scorecards.window)
    yield f"[bold]{escape(pipeline.name)}[/], windows of {length}, {span.text}\n"
    if segment is not None:
        for each in found:
            yield from _by_group(each, pipeline, segment, names)
        yield from _notes(found, pipeline)
        return
    beside = max((width - NAME_WIDTH) // ARM_WIDTH, 1)
    for first in range(0, len(found), beside):
        yield from _arms(found[first : first + beside], pipeline, names)
    for each in found:
        yield from class_tables(each, pipeline)


def _arms(arms: Sequence[Summary], pipeline: Pipeline, names: Sequence[str]) -> Iterator[RenderableType]:
    table = figure_table("", *(f"{each.who.arm}\n{escape(f'{each.who.name}@{each.who.version}')}" for each in arms))
    table.add_row("windows", *(f"{len(each.starts)}" for each in arms))
    table.add_row("predictions", *(f"{each.whole.tally['predictions']:,}" for each in arms))
    if any(each.whole.tally["repeats"] for each in arms):
        table.add_row("repeats left out", *(f"{each.whole.tally['repeats']:,}" for each in arms))
    _rows(table, "operational", "all windows", arms, names, "predictions")
    table.add_section()
    table.add_row("[bold]quality[/] [dim]mature only[/]", *(_maturity(each) for each in arms))
    _rows(table, None, "", arms, names, "outcomes")
    if any(each.guessed for each in arms):
        _rows(table, "estimate", "the others", arms, names, "estimate", ESTIMATED)
        if any(_told(each, SHIFTED) for each in arms):
            _rows(table, "estimate", "mix weighed", arms, names, "estimate", SHIFTED)
    for prefix, which in ((ESTIMATED, "off by"), (SHIFTED, "mix weighed")):
        fared = [_fared_of(each, prefix) for each in arms]
        told = [name for name in ESTIMATES_TOLD if any(name in each for each in fared) and shown(name, names)]
        if told:
            table.add_section()
            table.add_row(f"[bold]estimates so far[/] [dim]{which}[/]")
            for name in told:
                table.add_row(f"  {title(name)}", *(_fared(each.get(name)) for each in fared))
    _trends(table, arms, names)
    yield table
    yield from _notes(arms, pipeline)


def _rows(
    table: Table, heading: str | None, of: str, arms: Sequence[Summary], names: Sequence[str], basis: Basis,
    prefix: str = "",
) -> None:  # fmt: skip  # what, and which of it
    cards = [each.figures for each in arms]
    every = dict.fromkeys(name for card in cards for name, figure in card.items() if figure.basis == basis)
    some = [name for name in every if shown(name, names) and name.startswith(prefix)]
    if heading is not None and some:
        table.add_section()
        table.add_row(f"[bold]{heading}[/] [dim]{of}[/]")
    for name in some:
        table.add_row(f"  {title(name)}", *(_cell(card.get(name)) for card in cards))
        if name == "positive_rate" and any(_banded(card.get(name)) for card in cards):
            table.add_row("    [dim]expected within[/]", *(_band(card.get(name)) for card in cards))


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    told = cell(figure)
    if (
        figure.name == "positive_rate"
        and figure.value is not None
        and figure.low is not None
        and figure.high is not None
    ):
        return told if figure.low <= figure.value <= figure.high else f"[yellow]{told}[/]"
    return told


def _banded(figure: Figure | None) -> bool:
    return figure is not None and figure.low is not None


def _band(figure: Figure | None) -> str:
    if figure is None or figure.low is None or figure.high is None:
        return "[dim]-[/]"
    return f"[dim]{figure.low:.2%}..{figure.high:.2%}[/]"


def _maturity(each: Summary) -> str:
    style = "green" if len(each.complete) == len(each.starts) else "yellow"
    return f"[{style}]{len(each.complete)} of {len(each.starts)}[/]"


def _told(each: Summary, prefix: str) -> bool:
    """Whether an estimator told anything."""
    return any(name.startswith(prefix) and figure.value is not None for name, figure in each.figures.items())


def _fared_of(each: Summary, prefix: str) -> Mapping[str, EstimateError]:
    """How an estimator did; of windows alone that all estimators told, where there are several."""
    if SHIFTED in each.compared:
        return each.compared.get(prefix, {})
    return each.fared if prefix == ESTIMATED else {}


def _fared(fared: EstimateError | None) -> str:
    if fared is None:
        return ""
    return f"{'+' if fared.bias >= 0 else ''}{short(fared.bias)} ±{short(fared.mean_absolute)}"


def _trends(table: Table, arms: Sequence[Summary], names: Sequence[str]) -> None:
    there = [name for name in TREND if any(name in card.figures for each in arms for card in each.windows.values())]
    rows = []
    for name in [name for name in there if shown(name, names)][:2]:
        courses = [[_value(card, name) for card in each.windows.values()] for each in arms]
        known = [value for course in courses for value in course if value is not None]
        if len(known) > 1:
            rows.append((name, [bars(course[-ARM_WIDTH + 2 :], min(known), max(known)) for course in courses]))
    if rows:
        table.add_section()
        dots = any("·" in drawn for _, courses in rows for drawn in courses)
        table.add_row("[bold]by window[/]" + " [dim]· not mature[/]" * dots)
        for name, drawn in rows:
            table.add_row(f"  {title(name)}", *drawn)


def _value(card: Card, name: str) -> float | None:
    figure = card.figures.get(name)
    return None if figure is None else figure.value


def bars(course: Sequence[float | None], low: float, high: float) -> str:
    """Values as bars between `low` and `high`; a dot where there is none.

    >>> bars([0.0, None, 1.0], 0.0, 1.0)
    '▁·█'
    """
    step = (high - low) / (len(BARS) - 1)
    return "".join("·" if v is None else BARS[round((v - low) / step) if step else len(BARS) // 2] for v in course)


def _unweighed(each: Summary) -> str | None:
    """Why there are no estimates under shifted inputs; None where there are, or nobody asked."""
    last = each.guessed or list(each.windows.values())[-1]
    rests = last.figures.get(SHIFTED + RESTS_ON)
    return None if rests is None else rests.note


def _notes(arms: Sequence[Summary], pipeline: Pipeline) -> Iterator[str]:
    for each in arms:
        if (why := _unweighed(each)) is not None:
            yield f"[dim]{escape(each.who.text)} has no estimates under shifted inputs: {escape(why)}.[/]\n"
        if each.ahead:
            rows = sum(each.windows[start].tally["predictions"] for start in each.ahead)
            yield (
                f"[yellow]{rows:,} predictions of {escape(each.who.text)} are of events dated far ahead of all others, "
                f"the first of {minute(each.ahead[0])}: they have windows of their own, and make none the newest.[/]\n"
            )
    late = [each for each in arms if len(each.complete) < len(each.starts)]
    if not late:
        yield ""
        return
    worst = max(late, key=lambda each: each.immature)
    told = f"[dim]{worst.immature:.1%} of {escape(worst.who.text)}'s predictions are in windows that are not mature"
    if pipeline.labels is None:
        yield f"{told}: the pipeline has no labels.[/]\n"
        return
    due = [by for each in late if (by := matures_by(each, pipeline)) is not None]
    if due:  # no date of a clock: labels of a backfill lie years behind it, and a stream may stop
        known = max(each.as_of for each in late)
        so_far = f"so far they were up to {minute(known)}" if known > UNREAD else "none are read so far"
        lost = any(overdue(each, pipeline) or unmatched(each) for each in late)
        which = "those that wait for labels" if lost else "they"
        yield f"{told}: {which} will be once labels up to {minute(max(due))} are read; {so_far}.[/]\n"
    else:
        yield f"{told}.[/]\n"
    for each in late:
        who = escape(each.who.text)
        if missing := overdue(each, pipeline):
            yield (
                f"[yellow]{missing:,} predictions of {who} should have an outcome and have none: "
                f"labels were read up to {minute(each.as_of)}. headrace lag {escape(pipeline.name)} says whether "
                "labels or scorecards is behind.[/]\n"
            )
        if lost_windows := unmatched(each):
            yield (
                f"[yellow]{len(lost_windows):,} windows of {who}, the first of {minute(lost_windows[0])}, "
                f"cannot become mature: {WITHHELD}.[/]\n"
            )


def fitted_notes(arms: Sequence[Summary], pipeline: Pipeline, known: Mapping[Identity, Origin]) -> Iterator[str]:
    """Which figures a model owes to knowing the labels, and of which models nobody can say."""
    for each in arms:
        origin, seen = known[each.who], fitted_windows(each, pipeline, known[each.who])
        who = escape(each.who.text)
        if seen:
            spans = ", ".join(f"{minute(span.start)} to {minute(span.stop)}" for span in origin.spans)
            count = len(seen & set(each.complete))
            yield (
                f"[yellow]{who} was fitted on events of {spans}: {len(seen)} of its {len(each.starts)} windows hold "
                f"some, {count} of them mature; their quality flatters it (--window chooses others)[/]"
            )
        yield from (f"[dim]{who}: {escape(why)}; no window is marked for that[/]" for why in origin.unknown)


# ---- groups of a segment -----------------------------------------------------------------------------------------


def _by_group(each: Summary, pipeline: Pipeline, segment: str, names: Sequence[str]) -> Iterator[RenderableType]:
    yield f"[bold]{escape(each.who.text)}[/] by {escape(segment)}"
    if not each.complete:
        yield "[yellow]no window is mature: quality and gaps cannot be told, see below[/]"
    elif len(each.complete) < len(each.starts):
        yield f"[dim]{len(each.complete)} mature windows of {len(each.starts)}[/]"
    table = figure_table("", *map(escape, each.groups))
    cards = [card.figures for card in each.groups.values()]
    for count in ("predictions", "labelled"):
        table.add_row(count, *(f"{card.tally[count]:,}" for card in each.groups.values()))
    every = dict.fromkeys(name for card in cards for name in card if not name.startswith(ESTIMATED))
    for name in [name for name in every if shown(name, names)]:
        told = ["-" if name not in card else _alone(card[name]) for card in cards]
        if set(told) != {"-"}:
            table.add_row(title(name), *told)
    yield table
    if each.gaps:
        yield from _gaps(each.gaps)
    elif each.complete:
        yield "[dim]gaps: fewer than two groups have rows enough[/]\n"


def _alone(figure: Figure) -> str:
    return "-" if figure.value is None else short(figure.value, figure.name in SHARES)


def _gaps(gaps: Mapping[str, Figure]) -> Iterator[RenderableType]:
    table = figure_table("largest gap", "gap", "95% interval", "highest", "lowest")
    for name, figure in gaps.items():
        if figure.value is None or figure.low is None or figure.high is None:
            continue
        ends = (figure.note or "").split(";")[0].removeprefix("highest ").split(", lowest ")
        style = "yellow" if figure.low > 0 else None
        span = f"{short(figure.low)} to {short(figure.high)}"
        label = title(name.removeprefix("gap_"))
        table.add_row(label, short(figure.value), span, *map(escape, ends), style=style)
    yield ""
    yield table
    yield "[dim]yellow: chance alone hardly explains it[/]\n"
