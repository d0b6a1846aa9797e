"""Signals that come at the worst moment."""

from __future__ import annotations

import signal
import threading

from headrace.cli.signals import SAME_S, stopped_by_signals
from headrace.streaming.process.signals import STOPPING, heard

BOUND_S = 20.0


def test_a_signal_inside_a_lock_waits_for_it_and_is_heard() -> None:
    """What is done about a signal may take a lock that the main thread holds just then: a log's, or an event's."""
    lock, done = threading.Lock(), threading.Event()
    heard_of: list[signal.Signals] = []

    def told(number: signal.Signals) -> None:
        with lock:
            heard_of.append(number)
        done.set()

    with heard(told):
        with lock:
            signal.raise_signal(signal.SIGTERM)  # On this thread, which holds the lock.
            assert not heard_of
        assert done.wait(BOUND_S)
    assert heard_of == [signal.SIGTERM]


def test_a_signal_inside_the_event_that_it_sets_is_no_deadlock() -> None:
    """Ctrl-C may come while the main thread looks at the very event that it is to set."""
    stop = threading.Event()
    with stopped_by_signals(stop):
        with stop._cond:  # Where `Event.wait` and `Event.set` are for a moment.
            signal.raise_signal(signal.SIGINT)
        assert stop.wait(BOUND_S)


def test_handlers_are_put_back() -> None:
    """Afterwards signals do what they did before, also when the inside fails."""
    before = [signal.getsignal(number) for number in STOPPING]
    try:
        with heard(lambda _: None):
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert [signal.getsignal(number) for number in STOPPING] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_one_signal_that_comes_twice_is_one() -> None:
    """A terminal signals a process and its group: the second within a moment does not end the process."""
    stop = threading.Event()
    with stopped_by_signals(stop):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(BOUND_S)
    assert SAME_S < 1
