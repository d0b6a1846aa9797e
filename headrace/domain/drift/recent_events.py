"""The newest events as bins, and what they say of when a change began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.domain.drift.e_detector import NOTHING
from headrace.domain.drift.reference_bins import Bytes, Floats, Ints

KEPT = 8_192
"""Events that are remembered."""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """When what happens now most likely began.

    Attributes:
        time: event time of the first event of it, milliseconds.
        events: how many events ago that was.
        earlier: whether it may have begun before all that is remembered.
    """

    time: int
    events: int
    earlier: bool


class RecentEvents:
    """The bins and times of the newest events, the oldest overwritten first.

    Args:
        columns: how many.

    Attributes:
        places: uint8, events x columns.
        times: int64, milliseconds.
        count: how many events there were, ever.
    """

    def __init__(self, columns: int) -> None:
        self.places: Bytes = np.full((KEPT, columns), NOTHING, np.uint8)
        self.times: Ints = np.zeros(KEPT, np.int64)
        self.count = 0

    def add(self, places: Bytes, times: Ints) -> None:
        """Remember events, in their order."""
        kept = slice(max(len(times) - KEPT, 0), None)
        at = (self.count + np.arange(len(times))[kept]) % KEPT
        self.places[at], self.times[at] = places[kept], times[kept]
        self.count += len(times)

    def order(self) -> Ints:
        """Where the events stand, the oldest first."""
        held = min(self.count, KEPT)
        found: Ints = (self.count - held + np.arange(held)) % KEPT
        return found

    def change_point(self, column: int, log_pays: Floats) -> ChangePoint | None:
        """The beginning of the newest events that a bet won most by; None where it won by none.

        The likeliest change point where what came after is what the bet says, and before it the reference (Page 1954).

        Args:
            log_pays: float64, bins: logarithm of what the bet pays for each.
        """
        order = self.order()
        places = self.places[order, column]
        paid = np.where(places == NOTHING, 0.0, log_pays[np.minimum(places, len(log_pays) - 1)])
        won = np.cumsum(paid[::-1])[::-1]
        if not len(won) or won.max() <= 0:
            return None
        first = int(np.argmax(won))
        earlier = first == 0 and self.count > KEPT
        return ChangePoint(int(self.times[order[first]]), len(order) - first, earlier)

    def counts(self, column: int, events: int, bins: int, newer: int = 0) -> Ints:
        """How many of the newest events, but for so many that are `newer`, lie in each bin of a column, int64."""
        events = min(events, self.count, KEPT)
        at = (self.count - events + np.arange(max(events - newer, 0))) % KEPT
        found: Ints = np.bincount(self.places[at, column], minlength=NOTHING + 1)[:bins].astype(np.int64)
        return found
