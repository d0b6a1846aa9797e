"""A rule over a scorecard: its figure in each window, and how many windows in a row it has been beyond its bounds.

A window is known once its cards are: of figures on outcomes when they are mature, of others when a later window has
begun. Windows that are not known neither break a row of breaches nor add to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from headrace.domain.kpi.card_book import CardBook, HeldCard
from headrace.domain.kpi.figure_point import FigurePoint, RuleReading
from headrace.domain.pipeline.kpi.figures import OUTCOMES, basis_of
from headrace.domain.pipeline.kpi.spec import KpiRule
from headrace.domain.pipeline.units import moment


class Unknown(str):
    """Why a window tells nothing, and until when."""


def card_readings(rule: KpiRule, book: CardBook, matures_after: int, judged: int | None) -> Iterator[RuleReading]:
    """What is to be said of a rule: of each window that was not judged before, in their order, then of all there is.

    Args:
        matures_after: milliseconds from an event to the time when it has its outcome.
        judged: the start of the newest window that was judged; None: none was, and the past is not told.
    """
    newest = book.newest()
    if newest is None:
        yield RuleReading(unknown=f"no window of {rule.arm} has rows enough yet, until more predictions come")
        return
    held = book.cards.get((rule.arm, rule.segment, rule.group), {})
    known: list[FigurePoint] = []
    untold: dict[int, Unknown] = {}
    for start in sorted(start for start in held if start <= newest):
        said = _window(rule, book.window, matures_after, start, start < newest, held[start])
        if isinstance(said, Unknown):
            untold[start] = said
        elif said is not None:
            known.append(said)
    unknown = _unknown(rule, book.window, matures_after, newest, known, untold)
    for place, point in enumerate(known):
        if judged is not None and point.at > judged and place < len(known) - 1:
            yield _standing(rule, known[: place + 1], None)
    yield _standing(rule, known, unknown)


def _standing(rule: KpiRule, known: Sequence[FigurePoint], unknown: str | None) -> RuleReading:
    """The newest point, and the row of breaches that it ends."""
    if not known:
        return RuleReading(unknown=unknown)
    row = 0
    for point in reversed(known):
        if not rule.breaches(point.value):
            break
        row += 1
    since = known[-row].at if row else None
    broken = row < len(known)  # what came before is known, and was fine
    return RuleReading(known[-1], since, row >= rule.hold, broken and row < rule.hold, unknown)


def _window(
    rule: KpiRule, length: int, matures_after: int, start: int, over: bool, cards: Mapping[str, HeldCard]
) -> FigurePoint | Unknown | None:
    """The figure of a window, of the model that is farthest beyond the bounds; None without a card."""
    found: list[FigurePoint] = []
    untold: Unknown | None = None
    for digest, card in cards.items():
        if rule.model and card.model != rule.model:
            continue
        said = _card(rule, length, matures_after, start, over, digest, card)
        if isinstance(said, FigurePoint):
            found.append(said)
        else:
            untold, waits = said
            if waits:
                return untold
    return max(found, key=lambda point: rule.excess(point.value)) if found else untold


def _card(
    rule: KpiRule, length: int, matures_after: int, start: int, over: bool, digest: str, card: HeldCard
) -> FigurePoint | tuple[Unknown, bool]:
    """The figure of a card; or why it tells none, and whether it will."""
    window = f"the window of {moment(start)}"
    if basis_of(rule.figure) == OUTCOMES:
        if card.known is None:
            there = f"{card.outcomes:,} of {card.predictions:,} predictions of {window} have an outcome"
            until = moment(start + length + matures_after)
            return Unknown(f"{there}, until all have: not before labels are read to {until}"), True
        figures, rows = card.known, card.known_rows
    elif not over and not card.mature:
        return Unknown(f"{window} goes on, until a later one has begun"), True
    else:
        figures, rows = card.figures, card.predictions
    if rows < rule.least:
        return Unknown(f"{window} has {rows:,} rows, fewer than {rule.least:,} (least), until one has more"), False
    value = figures.get(rule.figure)
    if value is None:
        note = card.notes.get(rule.figure)
        why = f": {note}" if note else ""
        return Unknown(f"{rule.figure} is not defined in {window}{why}, until it is in a later one"), False
    return FigurePoint(start, value, rows, card.model, digest)


def _unknown(
    rule: KpiRule,
    length: int,
    matures_after: int,
    newest: int,
    known: Sequence[FigurePoint],
    untold: Mapping[int, Unknown],
) -> str | None:
    """Why the window is not known that should be by now; None: it is."""
    wait = length + matures_after if basis_of(rule.figure) == OUTCOMES else 0
    due = (newest - length - wait) // length * length  # the newest window that had the time, and one more, to be known
    if known and known[-1].at >= due:
        return None
    if not known and not untold:
        return f"there is no card of {_whose(rule)}, until it answers"
    if not known:
        return str(untold[min(untold)])
    if due in untold:
        return str(untold[due])
    return f"there is no card of {_whose(rule)} for the window of {moment(due)}, until it answers again"


def _whose(rule: KpiRule) -> str:
    rows = f" in {rule.segment} {rule.group}".rstrip() if rule.segment else ""
    return " ".join(filter(None, (rule.arm, rule.model))) + rows
