"""Rules over figures, by brute force: everything is looked at anew whenever the clock is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.domain.pipeline.kpi.spec import KpiRule

AHEAD = 100
"""Windows from this number on are made of a few events that are dated ahead."""


@dataclass
class CardsByHand:
    """A rule over a figure on outcomes of cards whose windows have length 1.

    Attributes:
        came: all cards, in the order in which they came.
        told: (what, the window that decided) in order.
    """

    rule: KpiRule
    came: list[Mapping[str, Any]] = field(default_factory=list)
    told: list[tuple[str, int]] = field(default_factory=list)
    breached: bool = False
    judged: int | None = None

    def look(self) -> None:
        """Judge by all cards that came so far."""
        known = self.known()
        starts = sorted(known)
        if not starts:
            return
        first = [start for start in starts if self.judged is not None and start > self.judged]
        for until in [*first[:-1], starts[-1]]:
            self._say([known[start] for start in starts if start <= until], until)
        self.judged = max(starts[-1], self.judged or starts[-1])

    def known(self) -> dict[int, float]:
        """The value of each window that has one."""
        found: dict[int, float] = {}
        for start in {card["start"] for card in self.came if card["start"] < AHEAD}:
            here = [card for card in self.came if card["start"] == start]
            digests = {card["digest"] for card in here}
            mature = {
                digest: [card for card in here if card["digest"] == digest and card["mature"]] for digest in digests
            }
            if not all(mature.values()):
                continue
            newest = [cards[-1] for cards in mature.values()]
            values = [
                card["figures"]["recall"]
                for card in newest
                if card["outcomes"] >= self.rule.least and card["figures"]["recall"] is not None
            ]
            if values:
                found[start] = min(values)
        return found

    def _say(self, values: Sequence[float], at: int) -> None:
        assert self.rule.low is not None
        bad = [value < self.rule.low for value in values]
        if len(bad) >= self.rule.hold and all(bad[-self.rule.hold :]):
            if not self.breached:
                self.told.append(("breached", at))
            self.breached = True
        elif not all(bad):  # a window that was fine is among the last, or ends the row
            if self.breached:
                self.told.append(("recovered", at))
            self.breached = False


def held_for(rule: KpiRule, points: Sequence[tuple[int, float | None]], longest_gap: int) -> list[tuple[str, int]]:
    """What is to be told of a figure that is known, or not, at these moments."""
    told: list[tuple[str, int]] = []
    breached = False
    for place, (at, value) in enumerate(points):
        if value is None:
            continue
        since = at
        before = [point for point in points[:place] if point[1] is not None]
        later = at
        for earlier, said in reversed(before):
            assert said is not None
            if not rule.breaches(said) or later - earlier > longest_gap:
                break
            since = later = earlier
        if rule.breaches(value) and at - since >= rule.hold:
            if not breached:
                told.append(("breached", at))
            breached = True
        elif not rule.breaches(value):
            if breached:
                told.append(("recovered", at))
            breached = False
    return told
