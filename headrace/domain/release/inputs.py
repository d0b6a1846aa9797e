"""What `machine.decide` is told, each with the identity and the time of the event that tells it; times in ms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from headrace.domain.control.base import Offsets
from headrace.domain.plans.plans import Plan
from headrace.domain.release.states import Candidate

Standing = Literal["passed", "failed", "unknown"]
Asked = Literal["approve", "deny", "promote", "rollback", "hold", "lift"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReleaseInput:
    """What all have.

    Attributes:
        event: identity of the event; a second one with the same identity changes nothing.
        time: of its record.
    """

    event: str
    time: int


@dataclass(frozen=True, slots=True)
class ModelArrival(ReleaseInput):
    """A package was registered."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """What became of one gate.

    Attributes:
        gate: its name.
        standing: `passed`, `failed`, or `unknown` where the figure cannot be told.
        figure, bound: what was found, and what it was held against; None: not known, or not a number.
        remedy: what to do about it; empty where it is passed.
        fixed_sample: the figure is of one sample and one look, with an interval, and not of evidence at any time.
    """

    gate: str
    standing: Standing
    figure: float | None = None
    bound: float | None = None
    remedy: str = ""
    fixed_sample: bool = False


@dataclass(frozen=True, slots=True)
class ModelEvaluation(ReleaseInput):
    """A package was judged by its gates; `again`: a sentence on when it will be once more, empty where it will not."""

    digest: str
    gates: tuple[GateAnswer, ...] = ()
    again: str = ""


@dataclass(frozen=True, slots=True)
class PersonRequest(ReleaseInput):
    """A person asks for something.

    Attributes:
        asked: what for.
        person: who asks.
        digest: of the package; `model`: its title, as whoever asks calls it.
        reason: why.
        champion: of `promote`: all the way, and not by one step.
    """

    asked: Asked
    person: str
    digest: str
    reason: str
    champion: bool = False
    model: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PairedRows(ReleaseInput):
    """How evidence stood after matured events that the candidate and its baselines scored, in the order of event time.

    A row may be of each event, or of each look at steps of stream time that follow from the events alone.

    Attributes:
        release: whose they are (`ModelRelease.identity`); those of one that is over change nothing.
        ids: of the events or looks, n: causes of what is decided there.
        times: of them, int64 [n], ascending.
        events: matured events so far, int64 [n].
        harm, safety: logarithms of the evidence, float64 [n, baselines].
        most_harm, most_safety: the largest ones so far, for looks at some events only; None: of the rows.
        offsets: by row, up to where outcomes were read, by partition; empty: not told.
    """

    release: str
    ids: Sequence[str]
    times: Ints
    events: Ints
    harm: Floats
    safety: Floats
    most_harm: Floats | None = None
    most_safety: Floats | None = None
    offsets: Sequence[Offsets] = ()


@dataclass(frozen=True, slots=True)
class StreamTime(ReleaseInput):
    """Everything up to `clock` is mature, whether or not an event was scored by both."""

    clock: int


@dataclass(frozen=True, slots=True)
class HardBreach(ReleaseInput):
    """A model broke, which needs no labels to be seen: `breaker` names it, `detail` says what happened.

    `plan`: version of the plan under which it did; 0: not told.
    """

    digest: str
    breaker: str
    detail: str
    plan: int = 0


@dataclass(frozen=True, slots=True)
class PlanSeen(ReleaseInput):
    """A plan on the plans topic, our own ones too; `actor` wrote it."""

    plan: Plan
    actor: str
    reason: str = ""
