"""Defects of `intake` that its scene must find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headrace.streaming.records.batch import Batch, Emit, Output
from tests.simulated.defects import DEFECTS
from tests.simulated.member import Cast
from tests.simulated.product.defects import Around


class ForgetsWhoWaits(Around):
    """Rows that wait for those of other partitions are taken for answered."""

    def process(self, batch: Batch, now: float) -> Output:
        """As if none had to."""
        return replace(self._service.process(batch, now), rest={})


class TakesAndHolds(Around):
    """Of a partition whose later rows wait, all do."""

    def process(self, batch: Batch, now: float) -> Output:
        """From its first row on."""
        output: Output = self._service.process(batch, now)
        firsts = {partition: int(batch.offset[rows][0]) for partition, rows in batch.runs()}
        return replace(output, rest={partition: firsts[partition] for partition in output.rest})


class MixesRows(Around):
    """Rows of a partition are written the other way round."""

    def process(self, batch: Batch, now: float) -> Output:
        """Backwards."""
        output: Output = self._service.process(batch, now)
        return replace(output, emits=tuple(map(_backwards, output.emits)))


def _backwards(emit: Emit) -> Emit:
    rows = list(range(len(emit.columns)))[::-1]
    assert emit.key is not None
    return replace(emit, columns=emit.columns.take(rows), key=emit.key.take(rows), source=emit.source[rows])


INTAKE: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too high", "offset one too low")},
    "rows that wait for other partitions lost": Cast(around=ForgetsWhoWaits),
    "rows before those that wait taken twice": Cast(around=TakesAndHolds),
    "rows of a partition the other way round": Cast(around=MixesRows),
}
