"""What kpi tells Prometheus beside what every service tells."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class KpiMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        self.state = Gauge(
            "kpi_state",
            "1 for the state that a rule is in: ok, pending, breached, unknown",
            ["rule", "severity", "state"],
            **where,
        )
        self.value = Gauge("kpi_value", "the newest figure of a rule that is known", ["rule"], **where)
        self.decisions = Counter("kpi_decisions", "what was told of rules, by kind", ["type"], **where)
