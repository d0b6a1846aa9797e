"""A duel on paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from headrace.cli.render.evidence import bar, share_of
from headrace.cli.render.models.figure_table import figure_table
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.units import duration
from headrace.domain.release.margin import Margin
from headrace.operations.comparison.results import (
    AnytimeEvidence,
    ClassDisagreement,
    ComparedFigure,
    DecisionAgreement,
    Duel,
    DuelSide,
    DuelVerdict,
    GroupDuel,
    RankDisagreement,
    ScoreAgreement,
)
from headrace.operations.comparison.verdict import number, sure
from headrace.operations.time_spans import minute

COLOURS = {"better": "green", "worse": "red", "unclear": "yellow", "unknown": "yellow"}
SETTLED = {"harm": "red", "safe": "green", "open": "yellow", "unknown": "yellow"}
METHODS = {
    "delong": "DeLong's",
    "bootstrap": "by bootstrap",
    "influence": "by influence functions",
    "independent": "of independent groups",
    "paired": "of paired losses",
}
_OPERATIONAL: Sequence[tuple[str, Callable[[DuelSide], float | None], str]] = (
    ("decided yes", lambda side: side.decision_rate, ".3%"),
    ("mean score", lambda side: side.mean_score, ".5f"),
    ("latency p50, ms", lambda side: side.latency_ms.p50, ",.0f"),
    ("latency p99, ms", lambda side: side.latency_ms.p99, ",.0f"),
    ("model time a row, us", lambda side: side.compute_micros.mean, ",.2f"),
)
_MOST = "event"
_FIELDS = 3
"""Fields of an event that fit beside its scores."""


def duel_sheet(duel: Duel, span: str, pipeline: Pipeline, width: int) -> Iterator[RenderableType]:
    """A duel in parts, for a terminal of so many columns."""
    a, b = duel.a, duel.b
    yield f"[bold]{escape(pipeline.name)}[/], events of {span}"
    yield f"  A  [cyan]{_title(a)}[/]"
    yield f"  B  [magenta]{_title(b)}[/]\n"
    yield _verdict(duel.verdict)
    yield from _events(duel)
    yield _operational(duel)
    yield from _waited(duel)
    if duel.decisions is not None and duel.scores is not None and duel.same_events:
        yield "\n[bold]alike[/]"
        yield _alike(duel.decisions, duel.scores, bool(pipeline.model.classes))
    yield from _quality(duel, pipeline)
    yield from evidence_sheet(duel.evidence, "half of Brier's score" if pipeline.model.classes else "Brier's score")
    if duel.segment is not None and not duel.same_events:
        yield f"[yellow]groups of {escape(duel.segment)} are compared only on the same events[/]"
    if duel.segment is not None and duel.groups:
        yield from _groups(duel.segment, duel.groups)
    if duel.disagreements:
        how = "whose chances differ most" if pipeline.model.classes else "that they rank most differently"
        yield f"\n[bold]events {how}[/]"
        yield _disagreements(duel.disagreements, width)


def _title(side: DuelSide) -> str:
    return escape(f"{side.model}@{side.version}/{side.arm}") + f"[dim], {side.digest[:15]}[/]"


def _verdict(verdict: DuelVerdict) -> Panel:
    colour = COLOURS[verdict.answer]
    return Panel(escape(verdict.sentence), border_style=colour, title="verdict", title_align="left", expand=False)


def _events(duel: Duel) -> Iterator[str]:
    events = duel.events
    if duel.same_events:
        both, only_a, only_b = f"{events.both:,}", f"{events.only_a:,}", f"{events.only_b:,}"
        yield f"{both} events scored by both, {only_a} by A alone, {only_b} by B alone"
    else:
        both = f", only {events.both:,} by both" if events.both else ""
        first, second = f"{duel.a.events:,}", f"{duel.b.events:,}"
        yield (
            f"[yellow]Different events[/]: {first} scored by A, {second} by B{both}. They are compared as independent "
            "groups: what differs between the events is told as a difference of the models."
        )
    repeats = duel.a.repeats + duel.b.repeats
    if repeats:
        yield f"[dim]{repeats:,} repeats of predictions are left out[/]"
    yield ""


def _operational(duel: Duel) -> Table:
    table = _table("", "A", "B", "B - A")
    a, b = duel.a, duel.b
    for name, value, form in _OPERATIONAL:
        first, second = value(a), value(b)
        if name.startswith("latency") and a.only_backfilled != b.only_backfilled:
            gap = "-"  # of a backfill and of live events: nothing that could be compared
        else:
            gap = "-" if first is None or second is None else format(second - first, f"+{form}")
        table.add_row(name, *("-" if each is None else format(each, form) for each in (first, second)), gap)
    return table


def _waited(duel: Duel) -> Iterator[str]:
    """Which events the latency above is not of, or is of alone."""
    a, b = duel.a, duel.b
    same = a.latency_note == b.latency_note
    for name, side in (("A", a), ("B", b)):
        if side.latency_note is None or (same and side is b):
            continue
        who = "A and B" if same else name
        medians = [f"{each.backfill_latency_ms.p50:,.0f}" for each in ((a, b) if same else (side,))]
        p50 = "" if side.only_backfilled else f"; p50 of these {' and '.join(medians)} ms"
        yield f"[dim]latency of {who}: {side.latency_note}{p50}[/]"


def _alike(decisions: DecisionAgreement, scores: ScoreAgreement, classes: bool) -> Table:
    table = _table("", "", "", "")
    table.show_header = False
    kappa = "-" if decisions.kappa is None else f"{decisions.kappa:.3f}"
    table.add_row("same class" if classes else "same decision", f"{decisions.agreement:.3%}", "kappa", kappa)
    table.add_row("yes by A alone", f"{decisions.only_a:,}", "yes by B alone", f"{decisions.only_b:,}")
    spearman, kendall = ("-" if rank is None else f"{rank:.3f}" for rank in (scores.spearman, scores.kendall))
    table.add_row("Spearman", spearman, "Kendall", kendall)
    table.add_row("score shift, KS", f"{scores.ks:.3f}", "PSI", f"{scores.psi:.3f}")
    return table


def _quality(duel: Duel, pipeline: Pipeline) -> Iterator[RenderableType]:
    quality = duel.quality
    matures = duration(pipeline.labels.matures_after) if pipeline.labels else "0s"
    positive = "" if pipeline.model.classes else f", {quality.positives:,} positive"
    yield f"\n[bold]quality[/]: {quality.labelled:,} mature outcomes{positive}"
    if duel.horizon is None:
        yield "[yellow]  the topic outcomes has none of them, or none since labels were read: does `labels` run?[/]"
        return
    yield f"[dim]  mature: {matures} before the newest label read, events to {minute(duel.horizon)}[/]"
    yield from _fitted(duel)
    if quality.waiting:
        when = f", the first once labels up to {_end(quality.waits_for)} are read"
        yield f"[dim]  {quality.waiting:,} events are younger and count later{when}[/]"
    if quality.missing:
        yield (
            f"[yellow]  {quality.missing:,} events are old enough and have no outcome: `labels` may be behind, "
            "and figures lean towards what was labelled early[/]"
        )
    if quality.figures:
        yield _figures(quality.figures)
        methods: dict[str, list[str]] = {}
        for name, figure in quality.figures.items():
            methods.setdefault(METHODS[figure.method], []).append(name.replace("_", " "))
        told = ", ".join(f"{how} for {' and '.join(names)}" for how, names in methods.items())
        yield f"[dim]  intervals: {told}[/]"


def _fitted(duel: Duel) -> Iterator[str]:
    """What became of events that one of the two was fitted on."""
    training, count = duel.training, duel.quality.fitted
    if count:
        how = "count, as you asked" if training.counted else "are left out (--include-training counts them)"
        yield f"[yellow]  {count:,} mature events {how}: A or B was fitted on them[/]"
    for side, known in (("A", training.a), ("B", training.b)):
        spans = ", ".join(" to ".join(map(_end, (span.from_, span.to))) for span in known.fitted_on)
        if spans:
            yield f"[dim]  {side} was fitted on events of {spans}[/]"
        yield from (
            f"[yellow]  {side}: {escape(why)}; none of its events are left out for that[/]" for why in known.unknown
        )


def _end(time: int | None) -> str:
    return "..." if time is None else minute(time)


def _figures(figures: Mapping[str, ComparedFigure]) -> Table:
    table = _table("", "A", "B", "B - A", "95% interval", "p")
    for name, figure in figures.items():
        low, high = figure.low, figure.high
        answer = sure(name, figure)
        style = None if answer is None else COLOURS[answer]
        sides = [number(value, name) for value in (figure.a, figure.b)]
        gap = number(figure.difference, name, sign=True)
        span = f"{number(low, name, sign=True)} to {number(high, name, sign=True)}"
        p = "<0.001" if figure.p < 0.001 else f"{figure.p:.3f}"
        table.add_row(name.replace("_", " "), *sides, gap, span, p, style=style)
    return table


def evidence_sheet(found: AnytimeEvidence, chances: str = "Brier's score") -> Iterator[RenderableType]:
    """What may be looked at after every outcome, as bars against 1 / alpha; `chances`: what their loss is called."""
    yield f"\n[bold]evidence at any time[/]: each statement is wrong in {100 * found.alpha:g}% of duels at most"
    yield f"  [{SETTLED[found.answer]}]{escape(found.sentence)}[/]"
    margin, table = Margin(found.margin_share, found.margin_offset), _table("", "", "of 1/alpha")
    table.columns[1].justify = "left"
    for name, standing in (("worse", found.harm), ("not worse", found.safety)):
        if standing is not None:
            share = math.exp(min(standing.highest + math.log(found.alpha), 600.0))
            table.add_row(escape(f"{name} {margin.beyond}"), bar(share), share_of(share))
    if table.row_count:
        yield table
    if found.loss_a is not None and found.loss_b is not None:
        beside = f", {found.loss_b / found.loss_a - 1:+.2%}" if found.loss_a > 0 else ""
        loss = chances if found.bound is None else f"squared error, at most {found.bound:g}"
        means = f"A {found.loss_a:.5g}, B {found.loss_b:.5g}{beside}"
        yield f"[dim]  mean loss of {found.events:,} events: {means} ({loss})[/]"
    if found.clipped:
        yield f"[dim]  {found.clipped:,} events had a larger error and count as that[/]"


def _groups(segment: str, groups: Sequence[GroupDuel]) -> Iterator[RenderableType]:
    yield f"\n[bold]{escape(segment)}[/]"
    table = _table("group", "events", "same", "mature", "by", "B - A", "95% interval", "B is")
    for group in groups:
        verdict = group.verdict
        by = verdict.by
        told = ["-", "-", "-"]
        if by is not None:
            figure = group.figures[by]
            gap, low, high = (number(value, by, sign=True) for value in (figure.difference, figure.low, figure.high))
            told = [_short(by), gap, f"{low} to {high}"]
        same = "-" if group.agreement is None else f"{group.agreement:.1%}"
        word = {"unknown": "-"}.get(verdict.answer, verdict.answer)
        own = (escape(group.group), f"{group.events:,}", same, f"{group.labelled:,}")
        table.add_row(*own, *told, f"[{COLOURS[verdict.answer]}]{word}[/]")
    yield table


def _disagreements(rows: Sequence[RankDisagreement], width: int) -> Table:
    fields = list(rows[0].event or {})[: _FIELDS if width >= 100 else 1]
    table = _table(_MOST, "at", "A", "B", "rank A", "rank B", "label", *map(escape, fields))
    if isinstance(rows[0], ClassDisagreement):
        table = _table(_MOST, "at", "A", "", "B", "", "true", *map(escape, fields))
    for row in rows:
        label = "-" if row.label is None else f"{row.label:g}"
        scores = [
            f"[{'red' if yes else 'green'}]{score:.4f}[/]"
            for score, yes in zip((row.a, row.b), row.decided, strict=True)
        ]
        ranks = [f"{rank:.1%}" for rank in (row.rank_a, row.rank_b)]
        if isinstance(row, ClassDisagreement):
            ranks, label = [escape(row.class_a), escape(row.class_b)], escape(row.label_class or "-")
            scores = [ranks[0], f"{row.a:.4f}", ranks[1], f"{row.b:.4f}"]
            ranks = []
        time = minute(row.event_time)[5:16]
        own = [_value((row.event or {})[name]) for name in fields]
        table.add_row(escape(row.event_id), time, *scores, *ranks, label, *own)
    return table


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else escape(str(value))


def _short(name: str) -> str:
    return {"average_precision": "AP", "auc_roc": "AUC"}.get(name, name.replace("_", " "))


def _table(first: str, *others: str) -> Table:
    return figure_table(first, *others, overflow="fold", no_wrap=first != _MOST)
