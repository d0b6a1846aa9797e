"""Packages whose gates are not known, and when outcomes are enough to look at them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import (
    ApprovalRequested,
    ReleaseFinding,
    ReleaseQueued,
    ReleaseRejected,
    ReleaseRolledBack,
    ReleaseStarted,
    ReleaseSuperseded,
    ReleaseWithdrawn,
)
from headrace.domain.control.retrain import ModelEvaluated
from headrace.domain.retrain.packages import RegisteredPackage

DECIDED = (
    ApprovalRequested, ReleaseQueued, ReleaseStarted, ReleaseRejected, ReleaseRolledBack, ReleaseSuperseded,
    ReleaseWithdrawn,
)  # fmt: skip  # what ends the wait: its gates do not matter any more
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class GateWait:
    """A package that is to be judged again.

    Attributes:
        package: which.
        look: the next look's number.
        outcomes: on which it was judged last; `again`: on how many it is judged next.
        until: event time after which it is not, milliseconds.
        ends: by partition of outcomes, up to where they were read then.
    """

    package: RegisteredPackage
    look: int
    outcomes: int
    again: int
    until: int
    ends: Mapping[int, int]


@dataclass
class GateWaits:
    """A fold of control events, the same when one comes twice.

    Attributes:
        waiting: by the event that registered it, in the order of first verdicts.
    """

    waiting: dict[str, GateWait] = field(default_factory=dict)
    _packages: dict[str, RegisteredPackage] = field(default_factory=dict)
    _looked: dict[str, int] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)
    _decisions: set[str] = field(default_factory=set)

    def register(self, package: RegisteredPackage) -> None:
        """A package comes, that was not there; it may have been registered before by another event."""
        self._packages[package.event] = package

    def judge(self, cause: str, found: ModelEvaluated) -> None:
        """A package has a verdict."""
        if found.look <= self._looked.get(cause, -1) or cause in self._over or cause not in self._packages:
            return
        self._looked[cause] = found.look
        if found.verdict != UNKNOWN or found.again is None or found.until is None:
            self._end(cause)
            return
        ends = {int(partition): int(span[1]) for partition, span in json.loads(found.offsets).items()}
        self.waiting[cause] = GateWait(
            self._packages[cause], found.look + 1, found.outcomes, found.again, found.until, ends
        )

    def decide(self, event: ControlEvent, found: ReleaseFinding) -> None:
        """Something is decided of a release: of a package whose turn came, or is over, gates matter no more."""
        if isinstance(found, DECIDED) and event.event_id not in self._decisions:
            self._decisions.add(event.event_id)
            for cause in [cause for cause, each in self._packages.items() if each.digest == found.digest]:
                self._end(cause)

    def _end(self, cause: str) -> None:
        self._over.add(cause)
        self._packages.pop(cause, None)
        self.waiting.pop(cause, None)
