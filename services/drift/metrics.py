"""What drift tells Prometheus beside what every service tells."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class DriftMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        self.rows = Counter("drift_rows", "rows watched, by stream", ["stream"], **where)
        self.unwatched = Counter("drift_unwatched", "rows of models whose package cannot be read", ["stream"], **where)
        self.waiting = Gauge("drift_waiting", "rows that wait until no partition can tell an earlier one", **where)
        self.evidence = Gauge(
            "drift_evidence", "evidence for a change over its threshold", ["stream", "model", "version"], **where
        )
        self.incident = Gauge("drift_incident", "1 while an incident is open", ["stream"], **where)
        self.incidents = Counter("drift_incidents", "incidents opened, by stream", ["stream"], **where)
        self.harm = Gauge(
            "drift_harm",
            "evidence that a model is worse than is tolerated since an open incident began, over its threshold",
            ["stream", "model", "version", "basis"],
            **where,
        )
        self.harms = Counter(
            "drift_harms", "incidents found to harm a model, by labels or by estimate", ["basis"], **where
        )
