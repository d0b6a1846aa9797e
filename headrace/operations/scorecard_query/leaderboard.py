"""How models do, as their scorecards come: the newest card of every window of each model and arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN = ("auc_roc", "average_precision", "value")


@dataclass(frozen=True, slots=True)
class Standing:
    """A model in its arm.

    Attributes:
        who: `name@version arm`.
        windows, mature: how many windows have a card, and how many of these have all their outcomes.
        predictions, outcomes: of all windows.
        figures: by name, of the newest mature window; empty before there is one.
        estimated: the AUC that is expected of the newest window, before its labels.
        day: when the newest mature window began, as a date.
    """

    who: str
    windows: int
    mature: int
    predictions: int
    outcomes: int
    figures: Mapping[str, float]
    estimated: float | None
    day: str


class Standings:
    """Takes records of the scorecards topic; a later one of the same window replaces the one before."""

    def __init__(self) -> None:
        self._cards: dict[str, dict[Any, dict[str, Any]]] = {}

    def take(self, rows: list[dict[str, Any]]) -> None:
        """Records, in the topic's order; those of groups are left out."""
        for row in rows:
            if not row["segment"]:
                who = f"{row['model']['name']}@{row['model']['version']} {row['arm']}"
                self._cards.setdefault(who, {})[row["window_start"]] = row

    def now(self) -> tuple[Standing, ...]:
        """All models, champions first."""
        ordered = sorted(self._cards, key=lambda who: (not who.endswith("champion"), who))
        return tuple(_standing(who, self._cards[who]) for who in ordered)


def _standing(who: str, cards: Mapping[Any, dict[str, Any]]) -> Standing:
    mature = [start for start, card in cards.items() if card["mature"]]
    figures: dict[str, float] = {}
    if mature:
        told = {figure["name"]: figure["value"] for figure in cards[max(mature)]["figures"]}
        figures = {name: told[name] for name in SHOWN if told.get(name) is not None}
    guessed = {figure["name"]: figure["value"] for figure in cards[max(cards)]["figures"]}
    return Standing(
        who,
        len(cards),
        len(mature),
        sum(card["predictions"] for card in cards.values()),
        sum(card["outcomes"] for card in cards.values()),
        figures,
        guessed.get("estimated_auc_roc"),
        f"{max(mature):%Y-%m-%d}" if mature else "",
    )
