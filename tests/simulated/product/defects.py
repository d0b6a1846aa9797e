"""Defects that scenes of the product's services must find, each as it would show at the service or at the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.columnar.arrow_stream import stream, streamed
from headrace.domain.pipeline.segments import WHOLE
from headrace.domain.records.view_changelog import EXCHANGE
from headrace.domain.scorecards.grouped_tallies import CARDS, PARTS
from headrace.domain.scorecards.partial_aggregate import pack, unpack
from headrace.streaming.records.batch import Admission, Batch, Emit, Output
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import Quiet
from services.labels.join.layout import ADDED, NEVER
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


class LosesEntries(Around):
    """What the first batch of a process means to views is not told them."""

    _fresh = True

    def admit(self, batch: Batch, now: float) -> Admission:
        """In silence, the first time."""
        admission: Admission = self._service.admit(batch, now)
        fresh, self._fresh = self._fresh, False
        return replace(admission, emits=()) if fresh else admission


class HoldsNothing(Around):
    """Rows that a view is too far behind for are taken for answered."""

    def process(self, batch: Batch, now: float) -> Output:
        """As if all that was held had been answered."""
        return replace(self._service.process(batch, now), held=frozenset())


class CountsNothing(Around):
    """State does not say how many partitions it was made with: nobody moves it where these are more."""

    counted = ()


class TellsLateRows(Around):
    """Views of other entities are told of rows that come too late for those who waited for their partition."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        if hasattr(service, "gate"):
            service.gate._tells = False


class TakesNothingBack(Around):
    """A label that says less than the one before is not told."""

    def process(self, batch: Batch, now: float) -> Output:
        """With what adds to sums of labels alone."""
        output: Output = self._service.process(batch, now)
        return replace(output, emits=tuple(map(_added, output.emits)))


def _added(emit: Emit) -> Emit:
    if not emit.topic.startswith("view.") or emit.columns["source"][0].as_py() != EXCHANGE:
        return emit
    place = emit.columns.schema.get_field_index("values")
    kept = emit.columns.schema.field(place)
    values = [
        [{**column, "values": [max(value, 0.0) for value in column["values"]]} for column in record]
        for record in emit.columns["values"].to_pylist()
    ]
    return replace(emit, columns=emit.columns.set_column(place, kept, pa.array(values, kept.type)))


class WaitsForAdded(Around):
    """Sources that were added are waited for from a restart on, as if they had been there from the beginning."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """With nothing heard of them."""
        self._service.restore(partition, snapshot, end)
        sources = self._service._join(partition).sources
        sources[sources[:, -1] == ADDED, -1] = NEVER


class TrustsIdleSources(Around):
    """A source that is idle holds nothing back, whatever waits in it unread."""

    def process(self, batch: Batch, now: float) -> Output:
        """As if each had just been seen at its end."""
        for join in self._service._joins.values():
            join.proofs[:, 1:] = 0, -NEVER
        output: Output = self._service.process(batch, now)
        return output


class ScoresByAnother(Around):
    """Of two rows of a batch each gets the score of the other."""

    def process(self, batch: Batch, now: float) -> Output:
        """With the scores the wrong way round."""
        output: Output = self._service.process(batch, now)
        return replace(output, emits=tuple(replace(emit, columns=_turned(emit.columns)) for emit in output.emits))


class ShadowsByAnother(Around):
    """As `ScoresByAnother`, of every dark model."""

    def process(self, batch: Batch, now: float) -> Output:
        """With the scores the wrong way round."""
        output: Output = self._service.process(batch, now)
        emits = (
            emit if emit.topic == "control" else replace(emit, columns=_turned(emit.columns)) for emit in output.emits
        )
        return replace(output, emits=tuple(emits))


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


class LeavesOutInSilence(Around):
    """That a model is left out, or has no score, is told to nobody."""

    def process(self, batch: Batch, now: float) -> Output:
        """Without what is said of models."""
        output: Output = self._service.process(batch, now)
        return replace(output, emits=tuple(emit for emit in output.emits if emit.topic != "control"))

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """As `process`."""
        output: Output = self._service.tick(now, at_end)
        return replace(output, emits=())


class SaysLate(Around):
    """What is said of models goes with the next batch, in another transaction than the rows that it holds for."""

    _kept: tuple[Emit, ...] = ()

    def process(self, batch: Batch, now: float) -> Output:
        """With what was to be said before."""
        output: Output = self._service.process(batch, now)
        kept, self._kept = self._kept, tuple(emit for emit in output.emits if emit.topic == "control")
        return replace(output, emits=(*(emit for emit in output.emits if emit.topic != "control"), *kept))


class ScoresAgain(Around):
    """The rows of a batch are scored again with the next one, where there was a plan in between."""

    _before: tuple[Emit, ...] = ()
    _learnt = False

    def learn(self, facts: Batch, now: float) -> None:
        """As it is."""
        self._service.learn(facts, now)
        self._learnt = True

    def process(self, batch: Batch, now: float) -> Output:
        """With those before."""
        output: Output = self._service.process(batch, now)
        again = self._before if self._learnt else ()
        self._before, self._learnt = tuple(emit for emit in output.emits if emit.topic != "control"), False
        return replace(output, emits=(*output.emits, *again))


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


class TellsNoSums(Around):
    """What was folded and not told before a partition was taken over is not told by who has it then."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """As if all had been told."""
        self._service.restore(partition, snapshot, end)
        if partition in self._service.windows:
            list(self._service.windows[partition].published())


class ForgetsGroups(Around):
    """Sums of the groups of segments are not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """What is of all rows alone."""
        table = None if snapshot is None else streamed(snapshot)
        if table is not None and "tallies" in table.column_names:
            whole = [
                None if each is None else pack({WHOLE: unpack(each)[WHOLE]}) for each in table["tallies"].to_pylist()
            ]
            place = table.schema.get_field_index("tallies")
            snapshot = stream(table.set_column(place, table.schema.field(place), pa.array(whole, pa.binary())))
        self._service.restore(partition, snapshot, end)


class ForgetsSamples(Around):
    """Samples of rows are not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """The sums alone."""
        self._service.restore(partition, snapshot, end)
        if partition in self._service.windows:
            for part in self._service.windows[partition]._parts.values():
                part.held.rows = None


class OneGeneration(Around):
    """What comes for a window that was given up is told in the place of what was told of it before."""

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """With no generation but the first."""
        output: Output = self._service.tick(now, at_end)
        return replace(output, emits=tuple(map(_of_first, output.emits)))


def _of_first(emit: Emit) -> Emit:
    if emit.topic != PARTS:
        return emit
    place = emit.columns.schema.get_field_index("generation")
    zeros = pa.array(np.zeros(len(emit.columns), np.int64))
    columns = emit.columns.set_column(place, emit.columns.schema.field(place), zeros)
    keys = pa.array([f"{key.as_py().rpartition('/')[0]}/0" for key in emit.key or ()])
    return replace(emit, columns=columns, key=keys)


class LosesCards(Around):
    """The first cards of a process are not written."""

    _fresh = True

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Without cards, the first time that there are any."""
        output: Output = self._service.tick(now, at_end)
        if not self._fresh or all(emit.topic != CARDS for emit in output.emits):
            return output
        self._fresh = False
        return replace(output, emits=tuple(emit for emit in output.emits if emit.topic != CARDS))


_COMMON = ("offset one too high", "offset one too low", "checkpoint ahead of state", "no restore")
LABELS: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in _COMMON},
    "outcomes lost behind a restart": Cast(around=LosesTheFirst),
    "outcomes of a replay told again": Cast(around=TellsTwice),
    "sources that were added are waited for at once": Cast(around=WaitsForAdded),
    "idle sources trusted blindly": Cast(around=TrustsIdleSources),
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
VIEWS: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too high", "checkpoint ahead of state", "no restore")},
    "the first entries of a process lost": Cast(around=LosesEntries),
    "features lost behind a restart": Cast(around=LosesTheFirst),
    "rows that wait taken for answered": Cast(around=HoldsNothing),
    "state that is not moved after a growth": Cast(around=CountsNothing),
    "rows that come too late told to other views": Cast(around=TellsLateRows),
    "labels that are corrected not taken back": Cast(around=TakesNothingBack),
}
ONLY: Mapping[str, str] = {
    "state that is not moved after a growth": "growth",
    "rows that come too late told to other views": "backfill",
    "labels that are corrected not taken back": "labels",
    "idle sources trusted blindly": "bursts",
    "idle partitions trusted blindly": "bursts",
    "idleness told without when": "bursts",
    "groups of segments forgotten at a restart": "segments",
    "samples of rows forgotten at a restart": "samples",
    "rows of a late partition left out": "idle",
    "whatever is open accepted": "accepted",
}
"""The variant of a scene without which a defect does not show."""
SHADOW: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too high", "offset one too low")},
    "scores of other rows": Cast(around=ShadowsByAnother),
    "models left out in silence": Cast(around=LeavesOutInSilence),
    "what is left out said a batch late": Cast(around=SaysLate),
    "rows scored again after a plan": Cast(around=ScoresAgain),
}
SCORECARDS: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too low", "checkpoint ahead of state", "no restore")},
    "sums not told behind a restart": Cast(around=TellsNoSums),
    "a later generation in the place of the first": Cast(around=OneGeneration),
    "the first cards of a process lost": Cast(around=LosesCards),
    "groups of segments forgotten at a restart": Cast(around=ForgetsGroups),
    "samples of rows forgotten at a restart": Cast(around=ForgetsSamples),
}
