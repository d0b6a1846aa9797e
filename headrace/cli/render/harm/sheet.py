"""What incidents do to models on paper: losses beside the reference, the evidence, of what kind a change is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from headrace.cli.render.evidence import bar, share_of
from headrace.operations.drift.harm import LossReport
from headrace.operations.drift.report import ChangedColumn, Incident
from headrace.operations.time_spans import minute

KINDS = {
    "concept": "concept shift: the same scores stand for other chances than on the reference",
    "covariate": "covariate shift: the rows are others, and their scores stand for what they stood for",
    "unknown": "of what kind it is is not known yet",
}
MOST_GROUPS = 5


def harm_note(found: Incident) -> str:
    """Of an incident in a list: whether it is harmful, by what, and of what kind."""
    by = [
        *(["by labels"] if any(each.proved for each in found.harms) else []),
        *(["by estimate"] if any(each.estimate_proved for each in found.harms) else []),
    ]
    return f"harm {' and '.join(by)}" if by else "none proved" if found.harms else "not known"


def loss_line(found: LossReport) -> str | None:
    """What a model lost in the last days, or why nobody knows; None where nothing is to be said."""
    if found.loss is not None:
        return (
            f"loss of the last 7 days {_figure(found.loss, found.loss_error)}, {_beside(found.loss, found.reference)}"
        )
    if found.estimate is not None:
        told = _figure(found.estimate, found.estimate_error)
        return f"estimated loss of the last 7 days {told}, {_beside(found.estimate, found.reference)}"
    return found.unknown[0] if found.unknown else None


def harm_sheet(found: Incident) -> Iterator[RenderableType]:
    """What an incident does to each of its models."""
    for each in found.harms:
        span = "" if each.until is None else f" to {minute(each.until)}"
        yield f"\n[bold]harm[/] to {escape(each.model)}, since {minute(each.since)}{span} (event time)"
        yield _losses(each)
        yield f"  {KINDS[each.kind]}{_kind_note(each)}"
        parts = _parts(each)
        if parts is not None:
            yield parts
        if each.carriers:
            yield _groups(each)
        for why in each.unknown:
            yield f"  [dim]{escape(why)}[/]"


def _kind_note(each: LossReport) -> str:
    """Since when a kind is known, or what would have been seen."""
    if each.kind == "concept" and each.concept_proved is not None:
        return f" (at {minute(each.concept_proved)})"
    if each.kind == "covariate" and each.discerned is not None:
        return f"; another concept that costs {each.discerned:.0%} or more would most likely have been seen"
    return ""


def _parts(each: LossReport) -> str | None:
    """What of a change scores explain; None where it is not known."""
    if each.loss is None or each.expected is None or each.reference <= 0:
        return None
    whole, moved = each.loss / each.reference - 1, each.expected / each.reference - 1
    error = "" if each.rest_error is None else f" ± {2 * each.rest_error / each.reference:.0%}"
    return (
        f"  of the change of {signed(whole)}, scores that moved explain {signed(moved)}, "
        f"and not {signed(whole - moved)}{error}"
    )


def _losses(each: LossReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for name, justify in (("", "left"), ("rows", "right"), ("loss", "right"), ("of reference", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("evidence for harm", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    rows = (
        ("by labels", each.outcomes, each.loss, each.loss_error, each.tolerated, each.evidence, each.proved),
        ("by estimate", each.predictions, each.estimate, each.estimate_error, each.estimate_tolerated,
         each.estimate_evidence, each.estimate_proved),
    )  # fmt: skip  # a row each
    for name, count, loss, error, _, evidence, proved in rows:
        if loss is None:
            table.add_row(name, f"{count:,}", "", "", "not known", "")
            continue
        told = share_of(evidence) if proved is None else f"proved at {minute(proved)}"
        ratio = f"{loss / each.reference:.0%}" if each.reference > 0 else ""
        style = None if proved is None else "red"
        table.add_row(name, f"{count:,}", _figure(loss, error), ratio, bar(evidence), told, style=style)
    if each.reference > 0:
        limit = f"{each.tolerated / each.reference:.0%}"
        table.add_row("tolerated", "", f"{each.tolerated:.4g}", limit, "", "", style="dim")
    return table


def _groups(each: LossReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for name in ("group", "outcomes", "loss before", "since", "share of what is lost more"):
        table.add_column(name, justify="left" if name == "group" else "right", no_wrap=True)
    total = sum(group.excess or 0.0 for group in each.carriers)
    for group in each.carriers[:MOST_GROUPS]:
        share = f"{(group.excess or 0.0) / total:.0%}"
        table.add_row(escape(group.name), f"{group.outcomes:,}", f"{group.before:.4g}", f"{group.loss:.4g}", share)
    return table


def effects_sheet(columns: Sequence[ChangedColumn]) -> Table | None:
    """Changed columns by what their change costs; None where nobody knows it of any."""
    known = [each for each in columns if each.effect is not None]
    if not known:
        return None
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for name in ("column", "effect on the loss", "of the evidence"):
        table.add_column(name, justify="left" if name == "column" else "right", no_wrap=True)
    for each in sorted(known, key=lambda each: -abs(each.effect or 0.0)):
        table.add_row(escape(each.column), signed(each.effect or 0.0), f"{each.share:.0%}")
    return table


def _figure(loss: float, error: float | None) -> str:
    return f"{loss:.4g}" + ("" if error is None else f" ± {2 * error:.2g}")


def _beside(loss: float, reference: float) -> str:
    return f"{loss / reference:.0%} of the reference's" if reference > 0 else "the reference lost nothing"


def signed(share: float) -> str:
    """A share of the reference's loss.

    >>> signed(0.123), signed(-0.0004)
    ('+12%', '-0.0%')
    """
    return f"{share:+.0%}" if abs(share) >= 0.0095 else f"{share:+.1%}"
