"""The wall clock as a service may rely on it: it goes forward, whatever is done to the machine's."""

from __future__ import annotations

import time
from collections.abc import Callable

CATCH_UP = 0.5
"""How fast it goes, of real time, while it waits for a wall clock that was set back."""


class SteadyClock:
    """Seconds since the epoch, never less than said before, and never standing still.

    What is due in a second is due in a second (two at most), also when the machine's clock is set back by an hour: a
    wall clock that was ahead is waited for at half speed. One that is set forward is followed at once.

        >>> wall, passed = iter([100.0, 101.0, 1.0, 2.0, 200.0]), iter([0.0, 1.0, 2.0, 3.0, 4.0])
        >>> clock = SteadyClock(lambda: next(wall), lambda: next(passed))
        >>> [clock() for _ in range(4)]  # it is set back by a hundred seconds, and forward again
        [101.0, 101.5, 102.0, 200.0]
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._told = wall()
        self._told_at = monotonic()

    def __call__(self) -> float:
        wall, now = self._wall(), self._monotonic()
        passed = now - self._told_at
        self._told = wall if wall >= self._told + passed else max(wall, self._told + CATCH_UP * passed)
        self._told_at = now
        return self._told
