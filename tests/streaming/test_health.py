"""What /livez, /readyz and /metrics answer."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from headrace.streaming.process.health import Health, PortTaken
from headrace.streaming.process.metrics import CONTENT_TYPE, Metrics


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time that health is told."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """The health of a service that has just started."""
    return Health(Metrics(), clock, silence_s=60)


def test_a_loop_that_beats_is_alive(health: Health, clock: Clock) -> None:
    """A beat is good for a minute; then the loop counts as stuck, until it beats again."""
    clock.now += 60
    assert health.answer("/livez")[0] == 200
    clock.now += 1
    status, _, body = health.answer("/livez")
    assert (status, body) == (503, b"the loop has been silent for 61 s\n")
    health.beat()
    assert health.answer("/livez")[0] == 200


def test_readiness_names_what_is_missing(health: Health) -> None:
    """A service is unready from the start, says what it waits for, and is ready when nothing is missing."""
    assert health.answer("/readyz")[::2] == (503, b"not ready: starting\n")
    health.missing = "no plan for p"
    assert health.answer("/readyz")[::2] == (503, b"not ready: no plan for p\n")
    health.missing = None
    assert health.answer("/readyz")[::2] == (200, b"ready\n")


def test_an_unready_service_is_alive(health: Health) -> None:
    """A lost store must not get a process restarted."""
    health.missing = "the store is out of reach"
    assert health.answer("/livez")[0] == 200


def test_metrics_are_prometheus_text(health: Health) -> None:
    """The exposition has its own content type."""
    health.metrics.records.labels("processed").inc(3)
    status, kind, body = health.answer("/metrics")
    assert (status, kind) == (200, CONTENT_TYPE)
    assert b'headrace_records_total{fate="processed"} 3.0' in body


def test_over_http(health: Health) -> None:
    """A probe may carry a query; any other path says which there are; after close nobody listens."""
    port = health.serve("127.0.0.1", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez?probe=1", timeout=5) as answer:
        assert answer.read() == b"alive\n"
    for path, status in (("readyz", 503), ("", 404), ("livez/x", 404)):
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5)
        with raised.value as error:
            assert error.code == status
    health.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5)


def test_closing_what_never_served(health: Health) -> None:
    """A service that fails before it serves closes all the same."""
    health.close()


def test_a_port_that_is_taken_is_named(health: Health, clock: Clock) -> None:
    """Who cannot listen says where, and what to set."""
    port = health.serve("127.0.0.1", 0)
    with pytest.raises(PortTaken, match=f"port {port}: .* set HEADRACE_PORT"):
        Health(Metrics(), clock).serve("127.0.0.1", port)
    health.close()
