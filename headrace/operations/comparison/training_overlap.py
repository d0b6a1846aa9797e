"""Which events a model has seen before it answered them: those that it, its members or its threshold were fitted on.

A model knows the labels of its training events by heart, so its figures on them say nothing of the next event. Packages
hold the event times of what they were fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.domain.models.package import Manifest
from headrace.domain.models.store import ModelStore, Stored
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.scorecards.identity import Identity
from headrace.errors import ConfigurationError, ContractError, Transient
from headrace.operations.time_spans import Bounds, TimeSpan

Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainingSpans:
    """Event times that a model was fitted on, and why (more of) it cannot be told."""

    fitted_on: Sequence[Bounds]
    unknown: Sequence[str]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model was fitted on.

    Attributes:
        spans: event times.
        unknown: why (more of) it cannot be told, a sentence each; nothing where all is known.
    """

    spans: tuple[TimeSpan, ...] = ()
    unknown: tuple[str, ...] = ()

    def saw(self, times: Times) -> npt.NDArray[np.bool_]:
        """Which event times lie within what it was fitted on.

        >>> Origin((TimeSpan(10, 20),)).saw(np.array([9, 10, 19, 20])).tolist()
        [False, True, True, False]
        """
        found = np.zeros(len(times), np.bool_)
        for span in self.spans:
            found |= (times >= span.start) & (times < span.stop)
        return found

    def overlaps(self, span: TimeSpan) -> bool:
        """Whether some of a span lies within it."""
        return any(own.start < span.stop and span.start < own.stop for own in self.spans)

    @property
    def training(self) -> TrainingSpans:
        """The same to be told."""
        return TrainingSpans([span.bounds for span in self.spans], self.unknown)


@dataclass(frozen=True, slots=True)
class TrainingOverlap:
    """What two models were fitted on, and whether events of that count all the same."""

    a: Origin
    b: Origin
    counts: bool = False

    def saw(self, times: Times) -> npt.NDArray[np.bool_]:
        """Which event times lie within what one of the two was fitted on."""
        return self.a.saw(times) | self.b.saw(times)


def origins(
    store: ModelStore, plans: Callable[[], Sequence[PlanFact]], models: Sequence[Identity]
) -> dict[Identity, Origin]:
    """What each model was fitted on, as far as the model store says.

    Args:
        store: where packages lie; where it does not answer, nothing is known.
        plans: reads the plans that are still on their topic; asked only for models without a package (means of others).
        models: whom to tell of.
    """
    try:
        look = _Look(store, plans)
    except (ConfigurationError, ContractError, Transient) as fault:
        return {who: Origin(unknown=(f"the model store cannot be read: {fault}",)) for who in models}
    return {who: look.origin(who) for who in models}


class _Look:
    def __init__(self, store: ModelStore, plans: Callable[[], Sequence[PlanFact]]) -> None:
        self._store = store
        self._stored = {stored.digest: stored for stored in store.packages()}
        self._plans = plans
        self._facts: Sequence[PlanFact] | None = None

    def origin(self, who: Identity) -> Origin:
        found = list(self._of(who.digest, f"{who.name}@{who.version}", set()))
        spans = sorted({part for part in found if isinstance(part, TimeSpan)}, key=lambda span: (span.start, span.stop))
        return Origin(tuple(spans), tuple(dict.fromkeys(part for part in found if isinstance(part, str))))

    def _of(self, digest: str, title: str, met: set[str]) -> Iterator[TimeSpan | str]:
        """Spans, and why there are no more."""
        if digest in met:
            return
        met.add(digest)
        stored = self._stored.get(digest)
        if stored is None:
            members = self._members(digest)
            if not members:
                yield f"{title} is not in the model store, so nobody knows what it was fitted on"
            for member, name in members.items():
                yield from self._of(member, name, met)
            return
        try:
            manifest = self._store.manifest(stored)
        except (ContractError, Transient) as fault:
            yield f"the package of {title} cannot be read: {fault}"
            return
        yield from _spans(manifest, stored)
        stacked = manifest.parameters.get("members")
        for member in stacked if isinstance(stacked, list) else ():
            own = self._stored.get(str(member))
            yield from self._of(str(member), own.title if own else f"a member of {title}", met)

    def _members(self, digest: str) -> dict[str, str]:
        """(digest -> title) of the members of an ensemble without a package, from the plans that named it."""
        if self._facts is None:
            try:
                self._facts = self._plans()
            except (ContractError, Transient):
                self._facts = ()  # then it is said that nobody knows
        arms = [arm for fact in self._facts if fact.plan is not None for arm in fact.plan.arms if arm.digest == digest]
        return {member.digest: member.title for arm in arms for member in arm.members}


def _spans(manifest: Manifest, stored: Stored) -> Iterator[TimeSpan | str]:
    if not manifest.training.known:
        yield f"the package of {stored.title} does not say what it was fitted on"
    yield from (TimeSpan(first, last + 1) for first, last in manifest.known_spans)
