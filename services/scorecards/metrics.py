"""What scorecards tells Prometheus beside what every service tells."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class ScorecardsMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        self.parts = Counter("scorecard_parts", "sums published", **where)
        self.cards = Counter("scorecards", "cards published", **where)
        self.late = Counter("scorecard_late_parts", "sums of windows that are forgotten already", **where)
        unmatched = "cards without figures on outcomes: more was corrected than there is"
        self.withheld = Counter("scorecards_withheld", unmatched, **where)
        self.windows = Gauge("scorecard_windows", "windows of models held, by kind", ["kind"], **where)
        self.value = Gauge(
            "scorecard",
            "newest mature figure of a model, for all rows",
            ["model", "version", "arm", "figure"],
            **where,
        )
