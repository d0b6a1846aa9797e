"""Looks now and then whether the ledger is whole, and tells Prometheus: nobody looks at what nobody doubts."""

from __future__ import annotations

import threading
from collections.abc import Callable

from headrace.domain.ledger.ledger_check import LedgerCheck
from headrace.errors import HeadraceError
from headrace.streaming.process.logs import logger
from services.release.metrics import ReleaseMetrics

log = logger("ledger")
FIRST_S = 60.0
"""After the start: what came while the service was away is entered first."""
TOLD = 5


class LedgerWatch:
    """Checks the ledger on a thread of its own, for the answer may take long or never come.

    Args:
        check: reads the ledger and its sources whole.
        pause_s: seconds between two looks; 0: none at all.
        figures: takes what was found; until the first look nothing is known, which is NaN.
        first_s: seconds before the first look, at most.
    """

    def __init__(
        self, check: Callable[[], LedgerCheck], pause_s: float, figures: ReleaseMetrics, first_s: float = FIRST_S
    ) -> None:
        self._check = check
        self._pause_s = pause_s
        self._first_s = min(first_s, pause_s)
        self._figures = figures
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        if self._pause_s:
            threading.Thread(target=self._look_on, name="ledger", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def look(self) -> None:
        """Look once. What cannot be read is not known, and said."""
        try:
            found = self._check()
        except HeadraceError as error:
            log.warning("the ledger is not checked", reason=str(error))
            self._figures.faults.set(float("nan"))
            return
        self._figures.faults.set(len(found.faults))
        self._figures.unentered.set(len(found.behind))
        for fault in found.faults[:TOLD]:
            log.error("the ledger is broken", kind=fault.kind, number=fault.number, what=fault.what)

    def _look_on(self) -> None:
        pause = self._first_s
        while not self._closed.wait(pause):
            self.look()
            pause = self._pause_s
