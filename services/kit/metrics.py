"""What a service tells Prometheus about itself. Names follow Prometheus' conventions: base units, `_total`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "Metrics"]

LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


class Metrics:
    """One service's metrics in a registry of its own, so that two services can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        in_registry = {"registry": self.registry, "namespace": "headrace"}
        self.records = Counter("records", "records read from the input, by fate", ["fate"], **in_registry)
        self.emitted = Counter("emitted", "records written, by logical topic", ["topic"], **in_registry)
        self.dead_letters = Counter("dead_letters", "records refused, by reason", ["reason"], **in_registry)
        self.batch_rows = Histogram("batch_rows", "records in a batch", buckets=ROWS_BUCKETS, **in_registry)
        self.stage = Counter("stage_seconds", "time spent, by stage of the loop", ["stage"], **in_registry)
        self.latency = Histogram(
            "latency_seconds", "from a record's Kafka timestamp to its answer", buckets=LATENCY_BUCKETS, **in_registry
        )
        self.commit = Histogram("commit_seconds", "time of a commit", buckets=LATENCY_BUCKETS, **in_registry)
        self.aborts = Counter("transactions_aborted", "transactions aborted and sent again", **in_registry)
        self.checkpoints = Counter("checkpoints", "checkpoints written", **in_registry)
        self.checkpoint_bytes = Gauge("checkpoint_bytes", "size of the last checkpoint", ["partition"], **in_registry)
        self.restore = Histogram("restore_seconds", "time to take over a partition", **in_registry)
        self.replayed = Counter("records_replayed", "records folded again after a restart", **in_registry)
        self.held = Gauge("partitions_held", "partitions that wait for a view, a store or a plan", **in_registry)
        self.owned = Gauge("partitions_owned", "partitions assigned to this member", **in_registry)
        self.lag_seconds = Gauge("lag_seconds", "age of the oldest record not yet answered", ["partition"], **in_registry)
        self.lag_records = Gauge("lag_records", "offsets not yet answered", ["partition"], **in_registry)

    def text(self) -> bytes:
        """The exposition that /metrics serves."""
        return generate_latest(self.registry)
