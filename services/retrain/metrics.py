"""What `retrain` counts, beyond what every service does."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge


class RetrainMetrics:
    """Metrics of `retrain` in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        own: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        answered = "triggers answered, by the rule, or by a training (started)"
        self.answers = Counter("retrain_answers", answered, ["rule"], **own)
        self.trainings = Counter("trainings", "trainings that ended, by how", ["how"], **own)
        self.active = Gauge("training_active", "1 while a training runs here", **own)
        self.jobs = Counter("training_jobs", "jobs of trainings started, those started again among them", **own)
        self.evaluations = Counter("evaluations", "packages judged, by the verdict", ["verdict"], **own)
