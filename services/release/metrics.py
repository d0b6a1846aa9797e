"""What release tells Prometheus beside what every service tells."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class ReleaseMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        self.entries = Counter("release_ledger_entries", "entries of the ledger, by source", ["source"], **where)
        self.number = Gauge("release_ledger_number", "number of the ledger's last entry", **where)
        self.faults = Gauge(
            "release_ledger_faults",
            "what is wrong with the ledger, at the last look; NaN: not known",
            **where,
        )
        self.faults.set(float("nan"))
        self.unentered = Gauge(
            "release_ledger_behind", "records without an entry yet, when it was last looked at", **where
        )
        self.decisions = Counter("release_decisions", "decisions on releases, by kind", ["type"], **where)
        self.contested = Counter(
            "release_contested", "changes of the plan not made, for somebody else had written one", **where
        )
