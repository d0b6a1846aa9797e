"""What score tells Prometheus beside what every service tells."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class ScoreMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        self.plan = Gauge("plan_version", "the plan that is played", **where)
        self.plan_failures = Counter("plan_failures", "plans not taken up, by reason", ["reason"], **where)
        self.answers = Counter("answers", "events answered, by arm", ["arm"], **where)
        self.impossible = Counter("scores_out_of_range", "scores outside 0 and 1, by arm", ["arm"], **where)
        self.share = Gauge("canary_share", "share of the entities that the plan gives its canary", **where)
        self.inner_batch = Gauge("inner_batch_rows", "rows of one call of the champion, found at load", **where)
        self.row_seconds = Gauge("score_row_seconds", "time of one row in the champion, found at load", **where)
