"""Up to when a member can say that a log was at its end: one that did not look does not know."""

from __future__ import annotations

from typing import NamedTuple

STALL_S = 0.5
"""Seconds between two looks after which the fetching behind them may have stood still as well."""
RECOVERY_S = 1.0
"""Seconds after a stall until what was written meanwhile has been fetched: a look before that proves nothing."""


class Quiet(NamedTuple):
    """A partition's log was at its end all the time from `since` until `until`, seconds of the clock."""

    since: float
    until: float


class Lookout:
    """Told of every look for records; knows up to when nothing that could be read then is unread.

    The end of a log is told once. That nothing came since says something only as long as somebody looks: after a pause
    (a slow batch, a commit, a starved or frozen process) records may wait in the consumer's queue behind others, or not
    have been fetched at all. So a look that leaves nothing in the queue speaks for the moment of the one before it, and
    the first one after a stall is believed once there was time to fetch again.

        >>> lookout = Lookout()
        >>> for at, drained in [(0.0, True), (0.5, True), (1.0, True), (1.1, True), (1.2, False), (1.3, True)]:
        ...     lookout.looked(at, drained)
        >>> lookout.until  # what could be read at 1.2 was taken by 1.3; of 1.3 nobody can say yet
        1.2
        >>> for at, drained in [(9.0, True), (9.1, True), (9.6, True), (10.0, True)]:
        ...     lookout.looked(at, drained)
        ...     print(lookout.until)
        1.3
        1.3
        1.3
        9.0
    """

    def __init__(self) -> None:
        self.until = self._asked = self._ripe = self._last = float("-inf")

    def looked(self, begun: float, drained: bool) -> None:
        """A look at the queue began at this moment of the clock, and left nothing there, or perhaps something."""
        stalled = begun - self._last > STALL_S
        self._last = begun
        if begun < self._ripe:
            return
        if drained:
            self.until = self._asked
        self._asked = begun
        self._ripe = begun + RECOVERY_S if stalled else begun
