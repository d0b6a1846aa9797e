"""The demo's live part on a screen: what members say of themselves, and the picture that is drawn of it."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live

from headrace.cli.render.dashboard import Picture, ServiceState, line_of, panel_of
from headrace.operations.local.fleet import Fleet, MemberState, ask, scrape

LINE_EVERY_S = 5.0
LONG_S = 3.0
"""A service that is further behind says how many records it has to go."""


class Gauges:
    """What members say of themselves, asked once a second."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.asked = float("-inf")
        self.found: list[ServiceState] = []
        self.records: dict[str, tuple[float, float]] = {}

    def read(self, now: float) -> list[ServiceState]:
        """What they say, by `now` on the monotonic clock; the same as before within a second."""
        if now - self.asked >= 1.0:
            self.asked = now
            self.found = [self._read(state, now) for state in self.fleet.states()]
        return self.found

    def _read(self, state: MemberState, now: float) -> ServiceState:
        metrics = scrape(state.port) if state.pid is not None else {}
        status, body = ask(state.port, "/readyz") if metrics else (0, "starting")
        records = sum(metrics.get("headrace_records_total", ()))
        before, at = self.records.get(state.name, (records, now))
        self.records[state.name] = (records, now)
        rate = max(records - before, 0.0) / max(now - at, 1.0)
        lag = max(metrics.get("headrace_lag_seconds", ()), default=0.0)
        words = "ready" if status == 200 else body.strip().removeprefix("not ready: ")
        if status == 200 and lag > LONG_S:
            words = f"catching up, {sum(metrics.get('headrace_lag_records', ())):,.0f} records to go"
        return ServiceState(state.name, words, status == 200, lag, rate, state.fate.restarts)


class Screen:
    """A panel that redraws itself on a terminal; elsewhere a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.last = time.monotonic()

    def __enter__(self) -> Screen:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self, picture: Picture) -> None:
        """Draw it, or say it when it is time for a line."""
        if self.live is not None:
            self.live.update(panel_of(picture), refresh=True)
        elif time.monotonic() - self.last >= LINE_EVERY_S:
            self.last = time.monotonic()
            self.console.print(line_of(picture), soft_wrap=True, highlight=False, markup=False)
