"""Defects that scenes of the product's services must find, each as it would show at the service or at the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.streaming.records.batch import Batch, Output
from headrace.streaming.task.service import Service
from tests.simulated.defects import DEFECTS
from tests.simulated.member import Cast


class Around:
    """A service that does all that another one does."""

    def __init__(self, service: Service) -> None:
        self._service: Any = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)


class LosesTheFirst(Around):
    """What the first batch after a partition was taken over leads to is not told."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._fresh: set[int] = set()

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """As it is, but for what comes of it."""
        self._service.restore(partition, snapshot, end)
        if snapshot is not None:
            self._fresh.add(partition)

    def process(self, batch: Batch, now: float) -> Output:
        """In silence, the first time."""
        output: Output = self._service.process(batch, now)
        fresh = self._fresh & set(batch.partition.tolist())
        self._fresh -= fresh
        return replace(output, emits=()) if fresh else output


class ScoresByAnother(Around):
    """Of two rows of a batch each gets the score of the other."""

    def process(self, batch: Batch, now: float) -> Output:
        """With the scores the wrong way round."""
        output: Output = self._service.process(batch, now)
        return replace(output, emits=tuple(replace(emit, columns=_turned(emit.columns)) for emit in output.emits))


def _turned(columns: pa.RecordBatch) -> pa.RecordBatch:
    place = columns.schema.get_field_index("score")
    turned = columns["score"].take(pa.array(np.arange(len(columns))[::-1]))
    return columns.set_column(place, columns.schema.field(place), turned)


class RefusesInSilence(Around):
    """What no model has a score for is left out, and nobody is told."""

    def process(self, batch: Batch, now: float) -> Output:
        """Without dead letters."""
        output: Output = self._service.process(batch, now)
        return replace(output, rejects=())


class TellsTwice(Around):
    """What a replay leads to is told by the next batch, as if it had not been answered in an earlier life."""

    def replay(self, batch: Batch) -> None:
        """It forgets that it is one."""
        self._late = self._service.process(batch, 0.0).emits

    def process(self, batch: Batch, now: float) -> Output:
        """With what was told before."""
        output: Output = self._service.process(batch, now)
        late, self._late = getattr(self, "_late", ()), ()
        return replace(output, emits=(*late, *output.emits))


class ForgetsIds(Around):
    """Which ids there were is not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """All but ids."""
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            snapshot = packing.pack({name: each for name, each in columns.items() if not name.startswith("repeats")})
        self._service.restore(partition, snapshot, end)


_COMMON = ("offset one too high", "offset one too low", "checkpoint ahead of state", "no restore")
LABELS: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in _COMMON},
    "outcomes lost behind a restart": Cast(around=LosesTheFirst),
    "outcomes of a replay told again": Cast(around=TellsTwice),
}
ENRICH: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in _COMMON},
    "features lost behind a restart": Cast(around=LosesTheFirst),
    "ids forgotten at a restart": Cast(around=ForgetsIds),
}
SCORE: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too high", "offset one too low")},
    "scores of other rows": Cast(around=ScoresByAnother),
    "rows refused in silence": Cast(around=RefusesInSilence),
}
