"""SIGINT and SIGTERM, heard on a thread of their own.

A Python signal handler interrupts the main thread wherever it is: inside a write to the log, or while it holds the
lock of an event. A handler that logs, sets an event or starts a thread then raises RuntimeError, or waits for ever for
a lock that its own thread holds. So the handlers here do nothing: the interpreter writes the signal's number to a pipe,
and what is to be done about it is done by a thread that reads there, where locks are only waited for.
"""

from __future__ import annotations

import contextvars
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM)
_OVER = b"\0"


def nothing(number: int, frame: object) -> None:
    """The handler that leaves all to the thread."""


@contextmanager
def heard(told: Callable[[signal.Signals], None], handler: Callable[[int, object], None] = nothing) -> Iterator[None]:
    """Inside, `told` is called for each SIGINT or SIGTERM, in their order, on a thread of its own.

    For the main thread alone, one at a time. `told` is called also while the main thread is busy outside of Python.

    Args:
        told: may log, take locks and end the process; what it logs carries the context of the caller.
        handler: called on the main thread as well, between two of its instructions: no lock, no output.
    """
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    context = contextvars.copy_context()

    def listen() -> None:
        while (byte := os.read(ear, 1)) not in (_OVER, b""):
            if byte[0] in STOPPING:
                context.run(told, signal.Signals(byte[0]))

    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    fd = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    before = {number: signal.signal(number, handler) for number in STOPPING}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
        signal.set_wakeup_fd(fd)
        os.write(mouth, _OVER)
        listener.join()
        os.close(ear)
        os.close(mouth)
