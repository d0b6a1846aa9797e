"""How `drift` and `release` took partitions that rest before these had to prove it: scenes must find both halves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from headrace.streaming.records.batch import Batch, Emit, Output
from headrace.streaming.watermarks.idleness import Quiet
from headrace.streaming.watermarks.source_marks import UNSEEN, SourceMarks
from headrace.streaming.watermarks.sources import ALWAYS
from services.drift.service import Watcher
from tests.simulated.product.defects import Around


class TrustsIdlePartitions(Around):
    """A partition that is idle holds nothing back, whatever waits in it unread."""

    def process(self, batch: Batch, now: float) -> Output:
        """As if each had just been seen at its end."""
        for marks in self._all_marks():
            for proof, idle in zip(marks._proofs, marks._idle.tolist(), strict=True):
                proof.until = ALWAYS if idle else proof.until
        output: Output = self._service.process(batch, now)
        return output

    def _all_marks(self) -> Iterator[SourceMarks]:
        if isinstance(self._service, Watcher):
            yield from (watch.merge.marks for watch in (self._service._watches or {}).values())
        elif self._service._fold is not None:
            yield self._service._fold.evidence._fold._marks


class TellsIdlenessWithoutWhen(Around):
    """Parts do not say when partitions were at their ends, as those of before did not: nobody can know better."""

    def process(self, batch: Batch, now: float) -> Output:
        """Without that."""
        return _without_when(self._service.process(batch, now))

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Without that."""
        return _without_when(self._service.tick(now, at_end))


def _without_when(output: Output) -> Output:
    return replace(
        output, emits=tuple(_unseen(emit) if emit.topic.endswith("-parts") else emit for emit in output.emits)
    )


def _unseen(emit: Emit) -> Emit:
    at = emit.columns.schema.get_field_index("seen")
    kind = emit.columns.schema.field(at)
    zeros = pa.array(np.full(len(emit.columns), UNSEEN)).cast(kind.type)
    return replace(emit, columns=emit.columns.set_column(at, kind, zeros))
