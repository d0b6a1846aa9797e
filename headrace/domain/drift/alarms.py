"""What is said of a model's columns: an alarm, its end, and how each stands now."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.domain.drift.recent_events import ChangePoint
from headrace.domain.drift.reference_bins import Floats


@dataclass(frozen=True, slots=True, eq=False)
class ColumnChange:
    """A column with part in an alarm.

    Attributes:
        column: its name.
        share: of the evidence.
        bet: what the bet stands for that won most.
        began: when, if the newest events say so.
        reference, recent: shares of the bins, float64: in the reference, and in the events since.
        edges: of the bins of numbers; None for categories.
        cyclic: whether these are in spreads from what is usual at the hour.
        levels: the categories of the first bins; behind them is one for all others, and one for null.
    """

    column: str
    share: float
    bet: str
    began: ChangePoint | None
    reference: Floats
    recent: Floats
    edges: Floats | None
    cyclic: bool = False
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Alarm:
    """The evidence reached the threshold.

    Attributes:
        event: number of the model's event at which it did, from 1.
        time: event time, milliseconds.
        evidence: M over the threshold.
        changes: the columns that have part in it, the largest first.
    """

    event: int
    time: int
    evidence: float
    changes: tuple[ColumnChange, ...]


@dataclass(frozen=True, slots=True)
class DriftEnd:
    """Columns are as in the reference again, since `event` and `time`."""

    event: int
    time: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnStanding:
    """How a column stands now.

    Attributes:
        column: its name.
        evidence: its part of M over the threshold.
        events: how many events said something of it.
        learning: of how many of the values that it takes its reference is made so far; None once it has one.
        changed: whether it has part in an alarm that is not over.
        divergence: Kullback and Leibler's, of the recent events from the reference, in nats.
        reference, recent: shares of the bins, float64; empty while it is learning.
        edges, levels: see `ColumnChange`.
    """

    column: str
    evidence: float
    events: int
    learning: int | None
    changed: bool
    divergence: float
    reference: Floats
    recent: Floats
    edges: Floats | None
    levels: tuple[str, ...] = ()
