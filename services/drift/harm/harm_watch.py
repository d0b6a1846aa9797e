"""Whether incidents harm their models: what both streams tell of losses, held against each incident's beginning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headrace.domain.drift.allowance import HOUR
from headrace.domain.drift.harm.incident_harm import BASES, Basis, HarmCase, HarmCases, HarmProof
from headrace.domain.drift.harm.model_losses import ModelLosses
from headrace.domain.drift.incidents import IncidentStep
from headrace.domain.records.drift_parts import REFUSED
from headrace.domain.records.watched_columns import OUTCOMES, STREAMS, ModelIdentity
from services.drift.stream_watch import StreamWatch

Watches = Mapping[str, StreamWatch]


class HarmWatch:
    """A fold of what becomes of incidents, and of the losses that the watches of streams sum up.

    Attributes:
        cases: of incidents that are open, and of some that were.
    """

    def __init__(self) -> None:
        self.cases = HarmCases()

    def take(self, steps: Sequence[tuple[str, ModelIdentity, IncidentStep]], watches: Watches) -> Iterator[HarmProof]:
        """Note steps of incidents, and look at all hours that are over now; what is proved by them."""
        for stream, model, step in steps:
            if stream == REFUSED:
                continue
            if step.step == "closed":
                self.cases.closed(stream, step.number, step.reached)
            else:
                self.cases.opened(stream, step.number, (model.name, model.version, model.digest), step.reached)
        for stream, watch in watches.items():
            for model, losses in watch.gone:
                yield from self._gone(stream, model, losses.losses, watches)
            for model in watch.anew:
                self._lose(stream, model, None)
            watch.gone.clear()
            watch.anew.clear()
        for case in self.cases.cases:
            for basis in BASES:
                stream, found = losses_of(case, basis, watches)
                if found is not None and found.course is not None and found.bets is not None:
                    yield from case.pursue(basis, stream, found.course, found.bets, _settled(case, watches))
        for watch in watches.values():
            for each in watch.losses.values():
                if each.losses is not None and each.losses.course is not None:
                    each.losses.course.prune()
        self.cases.prune()

    def _gone(
        self, stream: str, model: ModelIdentity, losses: ModelLosses | None, watches: Watches
    ) -> Iterator[HarmProof]:
        """A model answers no more: what its last hours prove, and its sums for good."""
        basis: Basis = "labels" if stream == OUTCOMES else "estimate"
        if losses is None or losses.course is None or losses.bets is None:
            return
        for case in self.cases.cases:
            if case.model == tuple(model) and case.pursuits[basis].stream in (None, stream):
                yield from case.pursue(basis, stream, losses.course, losses.bets, _settled(case, watches))
        self._lose(stream, model, losses)

    def _lose(self, stream: str, model: ModelIdentity, losses: ModelLosses | None) -> None:
        sums = None if losses is None or losses.course is None else losses.course.sums()
        for case in self.cases.cases:
            for basis, pursuit in case.pursuits.items():
                if case.model == tuple(model) and pursuit.stream == stream:
                    case.lose(basis, sums)

    def save(self) -> list[dict[str, Any]]:
        """As JSON has it."""
        return self.cases.dump()

    def load(self, said: Sequence[Mapping[str, Any]]) -> None:
        """Take over what `save` gave."""
        self.cases = HarmCases.of(said)


def _settled(case: HarmCase, watches: Watches) -> int | None:
    """Event time before which the stream that told of a case is over."""
    own = watches[case.stream].reached
    return None if own is None else own // HOUR * HOUR


def losses_of(case: HarmCase, basis: Basis, watches: Watches) -> tuple[str, ModelLosses | None]:
    """What the model of a case loses: by its outcomes, or by the scores of its predictions; the stream that tells it.

    None where nothing is known. A model that answers in public and in the dark is judged by the stream of its incident,
    and once it is judged by one, by that one.
    """
    model, chosen = ModelIdentity(*case.model), case.pursuits[basis].stream
    streams = [OUTCOMES] if basis == "labels" else [case.stream, *(stream for stream in STREAMS if stream != OUTCOMES)]
    for stream in streams if chosen is None else [chosen]:
        found = watches[stream].losses.get(model)
        if found is not None and found.losses is not None and (stream == OUTCOMES) == (basis == "labels"):
            return stream, found.losses
    return OUTCOMES, None
