"""What Prometheus is told of the ledger."""

from __future__ import annotations

import math
import threading

import pytest
from prometheus_client import CollectorRegistry

from headrace.domain.ledger.ledger_check import LedgerCheck
from headrace.domain.ledger.verification import LedgerFault
from headrace.errors import Transient
from services.release.ledger_watch import LedgerWatch
from services.release.metrics import ReleaseMetrics


def value(registry: CollectorRegistry, name: str) -> float:
    """Of a gauge."""
    found = registry.get_sample_value(f"headrace_release_ledger_{name}")
    assert found is not None
    return found


def test_what_is_wrong_is_a_number_and_what_is_not_known_is_none() -> None:
    """Before the first look and where Kafka does not answer it is NaN, which no rule takes for a whole ledger."""
    registry = CollectorRegistry()
    gone = LedgerFault(None, None, "cut off", "control@4 was entered")
    answers: list[LedgerCheck | Transient] = [
        LedgerCheck("p", 5, "h", [], ["control@9: asked by ann"]),
        LedgerCheck("p", 4, "h", [gone, gone], []),
        Transient("nobody answers"),
    ]

    def check() -> LedgerCheck:
        found = answers.pop(0)
        if isinstance(found, Transient):
            raise found
        return found

    watch = LedgerWatch(check, 60.0, ReleaseMetrics(registry))
    assert math.isnan(value(registry, "faults"))
    watch.look()
    assert (value(registry, "faults"), value(registry, "behind")) == (0, 1)
    watch.look()
    assert (value(registry, "faults"), value(registry, "behind")) == (2, 0)
    watch.look()
    assert math.isnan(value(registry, "faults"))


@pytest.mark.parametrize(("pause_s", "looks"), [(0.01, True), (0.0, False)])
def test_it_looks_by_itself_unless_told_not_to(pause_s: float, looks: bool) -> None:
    """0 seconds: never."""
    looked = threading.Event()

    def check() -> LedgerCheck:
        looked.set()
        return LedgerCheck("p", 0, None, [], [])

    watch = LedgerWatch(check, pause_s, ReleaseMetrics(CollectorRegistry()))
    watch.start()
    try:
        assert looked.wait(30.0 if looks else 0.2) == looks
    finally:
        watch.close()
