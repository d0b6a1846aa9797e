"""What labels tells Prometheus beside what every service tells."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from headrace.streaming.process.metrics import BatchHistogram

HOUR, DAY = 3_600, 86_400
DELAY_BUCKETS = (60, 600, HOUR, 6 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 90 * DAY)


class LabelsMetrics:
    """Registered where the service's other metrics are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        where: dict[str, Any] = {"registry": registry, "namespace": "headrace"}
        fates = "labels, by fate: matched, early, duplicate, correcting, conflicting, outdated, late, orphaned"
        self.labels = Counter("labels", fates, ["fate"], **where)
        self.repeated = Counter("predictions_repeated", "predictions that came before with the same id", **where)
        self.outcomes = Counter("outcomes", "outcomes written, by state", ["state"], **where)
        self.corrections = Counter("outcome_corrections", "outcomes that correct an earlier one", **where)
        self.matured = Counter("events_matured", "events with predictions that had their time", **where)
        labelled = "matured events that were labelled, before or after"
        self.labelled = Counter("matured_events_labelled", labelled, **where)
        self.events = Gauge("open_events", "events that a label may still count for, and labels that wait", **where)
        self.open = Gauge("open_predictions", "predictions that a label may still count for", **where)
        self.bytes = Gauge("open_bytes", "memory of open predictions and waiting labels", **where)
        self.coverage = Gauge("label_coverage", "share of the matured events that were labelled", **where)
        self.delay = BatchHistogram(
            "headrace_label_delay_seconds", "from an event to the label time of its label", DELAY_BUCKETS
        )
        registry.register(self.delay)
