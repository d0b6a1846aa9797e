"""Defects of how a canary that breaks is put back, which its scene must find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from headrace.streaming.records.batch import Batch, Emit, Output
from headrace.streaming.task.service import Service
from services.release.service import Releases
from services.score.service import Score
from tests.simulated.defects import DEFECTS
from tests.simulated.member import Cast
from tests.simulated.product.defects import Around, LosesTheFirst
from tests.simulated.product.release_defects import DecidesWithoutThePlan


def only(kind: type[Service], around: Callable[[Service], object]) -> Callable[[Service], object]:
    """A defect of one of the two services."""
    return lambda service: around(service) if isinstance(service, kind) else service


class BreaksInSilence(Around):
    """That the canary broke is told to nobody."""

    def process(self, batch: Batch, now: float) -> Output:
        """Without control events."""
        output: Output = self._service.process(batch, now)
        return replace(output, emits=tuple(emit for emit in output.emits if emit.topic != "control"))


class LeavesOutWhatBroke(Around):
    """Rows that the canary has no score for are answered by nobody."""

    def process(self, batch: Batch, now: float) -> Output:
        """Without the champion's answers for the canary's entities."""
        output: Output = self._service.process(batch, now)
        if all(emit.topic != "control" for emit in output.emits):
            return output
        return replace(output, emits=tuple(map(_own, output.emits)))


def _own(emit: Emit) -> Emit:
    if emit.topic == "control":
        return emit
    arms = emit.columns["arm"].to_pylist()
    if len(set(arms)) == 1:
        return emit
    kept = np.array([arm == "canary" for arm in arms])
    assert emit.key is not None
    return replace(emit, columns=emit.columns.filter(kept), key=emit.key.filter(kept), source=emit.source[kept])


class DoesNotPutBack(Around):
    """What a member of `score` says of a canary is none of the releases' business."""

    def process(self, batch: Batch, now: float) -> Output:
        """As if nothing had broken: the breach comes of another model."""
        fold = self._service._fold
        if fold is not None:
            machine = fold.state.machine
            ahead = tuple(replace(each, plan=10**9) for each in machine.releases)
            fold.state = replace(fold.state, machine=replace(machine, releases=ahead))
        output: Output = self._service.process(batch, now)
        return output


BREACH: Mapping[str, Cast] = {
    "offset one too low": DEFECTS["offset one too low"],
    "breaches told to nobody": Cast(around=only(Score, BreaksInSilence)),
    "rows that the canary fails at left out": Cast(around=only(Score, LeavesOutWhatBroke)),
    "breaches that nothing follows from": Cast(around=only(Releases, DoesNotPutBack)),
    "decisions lost behind a restart": Cast(around=only(Releases, LosesTheFirst)),
    "roll-backs without their plans": Cast(around=only(Releases, DecidesWithoutThePlan)),
}
