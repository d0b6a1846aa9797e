"""Defects of `drift` that its scene must find."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MethodType
from typing import Any

import numpy as np

from headrace.columnar import packing
from headrace.domain.drift.incidents import IncidentStep
from headrace.domain.records.drift_parts import Acceptance, ModelRows
from headrace.domain.records.watched_columns import STREAMS, ModelIdentity
from headrace.streaming.records.batch import Output
from headrace.streaming.watermarks.idleness import Quiet
from services.drift.service import Watcher
from services.drift.source_merge import DueRows, SourceMerge
from services.drift.source_partitions import RefusedPartition
from tests.simulated.defects import DEFECTS
from tests.simulated.member import Cast
from tests.simulated.product.defects import Around, LosesTheFirst, TellsTwice
from tests.simulated.product.idle_defects import TellsIdlenessWithoutWhen, TrustsIdlePartitions


class Merges(Around):
    """Rows of all partitions come together in another way.

    Attributes:
        merge: how.
    """

    merge: type[SourceMerge]

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """As it is, but for that."""
        self._service.restore(partition, snapshot, end)
        for watch in (self._service._watches or {}).values():
            watch.merge.__class__ = self.merge


class DropsLateRows(SourceMerge):
    """What a partition tells after others have gone on without it is left out."""

    def take(
        self, source: int, next_offset: int, progress: int, idle: bool, rows: Mapping[ModelIdentity, ModelRows]
    ) -> int:
        in_time = {model: told.take(told.progress >= self._reached) for model, told in rows.items()}
        return super().take(source, next_offset, progress, idle, in_time)


class TakesByArrival(SourceMerge):
    """Nobody is waited for."""

    def given(self) -> Iterator[DueRows]:
        marks = self.marks
        idle, marks._idle = marks._idle, np.ones_like(marks._idle)
        yield from super().given()
        marks._idle = idle


class LosesLate(Merges):
    """See `DropsLateRows`."""

    merge = DropsLateRows


class MergesByArrival(Merges):
    """See `TakesByArrival`."""

    merge = TakesByArrival


class Restores(Around):
    """Something of the state of all rows is not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """All but that."""
        columns = None if snapshot is None or not snapshot.startswith(packing.MAGIC) else packing.unpack(snapshot)
        if columns is not None:
            said = packing.json_of(columns["said"])
            for stream in STREAMS:
                self.forget(said[stream])
            snapshot = packing.pack(columns | {"said": packing.json_column(said)})
        self._service.restore(partition, snapshot, end)

    def forget(self, said: dict[str, Any]) -> None:
        """Take it out of what is said of a stream."""
        raise NotImplementedError


class ForgetsWaitingRows(Restores):
    """Rows that wait for other partitions."""

    def forget(self, said: dict[str, Any]) -> None:
        said["waiting"] = []


class ForgetsIncidents(Restores):
    """How many incidents there were."""

    def forget(self, said: dict[str, Any]) -> None:
        said["incidents"] = json.dumps(json.loads(said["incidents"]) | {"count": 0})


class ForgetsRefusals(Around):
    """Which record of a partition was refused last is not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """All but that."""
        self._service.restore(partition, snapshot, end)
        source = self._service._sources.get(partition)
        if isinstance(source, RefusedPartition):
            source._last.clear()


class AcceptsAnyIncident(Around):
    """What is accepted is the incident that is open, whichever somebody meant: as often as it is said."""

    def __init__(self, service: Watcher) -> None:
        super().__init__(service)
        service._decided = MethodType(_accepts, service)  # type: ignore[method-assign]  # that is the defect


def _accepts(service: Watcher, said: Acceptance) -> Iterator[tuple[str, ModelIdentity, IncidentStep]]:
    for stream in STREAMS:
        step = service._watch(stream).accept(f"accepted by {said.actor}: {said.reason}")
        if step is not None:
            yield (stream, *step)


class LosesStandings(Around):
    """How columns stand is told once in the life of a process."""

    _told = False

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Without that, but for the first time."""
        output: Output = self._service.tick(now, at_end)
        kept = tuple(emit for emit in output.emits if emit.topic != "drift" or not self._told)
        self._told = self._told or any(emit.topic == "drift" for emit in output.emits)
        return replace(output, emits=kept)


DRIFT: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too low", "checkpoint ahead of state", "no restore")},
    "incidents lost behind a restart": Cast(around=LosesTheFirst),
    "incidents of a replay told again": Cast(around=TellsTwice),
    "rows of a late partition left out": Cast(around=LosesLate),
    "rows taken as they come": Cast(around=MergesByArrival),
    "rows that wait forgotten at a restart": Cast(around=ForgetsWaitingRows),
    "number of incidents forgotten at a restart": Cast(around=ForgetsIncidents),
    "refused records forgotten at a restart": Cast(around=ForgetsRefusals),
    "whatever is open accepted": Cast(around=AcceptsAnyIncident),
    "how columns stand told once": Cast(around=LosesStandings),
    "idle partitions trusted blindly": Cast(around=TrustsIdlePartitions),
    "idleness told without when": Cast(around=TellsIdlenessWithoutWhen),
}
