"""Ctrl-C and SIGTERM as an event that loops look at."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SAME_S = 0.5
"""Some senders signal a process and its group, so one signal comes twice: within this time the second is the first."""


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM sets `stop`; another one ends the process as it would have."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    first = float("inf")

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(number: int, _: object) -> None:
        nonlocal first
        now = time.monotonic()
        if now - first > SAME_S:
            restore()
            signal.raise_signal(number)
        first = min(first, now)
        stop.set()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()
