"""The service around an aggregate in two stages: rows and parts come in, parts and what follows from them go out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import numpy as np
import pyarrow as pa
from prometheus_client import Counter, Gauge

from headrace.columnar.partitioner import partitions_of
from headrace.domain.aggregations.global_aggregate import GlobalAggregate
from headrace.domain.aggregations.tumbling_windows import TumblingWindows, WindowSpan
from headrace.domain.aggregations.two_stage import AggregateKind, Held, Key, PartKind, Told
from headrace.streaming.records.batch import Batch, Emit, Output, unslot
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import Quiet

SHARE = 0.25
"""Of the time may go into publishing while there is more to read: what takes long is published less often."""
SLICE_S = 0.5
"""No longer at a time: the rest waits for the next."""


class PartFigures(Protocol):
    """What Prometheus is told of parts: published, come too late; and windows held, with the label `kind`."""

    parts: Counter
    late: Counter
    windows: Gauge


@dataclass(frozen=True, slots=True)
class SourceRules(Generic[Key, Held, Told]):
    """How rows of one topic are folded: into what, and by which windows."""

    kind: AggregateKind[Key, Held, Told]
    span: WindowSpan


@dataclass(frozen=True, slots=True)
class PartRules(Generic[Key, Told]):
    """How parts are told and folded.

    Attributes:
        topic: logical name. Its columns are window_start, window_end, those of the kind's `record`, source,
            source_partition, generation, next_offset and payload.
        schema: of these.
        kind: of the parts.
        length: of a window, milliseconds.
        keep: see `GlobalAggregate`.
    """

    topic: str
    schema: pa.Schema
    kind: PartKind[Key, Told]
    length: int
    keep: int | None = None


class TwoStageService(Service, Generic[Key, Held, Told]):
    """Folds topics into parts by window and key, and parts of all partitions into what follows from them.

    Stage one folds rows, each partition by itself, and writes what it holds to the topic of parts, by window and key.
    Stage two folds that topic, whose partitions follow the keys. A part that is written again replaces the one before,
    so any number of members may share the work, and a repeat after a crash changes nothing; so must be what follows.

    A service names its `inputs`, the topic of parts the last of them, and gives `followed`.

    Parameters:
        sources: by logical name, topics whose rows are folded.
        parts: the topic of parts.
        publish_s: seconds between two publications.
        figures: metrics.
        clock: seconds, monotonic; measures what publishing costs.

    Attributes:
        windows: stage one, by partition of an input.
        aggregates: stage two, by partition of the parts.
    """

    def __init__(
        self,
        sources: Mapping[str, SourceRules[Key, Held, Told]],
        parts: PartRules[Key, Told],
        publish_s: float,
        figures: PartFigures,
        clock: Callable[[], float],
    ) -> None:
        self._sources = sources
        self._parts = parts
        self._publish_s = publish_s
        self._figures = figures
        self._clock = clock
        self.windows: dict[int, TumblingWindows[Key, Held, Told]] = {}
        self.aggregates: dict[int, GlobalAggregate[Key, Told]] = {}
        self._partitions: Mapping[str, int] = {}
        self._parts_due = self._rest_due = 0.0

    @abstractmethod
    def followed(self, now: float) -> Emit | None:
        """What follows from windows of `aggregates` that changed; None where nothing does.

        It sets `dirty` of those it is done with to False, and stops after about `SLICE_S`.
        """

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        self._partitions = partitions

    # ---- rows come in --------------------------------------------------------------------------------------------

    def process(self, batch: Batch, now: float) -> Output:
        """Fold; what follows from it is published by `tick`."""
        self.replay(batch)
        return Output()

    def replay(self, batch: Batch) -> None:
        """Fold."""
        for partition, rows in batch.runs():
            part = batch.slice(rows)
            if batch.topic == self._parts.topic:
                self._figures.late.inc(self.aggregates[partition].fold(part.columns))
            else:
                self.windows[partition].fold(part.columns, part.offset)

    # ---- parts and what follows go out ---------------------------------------------------------------------------

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Publish what changed, every `publish_s`, or less often when that takes long."""
        emits = []
        if now >= self._parts_due:
            emit, self._parts_due = self._timed(self._told, now)
            emits.append(emit)
        if now >= self._rest_due:
            emit, self._rest_due = self._timed(self.followed, now)
            emits.append(emit)
        self._figures.windows.labels("sums").set(sum(map(len, self.windows.values())))
        return Output(tuple(emit for emit in emits if emit is not None), unfinished=self._unfinished())

    def _timed(self, publish: Callable[[float], Emit | None], now: float) -> tuple[Emit | None, float]:
        """What was published, and when to publish again."""
        began = self._clock()
        emit = publish(now)
        took = self._clock() - began
        return emit, now + max(self._publish_s if took < SLICE_S else 0.0, took / SHARE)

    def _unfinished(self) -> bool:
        """Whether rows are in no part yet, or parts in nothing that follows."""
        changed = any(windows.changed() for windows in self.windows.values())
        return changed or any(aggregate.changed() for aggregate in self.aggregates.values())

    def _told(self, now: float) -> Emit | None:
        rules, kind = self._parts, self._parts.kind
        rows: list[dict[str, Any]] = []
        keys, sources, texts = [], [], []
        for number, windows in self.windows.items():
            place, partition = unslot(number)
            for at, payload in windows.published():
                source, text = self.inputs[place], kind.text(at.key)
                rows.append(
                    {
                        "window_start": at.window,
                        "window_end": at.window + rules.length,
                        **kind.record(at.key),
                        "source": source,
                        "source_partition": partition,
                        "generation": at.generation,
                        "next_offset": windows.next_offset,
                        "payload": payload,
                    }
                )
                keys.append(f"{text}/{at.window}/{source}/{partition}/{at.generation}")
                sources.append(number)
                texts.append(text)
        if not rows:
            return None
        self._figures.parts.inc(len(rows))
        columns = pa.RecordBatch.from_pylist(rows, schema=rules.schema)
        target = partitions_of(pa.array(texts), self._partitions[rules.topic]).astype(np.int32)
        return Emit(rules.topic, columns, pa.array(keys), np.array(sources, np.int32), target)

    # ---- state comes and goes ------------------------------------------------------------------------------------

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """See `Service`."""
        topic = self.inputs[unslot(partition)[0]]
        state: TumblingWindows[Key, Held, Told] | GlobalAggregate[Key, Told]
        if topic == self._parts.topic:
            rules = self._parts
            state = self.aggregates[partition] = GlobalAggregate(rules.kind, rules.keep, rules.length)
        else:
            source = self._sources[topic]
            state = self.windows[partition] = TumblingWindows(source.kind, source.span)
        if snapshot is not None:
            state.load(snapshot)

    def snapshot(self, partition: int) -> bytes:
        """See `Service`."""
        state = self.aggregates.get(partition) or self.windows[partition]
        return state.snapshot()

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self.aggregates.pop(partition, None)
        self.windows.pop(partition, None)
