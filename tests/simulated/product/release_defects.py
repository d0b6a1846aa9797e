"""Defects of `release` that its scene must find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headrace.columnar import packing
from headrace.streaming.records.batch import Batch, Output
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import Quiet
from services.release.decision_fold import FoldAnswer
from tests.simulated.defects import DEFECTS
from tests.simulated.member import Cast
from tests.simulated.product.defects import Around, LosesTheFirst, TellsTwice
from tests.simulated.product.idle_defects import TellsIdlenessWithoutWhen, TrustsIdlePartitions


class ForgetsTheHead(Around):
    """The hash of the last entry is not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """All but that."""
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            said = packing.json_of(columns["said"])
            said["state"] |= {"head": "0" * 64}
            snapshot = packing.pack(columns | {"said": packing.json_column(said)})
        self._service.restore(partition, snapshot, end)


class PlansLate(Around):
    """Plans are written in another transaction than what decided them."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._facts: tuple[object, ...] = ()

    def process(self, batch: Batch, now: float) -> Output:
        """Without them."""
        output: Output = self._service.process(batch, now)
        self._facts += output.facts
        return replace(output, facts=())

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """With those of before."""
        output: Output = self._service.tick(now, at_end)
        facts, self._facts = self._facts, ()
        return replace(output, facts=facts)


class WritesOverOthers(Around):
    """Plans are written whoever wrote one meanwhile."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        service._holds = self._holds  # type: ignore[attr-defined]  # that is the defect

    def _holds(self, told: FoldAnswer) -> bool:
        return True


class DecidesWithoutThePlan(Around):
    """What is decided is told, also where its plan is not written."""

    def process(self, batch: Batch, now: float) -> Output:
        """Without plans, as if all were contested."""
        output: Output = self._service.process(batch, now)
        return replace(output, facts=())


class ForgetsAttempts(Around):
    """A plan that is on its way is not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """All but that."""
        if snapshot is not None:
            columns = packing.unpack(snapshot)
            said = packing.json_of(columns["said"])
            said.pop("attempt", None)
            snapshot = packing.pack(columns | {"said": packing.json_column(said)})
        self._service.restore(partition, snapshot, end)


class EntersItsOwnTwice(Around):
    """Decisions are entered once more when they come back."""

    def process(self, batch: Batch, now: float) -> Output:
        """Not knowing which are its own."""
        fold = self._service._fold
        if fold is not None:
            fold.state = replace(fold.state, own=())
        output: Output = self._service.process(batch, now)
        return output


RELEASE: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too low", "checkpoint ahead of state", "no restore")},
    "entries lost behind a restart": Cast(around=LosesTheFirst),
    "entries of a replay told again": Cast(around=TellsTwice),
    "the last hash forgotten at a restart": Cast(around=ForgetsTheHead),
    "plans in another transaction than what decided them": Cast(around=PlansLate),
    "plans written over those of others": Cast(around=WritesOverOthers),
    "decisions without their plans": Cast(around=DecidesWithoutThePlan),
    "a plan on its way forgotten at a restart": Cast(around=ForgetsAttempts),
    "decisions entered twice": Cast(around=EntersItsOwnTwice),
    "idle partitions trusted blindly": Cast(around=TrustsIdlePartitions),
    "idleness told without when": Cast(around=TellsIdlenessWithoutWhen),
}
