"""Producers' records in, events and labels out: in headrace's own form, keyed by their entity, where they belong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.features.event_gate import times_of
from headrace.domain.pipeline.feed.spec import EVENTS_FEED, OWN
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.truth import no_class, numbers_of
from headrace.streaming.records.batch import Batch, Emit, Output, Reject, set_apart, unslot
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.alignment import Alignment
from headrace.streaming.watermarks.idleness import Quiet


class FeedIntake(Service):
    """The service `intake` for one pipeline: what its codecs have read is written again, keyed anew.

    It keeps nothing, and looks at no record but by itself. Records of one partition are written in their order; events
    of several partitions in the order of their time, as far as one member reads them.

    Args:
        pipeline: whose events and labels these are.
        reads: logical names of the feeds.
    """

    merges = True

    def __init__(self, pipeline: Pipeline, reads: Sequence[str]) -> None:
        self.inputs = tuple(reads)
        self.answers = tuple(OWN[logical] for logical in reads)
        self._pipeline = pipeline
        self._alignment = Alignment(pipeline.events.allowed_lateness)

    def own(self, partition: int) -> None:
        """Events of a partition wait for those of the others from here on."""
        if self.inputs[unslot(partition)[0]] == EVENTS_FEED:
            self._alignment.own(partition)

    def drop(self, partition: int) -> None:
        """Its rows are another member's."""
        self._alignment.drop(partition)

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """What is read to its end holds nobody up."""
        self._alignment.at_end(at_end.keys())
        return Output()

    def process(self, batch: Batch, now: float) -> Output:
        """The same rows, under their own key."""
        return self._events(batch, now) if batch.topic == EVENTS_FEED else self._labels(batch)

    def _events(self, batch: Batch, now: float) -> Output:
        events = self._pipeline.events
        merged = self._alignment.merge(batch, times_of(batch.columns, events.time), now)
        if not len(merged.rows):
            return Output(rest=merged.rest)
        columns = batch.columns.take(pa.array(merged.rows))
        key = columns.column(events.key).cast(pa.string())
        return Output((Emit("events", columns, key, batch.partition[merged.rows]),), rest=merged.rest)

    def _labels(self, batch: Batch) -> Output:
        """Labels; one whose record tells no time was known when it was written. Names of classes become numbers."""
        rule, rejects = self._pipeline.labels, tuple[Reject, ...]()
        if rule is not None and pa.types.is_string(batch.columns.schema.field("value").type):
            numbers = numbers_of(batch.columns.column("value"), rule)
            place = batch.columns.schema.get_field_index("value")
            told: Any = batch.columns.set_column(place, "value", pa.array(numbers))
            why = f"the label {no_class(rule)}"
            batch, rejects = set_apart(replace(batch, columns=told), [("no_class", why, np.isnan(numbers))])
            if not len(batch):
                return Output(rejects=rejects)
        columns = {name: batch.columns.column(name) for name in batch.columns.schema.names}
        if "label_time" not in columns:
            columns["label_time"] = pa.array(batch.timestamp, pa.timestamp("ms", tz="UTC"))
        feed = self._pipeline.feeds[batch.topic]
        columns["source"] = pa.repeat(pa.scalar(feed.source), len(batch))
        rows = pa.RecordBatch.from_pydict(columns)
        return Output((Emit("labels", rows, columns["event_id"], batch.partition),), rejects)
