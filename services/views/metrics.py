"""What views tells Prometheus beside what all services tell."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class ViewsMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        rebuilt = "partitions of a view written to the online store anew because it had lost them"
        self.rebuilt = Counter("store_rebuilds", rebuilt, registry=registry, namespace="headrace")
