"""What a scorecard says, reckoned from the records that it is of: row by row, in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isclose
from typing import Any, NamedTuple

Row = Mapping[str, Any]
HOUR = 3_600_000
WORTH = {"true_positive": 100, "false_positive": -5, "false_negative": -100}
COUNTS = ("predictions", "outcomes", "labelled", "presumed", "repeats")
AGAIN = "repeated"


class CardPlace(NamedTuple):
    """Which rows a card is of."""

    model: str
    version: str
    arm: str
    start: int
    segment: str = ""
    group: str = ""


@dataclass(slots=True)
class CardSums:
    """Sums of the rows of a card.

    Attributes:
        counts: predictions, those decided yes (`flagged`), outcomes, decisions by what turned out, ...
        scores: predictions by score.
        known: outcomes by (score, whether the label is above 0).
        compares: whether the card is of a segment as a whole: it has what groups differ by, and no other figure.
    """

    counts: Counter[str] = field(default_factory=Counter)
    scores: Counter[float] = field(default_factory=Counter)
    known: Counter[tuple[float, bool]] = field(default_factory=Counter)
    compares: bool = False

    def predict(self, row: Row, sign: int = 1) -> None:
        """A prediction, or one that is taken back."""
        self.counts["predictions"] += sign
        self.counts["flagged"] += sign * row["decision"]
        self.scores[row["score"]] += sign

    def outcome(self, row: Row) -> None:
        """An outcome, a correction of one, or what tells of a repeat."""
        if row["state"] == AGAIN:
            self.counts["repeats"] += 1
            self.predict(row, -1)
            return
        self.counts["outcomes"] += row["revision"] == 0
        self._known(row, row["state"], row["label"], 1)
        if row["revision"] > 0:
            self._known(row, row["former_state"], row["former_label"], -1)

    def _known(self, row: Row, state: str, label: float, sign: int) -> None:
        self.counts[state] += sign
        self.known[row["score"], label > 0] += sign
        right = row["decision"] == (label > 0)
        self.counts[f"{'true' if right else 'false'}_{'positive' if row['decision'] else 'negative'}"] += sign

    @property
    def whole(self) -> bool:
        """Whether nothing was taken back that is not there."""
        return all(count >= 0 for counter in (self.counts, self.scores, self.known) for count in counter.values())

    @property
    def mature(self) -> bool:
        """Whether every prediction has its outcome."""
        return 0 < self.counts["predictions"] <= self.counts["outcomes"] and self.whole

    def figures(self) -> dict[str, float | None]:
        """Some of a card's figures, by their definitions."""
        if self.compares:
            return {}
        counts = self.counts
        total = sum(score * count for score, count in self.scores.items())
        found = {
            "decision_rate": _ratio(counts["flagged"], counts["predictions"]),
            "mean_score": _ratio(total, counts["predictions"]),
            "coverage": _ratio(counts["outcomes"], counts["predictions"]),
        }
        if not self.mature:
            return found
        positives = sum(count for (_, positive), count in self.known.items() if positive)
        hits, right = counts["true_positive"], counts["true_positive"] + counts["true_negative"]
        return found | {
            "labelled_share": _ratio(counts["labelled"], counts["outcomes"]),
            "positive_rate": _ratio(positives, sum(self.known.values())),
            "precision": _ratio(hits, hits + counts["false_positive"]),
            "recall": _ratio(hits, hits + counts["false_negative"]),
            "accuracy": _ratio(right, sum(self.known.values())),
            "value": float(sum(worth * counts[name] for name, worth in WORTH.items())),
        }

    def differs(self, card: Row) -> Iterator[str]:
        """In what a card is another than it should be."""
        for name in COUNTS:
            if card[name] != self.counts[name]:
                yield f"{name} {card[name]} for {self.counts[name]}"
        if card["mature"] != self.mature:
            yield f"mature {card['mature']} for {self.mature}"
        told = {figure["name"]: figure["value"] for figure in card["figures"]}
        for name, wanted in self.figures().items():
            found = told.get(name)
            if found != wanted and (found is None or wanted is None or not isclose(found, wanted, rel_tol=1e-9)):
                yield f"{name} {found} for {wanted}"


def sums(
    predictions: Iterable[Row], outcomes: Iterable[Row], groups: Callable[[Row], Mapping[str, str]]
) -> dict[CardPlace, CardSums]:
    """What all cards are of. `groups`: the groups that a row is of, by segment."""
    found: dict[CardPlace, CardSums] = defaultdict(CardSums)
    for row in predictions:
        for place in _places(row, groups(row)):
            found[place].predict(row)
    for row in outcomes:
        for place in _places(row, groups(row)):
            found[place].outcome(row)
    for place, each in found.items():
        each.compares = bool(place.segment) and not place.group
    return dict(found)


def _places(row: Row, groups: Mapping[str, str]) -> Iterator[CardPlace]:
    """All cards that a row is in."""
    whole = _place(row)
    yield whole
    for segment, group in groups.items():
        yield whole._replace(segment=segment)
        yield whole._replace(segment=segment, group=group)


def _place(row: Row) -> CardPlace:
    model = row["model"]
    return CardPlace(model["name"], model["version"], row["arm"], row["event_time"] // HOUR * HOUR)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
