"""Up to when a member can say that a log was at its end (one that did not look does not know), and when it says so."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

STALL_S = 0.5
"""Seconds between two looks after which the fetching behind them may have stood still as well."""
RECOVERY_S = 1.0
"""Seconds after a stall until what was written meanwhile has been fetched: a look before that proves nothing."""


class Quiet(NamedTuple):
    """A partition's log was at its end all the time from `since` until `until`, seconds of the clock.

    `followed`: another group answers it, and tells of it whom both have to tell.
    """

    since: float
    until: float
    followed: bool = False


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


class IdleNotices:
    """Which sources are to be told as idle: those at their end for long enough, and again while they stay there, so
    that who waits for them knows until when nothing came.

        >>> notices = IdleNotices(idle_after_s=10.0, repeats_s=5.0)
        >>> [notices.due({3: Quiet(0.0, until)}) for until in (9.0, 10.0, 14.0, 15.0)]
        [[], [3], [], [3]]
        >>> notices.forget(3)
        >>> notices.due({3: Quiet(0.0, 16.0)})
        [3]

    Parameters:
        idle_after_s: seconds at its end after which a source is idle.
        repeats_s: seconds between two notices of one source.
    """

    def __init__(self, idle_after_s: float, repeats_s: float) -> None:
        self._idle_after_s = idle_after_s
        self._repeats_s = repeats_s
        self._told: dict[int, float] = {}

    def due(self, at_end: Mapping[int, Quiet]) -> list[int]:
        """Those of the sources at their ends that are to be told now, and count as told."""
        due = [
            source
            for source, (since, until, _) in at_end.items()
            if until - since >= self._idle_after_s and until - self._told.get(source, -inf) >= self._repeats_s
        ]
        self._told |= {source: at_end[source].until for source in due}
        return due

    def forget(self, source: int) -> None:
        """A source is not at its end any more, or is no longer ours."""
        self._told.pop(source, None)
