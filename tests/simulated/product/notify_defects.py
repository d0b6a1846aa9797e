"""Defects of `notify` that its scene must find."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.columnar import packing
from headrace.streaming.records.batch import Batch, Output
from headrace.streaming.watermarks.idleness import Quiet
from tests.simulated.defects import DEFECTS
from tests.simulated.member import Cast
from tests.simulated.product.defects import Around


class ForgetsWhatWaits(Around):
    """Messages that waited when a state was written are not restored."""

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """All but those."""
        if snapshot is not None:
            said = packing.json_of(packing.unpack(snapshot)["said"])
            said = {name: queue | {"waiting": [], "windows": {}} for name, queue in said.items()}
            snapshot = packing.pack({"said": packing.json_column(said)})
        self._service.restore(partition, snapshot, end)


class LosesWhoIsTold(Around):
    """Whom the first events that a process reads are to be told is not written down."""

    _fresh = True

    def process(self, batch: Batch, now: float) -> Output:
        """In silence, the first time."""
        output: Output = self._service.process(batch, now)
        fresh, self._fresh = self._fresh and batch.topic == "control", self._fresh and batch.topic != "control"
        return Output(rejects=output.rejects) if fresh else output


class SaysNothingOfSending(Around):
    """What came of messages is not written down now and then."""

    _turns = 0

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Every other one in silence."""
        output: Output = self._service.tick(now, at_end)
        self._turns += len(output.emits)
        return Output(unfinished=output.unfinished) if output.emits and self._turns % 2 else output


NOTIFY: Mapping[str, Cast] = {
    **{name: DEFECTS[name] for name in ("offset one too low", "checkpoint ahead of state", "no restore")},
    "those who are to be told lost behind a start": Cast(around=LosesWhoIsTold),
    "messages that wait forgotten at a restart": Cast(around=ForgetsWhatWaits),
    "what came of sending not written down": Cast(around=SaysNothingOfSending),
}
