"""A message on its way, on a thread of its own: whoever waits for it goes on with other things."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Attempt:
    """One try to send.

    Args:
        send: blocks; gives None once the message was taken, else why it was not.

    Attributes:
        problem: why it was not taken, once `over`; None: it was.
    """

    def __init__(self, send: Callable[[], str | None]) -> None:
        self.problem: str | None = None
        self._over = threading.Event()
        # A daemon: a receiver that hangs does not keep the process from its end.
        threading.Thread(target=self._run, args=(send,), name="notification", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    @property
    def taken(self) -> bool:
        """Whether the message was taken, as far as is known now."""
        return self.over and self.problem is None

    def wait(self, seconds: float) -> bool:
        """Wait for its end for so long; whether it came."""
        return self._over.wait(seconds)

    def _run(self, send: Callable[[], str | None]) -> None:
        self.problem = "it was not told how it ended"
        try:
            self.problem = send()
        finally:
            self._over.set()
