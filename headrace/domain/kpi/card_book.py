"""Scorecards by window, as far as rules look back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.domain.aggregations.global_aggregate import reached

Rows = tuple[str, str, str]
"""Arm, segment and group: what a card is of, but for its model."""
SPARE = 10
"""Windows that are kept beyond those that a rule looks at."""

UNSAID = 0
"""Length of windows before anybody said it."""


@dataclass(slots=True)
class HeldCard:
    """The newest card of one model in one window.

    Attributes:
        model: `name@version`.
        predictions, outcomes: rows.
        mature: whether every prediction has its outcome.
        figures: by name; None where it is not defined.
        notes: why not.
        known: figures of the newest card that was mature, on so many `known_rows`; None: none was. A late event makes a
            window wait again, and what was known of it stays known until it is mature anew.
    """

    model: str
    predictions: int
    outcomes: int
    mature: bool
    figures: Mapping[str, float | None]
    notes: Mapping[str, str]
    known: Mapping[str, float | None] | None = None
    known_rows: int = 0

    def plain(self) -> list[Any]:
        """As JSON has it."""
        counts = [self.model, self.predictions, self.outcomes, self.mature]
        return [*counts, dict(self.figures), dict(self.notes), self.known and dict(self.known), self.known_rows]


@dataclass(slots=True)
class CardBook:
    """The newest card of each window, whatever the order in which they come: of one card, the one that comes last.

    Attributes:
        window: its length, milliseconds; `UNSAID` while nobody said it.
        keep: milliseconds of event time, behind the newest window, for which cards are kept.
        cards: by rows, by the window's start, by the model's digest.
    """

    window: int = 86_400_000
    keep: int = 0
    cards: dict[Rows, dict[int, dict[str, HeldCard]]] = field(default_factory=dict)

    def take(self, card: Mapping[str, Any]) -> None:
        """Keep a card, as parts have it."""
        rows: Rows = (card["arm"], card["segment"], card["group"])
        windows = self.cards.setdefault(rows, {})
        held = HeldCard(
            card["model"], card["predictions"], card["outcomes"], card["mature"], card["figures"], card["notes"]
        )
        before = windows.setdefault(card["start"], {}).get(card["digest"])
        if held.mature:
            held.known, held.known_rows = held.figures, held.outcomes
        elif before is not None:
            held.known, held.known_rows = before.known, before.known_rows
        windows[card["start"]][card["digest"]] = held

    def newest(self) -> int | None:
        """The start of the newest window, as far as many rows of any model say so; None while too few do."""
        rows: dict[int, int] = {}
        for (_, segment, _), windows in self.cards.items():
            for start, cards in windows.items() if not segment else ():
                rows[start] = rows.get(start, 0) + sum(card.predictions for card in cards.values())
        return reached(rows, self.window)

    def forget(self) -> None:
        """Drop windows that no rule looks at any more."""
        newest = None if self.window == UNSAID else self.newest()
        if newest is None:
            return
        for windows in self.cards.values():
            for old in [start for start in windows if start < newest - self.keep]:
                del windows[old]

    def plain(self) -> list[Any]:
        """As JSON has it."""
        return [
            [list(rows), start, digest, held.plain()]
            for rows, windows in self.cards.items()
            for start, cards in windows.items()
            for digest, held in cards.items()
        ]

    def restore(self, said: list[Any]) -> None:
        """Become what `plain` said."""
        self.cards = {}
        for (arm, segment, group), start, digest, held in said:
            self.cards.setdefault((arm, segment, group), {}).setdefault(start, {})[digest] = HeldCard(*held)
