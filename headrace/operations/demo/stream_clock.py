"""A clock for events that are made up: it stands still while whoever reads them is behind."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StreamClock:
    """Seconds that pass as those of another clock do, but for the time in which it was held.

    So a slow machine plays the same events later, and not the same time with services that are ever further behind.
    Any thread may read it; one may hold it and let it go.

    Args:
        clock: seconds, monotonic.

    >>> now = [10.0]
    >>> ours = StreamClock(lambda: now[0])
    >>> now[0] = 12.0; ours.hold(True)
    >>> now[0] = 60.0; ours.hold(False)
    >>> now[0] = 61.0; ours(), ours.held_s
    (13.0, 48.0)
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lost = 0.0
        self._since: float | None = None

    def __call__(self) -> float:
        """Now."""
        with self._lock:
            now = self._clock() if self._since is None else self._since
            return now - self._lost

    def hold(self, held: bool) -> None:
        """Stop it, or let it go on; either again changes nothing."""
        with self._lock:
            if held and self._since is None:
                self._since = self._clock()
            elif not held and self._since is not None:
                self._lost += self._clock() - self._since
                self._since = None

    @property
    def held_s(self) -> float:
        """For how long it stood still so far."""
        with self._lock:
            return self._lost + (0.0 if self._since is None else self._clock() - self._since)
