"""The service `labels`, said slowly, as far as views are concerned: joins events and their labels by id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.spec import View
from headrace.streaming.records.batch import Emit
from headrace.streaming.watermarks.event_time import NEVER
from headrace.streaming.watermarks.repartition import MILLIS
from headrace.streaming.watermarks.sources import ALWAYS

Report = tuple[int, float]
"""Label time, value."""
Change = tuple[int, int, float]
"""From when on it is known; how many labels more there are then; how much larger their sum is."""


def changes_of(reports: list[Report], report: Report) -> list[Change]:
    """What one more report of an entry changes, beside those known before; takes it in."""
    if report[0] in {time for time, _ in reports}:
        return []
    before = max((other for other in reports if other < report), default=None)
    after = min((other for other in reports if other > report), default=None)
    former = 0.0 if before is None else before[1]
    found = [(report[0], int(before is None), report[1] - former)]
    if after is not None:
        found.append((after[0], -int(before is None), former - report[1]))
    reports.append(report)
    return found


@dataclass(slots=True)
class Source:
    """Last mark of a source partition; `heard`: when those that are awake beside idle ones were heard of, 0: no one."""

    progress: int = NEVER
    idle: bool = False
    time: int = NEVER
    heard: int = 0


@dataclass
class Joiner:
    """One partition of the exchange topic.

    Attributes:
        partition: its number.
        view, lateness: whom it tells.
        sources: of events and of labels, by topic and partition, all that there are.
        view_partitions: of the view's topic.
    """

    partition: int
    view: View
    lateness: int
    sources: dict[tuple[str, int], Source]
    view_partitions: int
    queue: list[dict[str, object]] = field(default_factory=list)
    read: int = 0
    events: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    reports: dict[str, list[Report]] = field(default_factory=lambda: defaultdict(list))

    def step(self) -> Emit | None:
        """Take one record; what the view is told of it."""
        if self.read == len(self.queue):
            return None
        record = self.queue[self.read]
        entries = [*self._events(record), *self._labels(record)]
        self.read += 1
        numbers = (record["progress"], record["idle"], record["time"])
        self.sources[record["source"], record["source_partition"]] = Source(*numbers)  # type: ignore[index,arg-type]  # a record
        return told(self.view, self.view_partitions, self.partition, self.read, self._mark(), entries)

    def _events(self, record: Mapping[str, object]) -> list[tuple[str, int, Change]]:
        found = []
        for name, time, entity in record.get("events", ()):  # type: ignore[attr-defined]  # a list
            self.events[name] = entity, time
            known: list[Report] = []
            for report in self.reports[name]:
                found += [(entity, time, change) for change in changes_of(known, report)]
        return [entry for entry in found if entry[0] is not None]

    def _labels(self, record: Mapping[str, object]) -> list[tuple[str, int, Change]]:
        found = []
        for name, report in record.get("labels", ()):  # type: ignore[attr-defined]  # a list
            changes = changes_of(self.reports[name], report)
            entity, time = self.events.get(name, (None, 0))
            found += [(entity, time, change) for change in changes]
        return [entry for entry in found if entry[0] is not None]  # type: ignore[misc]  # entities only

    def _mark(self) -> Source:
        slack = self.view.delay - min(self.lateness + 1, self.view.delay)
        reached = [
            NEVER if source.progress == NEVER else source.progress + (slack if topic == "events" else 0)
            for (topic, _), source in self.sources.items()
            if not source.idle
        ]
        idle = [source.time for source in self.sources.values() if source.idle]
        if idle:
            awake = [max(source.time, 1) for source in self.sources.values() if not source.idle]
            return Source(min(reached, default=ALWAYS), True, min(idle), min(awake, default=0))
        return Source(min(reached), False, min(source.time for source in self.sources.values()))


def told(
    view: View, partitions: int, source: int, next_offset: int, mark: Source, entries: Sequence[tuple[str, int, Change]]
) -> Emit:
    """The updates of one record of the exchange: one for every partition of the view's topic."""
    chosen = partitions_of(pa.array([entity for entity, _, _ in entries], pa.string()), partitions)
    parts = [[entry for entry, at in zip(entries, chosen, strict=True) if at == part] for part in range(partitions)]
    rows = [
        {
            "view": view.name,
            "source": "exchange",
            "source_partition": source,
            "next_offset": next_offset,
            "idle": mark.idle,
            "keys": [entity for entity, _, _ in part],
            "times": [time for _, time, _ in part],
            "offsets": [next_offset - 1] * len(part),
            "known": [change[0] for _, _, change in part],
            "values": [
                {"name": "labelled", "values": [float(change[1]) for _, _, change in part]},
                {"name": "label", "values": [change[2] for _, _, change in part]},
            ],
        }
        for part in parts
    ]
    columns = pa.RecordBatch.from_pylist(rows, _SCHEMA)
    for name, number in (("progress", mark.progress), ("floor", 0), ("time", mark.time), ("heard", mark.heard)):
        columns = columns.append_column(name, pa.array([number] * partitions, pa.int64()).cast(MILLIS))
    target = np.arange(partitions, dtype=np.int32)
    return Emit(f"view.{view.name}", columns, None, np.full(partitions, source, np.int32), target)


_SCHEMA = pa.schema(
    {
        "view": pa.string(),
        "source": pa.string(),
        "source_partition": pa.int32(),
        "next_offset": pa.int64(),
        "idle": pa.bool_(),
        "keys": pa.list_(pa.string()),
        "times": pa.list_(pa.int64()),
        "offsets": pa.list_(pa.int64()),
        "known": pa.list_(pa.int64()),
        "values": pa.list_(pa.struct({"name": pa.string(), "values": pa.list_(pa.float64())})),
    }
)
