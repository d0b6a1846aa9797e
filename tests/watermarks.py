"""How far the time of each partition of a backfill has come, said slowly: one list and one sort a record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

NEVER = -(2**62)


@dataclass
class Backfill:
    """One partition, whose Kafka timestamps say nothing of when its records happened.

    Attributes:
        times: of all records so far that were not late.
        firm: what decides who is late. An eighth of the newest 64 have gone as far, and it is no more than the lateness
            beyond what half of them have; nothing before there were 8. It stays what it was once.
        credible: what others have been told at the most. The newest time, unless it is far beyond what it was; then
            three in a row have to be, and three more for each of the longest row of such that others did not follow. At
            first what most of three have come to.
        beyond, doubt: how long that row is, and how long the longest was that others did not follow.
    """

    lateness: int
    times: list[int] = field(default_factory=list)
    firm: int = NEVER
    credible: int = NEVER
    beyond: int = 0
    doubt: int = 0

    def take(self, time: int) -> None:
        """The next record, if it is not late."""
        if self.firm != NEVER and time < self.firm - self.lateness:
            return
        self.times.append(time)
        self._move_credible(time)
        falling = sorted(self.times[-64:], reverse=True)
        if len(falling) >= 8:
            some, most = falling[len(falling) // 8], falling[len(falling) // 2] + self.lateness
            self.firm = max(self.firm, min(some, most))
        if self.firm > self.credible:
            self.credible, self.beyond = self.firm, 0

    def _move_credible(self, time: int) -> None:
        if self.credible == NEVER:
            self.credible = self._agreed()
        elif time > self.credible + max(self.lateness, 16 * self._usual()):
            self.beyond += 1
            if self.beyond == 3 + 3 * self.doubt:
                self.credible, self.beyond = max(self.credible, self._agreed()), 0
        elif time >= self.credible - self.lateness:
            if time < self.times[-2]:
                self.doubt = max(self.doubt, self.beyond)
            self.credible, self.beyond = max(self.credible, time), 0

    def _usual(self) -> int:
        """How far records lie apart: of the newest ones a quarter, the one below the middle."""
        newest = sorted(self.times[-64:])
        quarter, half = len(newest) // 4, len(newest) // 2
        return (newest[half] - newest[quarter]) // (half - quarter) if len(newest) >= 4 else 0

    def _agreed(self) -> int:
        few = sorted(self.times[-5:])
        if len(few) < 3:
            return NEVER
        bound = few[(len(few) - 1) // 2] + max(self.lateness, 16 * self._usual())
        return max(time for time in few if time <= bound)


def watermarks(
    partitions: Iterable[int], times: Sequence[int], lateness: int
) -> tuple[list[int], list[int], list[int]]:
    """What is firm and credible of their partition's time before each record, in order, and credible after it."""
    clocks: dict[int, Backfill] = {}
    firm, credible, after = [], [], []
    for partition, time in zip(partitions, times, strict=True):
        clock = clocks.setdefault(partition, Backfill(lateness))
        firm.append(clock.firm)
        credible.append(clock.credible)
        clock.take(time)
        after.append(clock.credible)
    return firm, credible, after
