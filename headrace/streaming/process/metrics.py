"""What a service tells Prometheus about itself. Names follow Prometheus' conventions: base units, `_total`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "BatchHistogram", "Metrics"]

LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


class BatchHistogram(Collector):
    """A histogram that takes a whole array at once; prometheus_client's own takes one value a call."""

    def __init__(self, name: str, documentation: str, buckets: tuple[float, ...]) -> None:
        self.name = name
        self.documentation = documentation
        self.bounds = np.array([*buckets, np.inf])
        self.counts = np.zeros(len(self.bounds), np.int64)
        self.sum = 0.0

    def observe(self, values: npt.NDArray[np.float64]) -> None:
        """Count values, in the unit of the buckets."""
        self.counts += np.bincount(np.searchsorted(self.bounds, values), minlength=len(self.bounds))
        self.sum += float(values.sum())

    def collect(self) -> Iterable[HistogramMetricFamily]:
        labels = ["+Inf" if bound == np.inf else repr(float(bound)) for bound in self.bounds]
        totals = np.cumsum(self.counts)
        buckets = [(label, float(total)) for label, total in zip(labels, totals, strict=True)]
        yield HistogramMetricFamily(self.name, self.documentation, buckets=buckets, sum_value=self.sum)


class Metrics:
    """One service's metrics in a registry of its own, so that two services can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        in_registry: dict[str, Any] = {"registry": self.registry, "namespace": "headrace"}
        self.records = Counter("records", "records read from the input, by fate", ["fate"], **in_registry)
        self.emitted = Counter("emitted", "records written, by logical topic", ["topic"], **in_registry)
        self.dead_letters = Counter("dead_letters", "records refused, by reason", ["reason"], **in_registry)
        noted = "records left out without being refused, or answered with a reservation, by what they were found to be"
        self.remarks = Counter("remarks", noted, ["remark"], **in_registry)
        self.facts_unreadable = Counter(
            "facts_unreadable", "facts left out because nobody can read them", ["topic", "reason"], **in_registry
        )
        self.batch_rows = Histogram("batch_rows", "records in a batch", buckets=ROWS_BUCKETS, **in_registry)
        self._stages = Counter("stage_seconds", "time spent, by stage of the loop", ["stage"], **in_registry)
        self.latency = BatchHistogram(
            "headrace_latency_seconds", "from a record's Kafka timestamp to its durable answer", LATENCY_BUCKETS
        )
        self.registry.register(self.latency)
        self.commit = Histogram("commit_seconds", "time of a commit", buckets=LATENCY_BUCKETS, **in_registry)
        self.aborts = Counter("transactions_aborted", "transactions aborted and sent again", **in_registry)
        self.checkpoints = Counter("checkpoints", "checkpoints written", **in_registry)
        self.checkpoint_bytes = Gauge(
            "checkpoint_bytes", "size of the last checkpoint", ["topic", "partition"], **in_registry
        )
        self.restore = Histogram("restore_seconds", "time to take over a partition", **in_registry)
        self.replayed = Counter("records_replayed", "records folded again after a restart", **in_registry)
        self.recoveries = Counter(
            "recoveries", "times that it went on although the past was not all there, by way", ["way"], **in_registry
        )
        self.offsets_deleted = Counter(
            "offsets_deleted",
            "offsets that were deleted before their records were answered (unanswered), or folded into a state that "
            "goes on (missing_from_state); control records among them",
            ["how"],
            **in_registry,
        )
        self.held = Gauge(
            "partitions_held", "partitions that wait for a view, a store, a plan or each other", **in_registry
        )
        self.owned = Gauge("partitions_owned", "partitions assigned to this member", **in_registry)
        self.lag_seconds = Gauge(
            "lag_seconds", "age of the oldest record not yet answered", ["topic", "partition"], **in_registry
        )
        self.ready = Gauge("ready", "1 when /readyz says so", **in_registry)
        self.late_kernels = Counter(
            "kernels_compiled_late", "kernels compiled inside the loop, which waited for them", **in_registry
        )
        self.idle = Gauge("idle_seconds", "how long all input has been read and answered", **in_registry)
        self.lag_records = Gauge("lag_records", "offsets not yet answered", ["topic", "partition"], **in_registry)

    def add(self, stage: str, seconds: float) -> None:
        """Add to the time spent in a stage of the loop."""
        self._stages.labels(stage).inc(seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time inside the `with` to a stage, also when it ends in an error."""
        started = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - started)

    def text(self) -> bytes:
        """The exposition that /metrics serves."""
        return generate_latest(self.registry)
