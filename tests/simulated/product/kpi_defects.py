"""Defects of `kpi` that its scene must find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headrace.columnar import packing
from headrace.domain.kpi.parts import PARTS
from headrace.streaming.records.batch import Batch, Emit, Output
from tests.simulated.defects import DEFECTS
from tests.simulated.member import Cast
from tests.simulated.product.defects import Around, LosesTheFirst


class ForgetsBreaches(Around):
    """That a breach was told is not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """All but that."""
        if snapshot is not None:
            said = packing.json_of(packing.unpack(snapshot)["said"])
            for state in said["states"]:
                state[2] = False
            snapshot = packing.pack({"said": packing.json_column(said)})
        self._service.restore(partition, snapshot, end)


class TellsReplays(Around):
    """What a replay leads to is told with the next batch, as if it had not been told in an earlier life."""

    _late: tuple[Emit, ...] = ()

    def replay(self, batch: Batch) -> None:
        """It forgets that it is one."""
        self._late += self._service.process(batch, 0.0).emits

    def process(self, batch: Batch, now: float) -> Output:
        """With what was told before."""
        output: Output = self._service.process(batch, now)
        late, self._late = self._late, ()
        return replace(output, emits=(*late, *output.emits))


class LosesParts(Around):
    """The first records that a process reads of another topic are not put into the order."""

    _fresh = True

    def process(self, batch: Batch, now: float) -> Output:
        """In silence, the first time."""
        output: Output = self._service.process(batch, now)
        fresh, self._fresh = self._fresh and batch.topic != PARTS, self._fresh and batch.topic == PARTS
        return replace(output, emits=()) if fresh else output


KPI: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too low", "checkpoint ahead of state", "no restore")},
    "breaches of a replay told again": Cast(around=TellsReplays),
    "what follows from the first parts behind a restart lost": Cast(around=LosesTheFirst),
    "that a breach was told forgotten at a restart": Cast(around=ForgetsBreaches),
    "the first records of a process lost": Cast(around=LosesParts),
}
