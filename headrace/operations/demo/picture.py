"""One moment of the demo as values: what goes in, what comes out, what members say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.operations.demo.monitor import DemoOutput, Floats
from headrace.operations.local.fleet import Fleet, MemberState, ask, scrape

LONG_S = 3.0
"""A service that is further behind says how many records it has to go."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service as its members tell: `state` in words, lag in seconds, records a second and CPUs in use lately."""

    name: str
    state: str
    good: bool
    lag: float
    rate: float
    restarts: int


@dataclass(frozen=True, slots=True)
class AnswerLatency:
    """From an event's Kafka time stamp to the moment its prediction could be read."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Picture:
    """One moment of the demo.

    Attributes:
        pipeline: its name.
        left: seconds until it ends by itself.
        published: events written so far.
        rate: events a second that go in, lately.
        seen: what came out.
        services: what runs.
    """

    pipeline: str
    left: float
    published: int
    rate: float
    seen: DemoOutput
    services: Sequence[ServiceState]


def percentiles(latencies: Floats) -> AnswerLatency | None:
    """Of latencies in seconds; None of nothing."""
    if not len(latencies):
        return None
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return AnswerLatency(float(p50), float(p99))


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
