"""What enrich and views tell Prometheus beside the kit's own metrics."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter


class Figures:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        lost = "partitions of a view that the online store had lost, in whole or in part; rows waited for them"
        self.lost = Counter("store_losses", lost, **where)
        rebuilt = "partitions of a view written to the online store anew because it had lost them"
        self.rebuilt = Counter("store_rebuilds", rebuilt, **where)
