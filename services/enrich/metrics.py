"""What enrich tells Prometheus beside what every service tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from headrace.streaming.watermarks.event_time import NEVER, Clock


class EnrichMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        lost = "partitions of a view that the online store had lost, in whole or in part; rows waited for them"
        self.lost = Counter("store_losses", lost, **where)
        ahead = "events whose time was ahead of what was believed of their partition's; they moved no watermark alone"
        self.ahead = Counter("events_ahead", ahead, ["partition"], **where)
        unproven = (
            "events ahead that were answered while views of other entities lacked what they needed: others stood still"
        )
        self.unproven = Counter("events_unproven", unproven, ["partition"], **where)
        self.watermark = Gauge(
            "watermark_seconds", "event time that a partition has reached, seconds since 1970", ["partition"], **where
        )
        self.behind = Gauge(
            "watermark_behind_seconds",
            "by how much a partition's watermark lies before its newest Kafka timestamp; negative: it went astray",
            ["partition"],
            **where,
        )
        broke = "values that broke a rule and went on, replaced (impute) or as they are (warn); again after a restart"
        self.ruled = Counter("rule_findings", broke, ["field", "reason", "otherwise"], **where)
        self._shown: set[int] = set()

    def note(self, partition: int, clock: Clock, ahead: int) -> None:
        """Show where a partition's time stands, and count events that came ahead of it."""
        self.ahead.labels(str(partition)).inc(ahead)
        if clock.firm != NEVER:
            self._shown.add(partition)
            self.watermark.labels(str(partition)).set(clock.firm / 1000)
            self.behind.labels(str(partition)).set((clock.stamp - clock.firm) / 1000)

    def note_rules(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Count values by field, reason and what the rule says of them."""
        for key, rows in counts.items():
            self.ruled.labels(*key).inc(rows)

    def forget(self, partition: int) -> None:
        """Show no time of a partition that belongs to another member now."""
        if partition in self._shown:
            self._shown.discard(partition)
            for gauge in (self.watermark, self.behind):
                gauge.remove(str(partition))
