"""Ctrl-C and SIGTERM as an event that loops look at."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from headrace.streaming.process.signals import STOPPING, heard

SAME_S = 0.5
"""Some senders signal a process and its group, so one signal comes twice: within this time the second is the first."""


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM sets `stop`; another one ends the process as it would have."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    first = float("inf")

    def on_signal(number: int, _: object) -> None:
        nonlocal first
        now = time.monotonic()
        if now - first > SAME_S:
            for each, handler in before.items():
                signal.signal(each, handler)
            signal.raise_signal(number)
        first = min(first, now)

    # The event is set by the listening thread: this one may hold its lock just now, for it waits for it.
    with heard(lambda _: stop.set(), on_signal):
        yield
