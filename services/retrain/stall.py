"""Whether the group stands still: there are control events, and none of them is taken.

Faust's consumer has been seen to hang after a rebalance or an outage without a word. Lag is counted in records, by
reading: transactions leave control records behind that nobody ever takes.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from headrace.errors import HeadraceError
from headrace.streaming.kafka.admin import committed
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, messages
from headrace.streaming.process.logs import logger

log = logger("stall")


class Stalled(HeadraceError):
    """Control events wait and are not taken: the process is to begin anew."""


@dataclass(frozen=True, slots=True)
class GroupLag:
    """Records that a group has not taken, and when the first of them was written, milliseconds; None without any."""

    records: int
    oldest: int | None = None


@dataclass(slots=True)
class StallBound:
    """Bounds how long the group may stand still.

    Attributes:
        bound_s: longest time.
        since: when it last did not, seconds, monotonic.
        handled: records that were taken by then.
    """

    bound_s: float
    since: float
    handled: int = 0

    def note(self, behind: int | None, handled: int, now: float) -> None:
        """Look again.

        Args:
            behind: records that are not taken yet; None: Kafka does not say.
            handled: records taken so far.
            now: seconds, monotonic.

        Raises:
            Stalled: nothing was taken for `bound_s`, although there is something, or nobody knows.
        """
        if behind == 0 or handled != self.handled:
            self.since, self.handled = now, handled
        elif now - self.since > self.bound_s:
            what = "Kafka does not say what there is" if behind is None else f"{behind} control events wait"
            raise Stalled(f"{what}, and none was taken for {now - self.since:.0f} s")


class LagWatch:
    """Asks for the lag of a group, on a thread of its own, since the answer may never come.

    Args:
        connection: to the cluster.
        group, topic: whose, in partition 0.
        pause_s: seconds between two looks.
    """

    def __init__(self, connection: Connection, group: str, topic: str, pause_s: float) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic
        self._pause_s = pause_s
        self._closed = threading.Event()
        self._known: tuple[GroupLag, float] | None = None

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._ask, name="lag", daemon=True).start()

    def behind(self, now: float, fresh_s: float) -> GroupLag | None:
        """What the group has not taken; None where the last answer is older than `fresh_s`."""
        known = self._known
        return None if known is None or now - known[1] > fresh_s else known[0]

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()

    def _ask(self) -> None:
        clock = self._connection.library.monotonic
        while not self._closed.is_set():
            try:
                self._known = self._count(), clock()
            except HeadraceError as error:
                log.warning("lag is not known", reason=str(error))
            self._closed.wait(self._pause_s)

    def _count(self) -> GroupLag:
        done = committed(self._connection, self._group, [(self._topic, 0)])
        consumer = Consumer(self._connection)
        try:
            low, high = consumer.watermarks(self._topic, 0)
        finally:
            consumer.close()
        start = max(done.get((self._topic, 0), low), low)
        if start >= high:
            return GroupLag(0)
        waiting = [
            each.timestamp()[1]
            for part in messages(self._connection, self._topic, [Range(0, start, high)], 10.0)
            for each in part
        ]
        return GroupLag(len(waiting), min(waiting, default=None))
