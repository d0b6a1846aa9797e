"""Producers' records in, events and labels out: in headrace's own form, keyed by their entity, where they belong."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from headrace.domain.pipeline.feed.spec import EVENTS_FEED, OWN
from headrace.domain.pipeline.spec import Pipeline
from headrace.streaming.records.batch import Batch, Emit, Output
from headrace.streaming.task.service import Service


class FeedIntake(Service):
    """The service `intake` for one pipeline: what its codecs have read is written again, keyed anew.

    It keeps nothing, and looks at no record but by itself. Records of one partition are written in their order; those
    of one entity that a producer spread over partitions come in the order in which they are read.

    Args:
        pipeline: whose events and labels these are.
        reads: logical names of the feeds.
    """

    def __init__(self, pipeline: Pipeline, reads: Sequence[str]) -> None:
        self.inputs = tuple(reads)
        self.answers = tuple(OWN[logical] for logical in reads)
        self._pipeline = pipeline

    def process(self, batch: Batch, now: float) -> Output:
        """The same rows, under their own key."""
        return Output((self._events(batch) if batch.topic == EVENTS_FEED else self._labels(batch),))

    def _events(self, batch: Batch) -> Emit:
        key = batch.columns.column(self._pipeline.events.key).cast(pa.string())
        return Emit("events", batch.columns, key, batch.partition)

    def _labels(self, batch: Batch) -> Emit:
        """Labels; one whose record tells no time was known when it was written."""
        columns = {name: batch.columns.column(name) for name in batch.columns.schema.names}
        if "label_time" not in columns:
            columns["label_time"] = pa.array(batch.timestamp, pa.timestamp("ms", tz="UTC"))
        feed = self._pipeline.feeds[batch.topic]
        columns["source"] = pa.repeat(pa.scalar(feed.source), len(batch))
        return Emit("labels", pa.RecordBatch.from_pydict(columns), columns["event_id"], batch.partition)
