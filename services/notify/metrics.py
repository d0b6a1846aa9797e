"""What notify tells Prometheus beside what every service tells."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class NotifyMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        self.messages = Counter(
            "notify_messages", "messages by channel and outcome: sent, undelivered", ["channel", "outcome"], **where
        )
        self.failures = Counter("notify_failures", "attempts to send that failed, by channel", ["channel"], **where)
        self.unknown = Counter(
            "notify_unknown_kinds",
            "control events of kinds that this version does not know: nobody is told",
            ["kind"],
            **where,
        )
        self.waiting = Gauge("notify_waiting", "messages that a channel has yet to take", ["channel"], **where)
