"""What shadow tells Prometheus beside what every service tells. A model is named `name@version/arm`."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class ShadowMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        self.plan = Gauge("plan_version", "the plan that is played", **where)
        self.plan_failures = Counter("plan_failures", "plans not taken up, by reason", ["reason"], **where)
        self.models = Gauge("dark_models", "dark models of the plan: playing, shed or failed", ["state"], **where)
        self.scored = Counter("dark_predictions", "shadow predictions, by model", ["model"], **where)
        self.unanswered = Counter("dark_unanswered", "rows without a finite score, by model", ["model"], **where)
        self.sheds = Counter("dark_sheds", "times that a model was left out to catch up", ["model"], **where)
        self.restores = Counter("dark_restores", "times that a shed model was taken back", ["model"], **where)
        self.failures = Counter("dark_failures", "times that a model did not load or run", ["model"], **where)
        self.row_seconds = Gauge("dark_row_seconds", "time of one row in a model, measured", ["model"], **where)
        self.lag = Gauge("dark_lag_seconds", "age of the oldest record of the newest window", **where)
