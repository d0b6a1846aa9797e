"""Defects that the scene of views of other entities in a revision must find."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.streaming.records.batch import Admission, Batch
from headrace.streaming.task.service import Service
from tests.simulated.member import Cast
from tests.simulated.product.defects import Around, LosesEntries
from tests.simulated.product.revision_defects import ForgetsTheEnd, ReadsOtherWords, SeeksNowhere


class PreparesNothing(Around):
    """What is new of the revision is told nothing of events that the one before answers."""

    prepares = ()


class TellsTheFirst(Around):
    """Of events that the one before has answered, new views are told those of the first batch alone."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._batches = 0

    def admit(self, batch: Batch, now: float) -> Admission:
        """With what is told, once."""
        admission: Admission = self._service.admit(batch, now)
        self._batches += 1
        kept = tuple(emit for emit in admission.emits if self._batches == 1 or emit.topic not in self._service.prepares)
        return Admission(admission.batch, kept, admission.rejects, admission.remarks)


class TakesItForTold(ReadsOtherWords):
    """Whoever comes back takes what the group before had admitted for told by its own, as if more had been than was."""

    word, other = '"told"', '"said"'


HANDOVER: Mapping[str, Cast] = {
    "new views are told nothing while they are built": Cast(around=PreparesNothing),
    "new views are told the first events alone": Cast(around=TellsTheFirst),
    "what a life began to tell is taken for told": Cast(consumer=TakesItForTold),
    "what came too early is not read again": Cast(consumer=SeeksNowhere),
    "whoever takes over is not told": Cast(consumer=ForgetsTheEnd),
    "entries are lost": Cast(around=LosesEntries),
}
