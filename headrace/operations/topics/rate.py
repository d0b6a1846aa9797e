"""When each record is due: an open loop, which never waits for the records before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]


class Pace(Protocol):
    """Gives times to records that are numbered from 0 in the order of sending."""

    def due(self, first: int, times: npt.NDArray[np.int64]) -> Seconds:
        """Seconds after the start at which records `first`, `first` + 1, ... with these event times (ms) are due."""


@dataclass(frozen=True, slots=True)
class Steady:
    """`rate` records a second, evenly.

    >>> Steady(4).due(2, np.zeros(3, np.int64)).tolist()
    [0.5, 0.75, 1.0]
    """

    rate: float

    def due(self, first: int, times: npt.NDArray[np.int64]) -> Seconds:
        """As `Pace.due`."""
        return (first + np.arange(len(times))) / self.rate


@dataclass(frozen=True, slots=True)
class Alongside:
    """Beside events sent at `rate` a second: a record is due when the first event of its time or later is sent.

    Attributes:
        events: int64, the events' times in ms, ascending.
        lead: seconds by which it is sent earlier, so that it is known by the time that such an event comes.

    >>> Alongside(np.array([10, 20, 30]), rate=2).due(0, np.array([20, 25])).tolist()
    [0.5, 1.0]
    """

    events: npt.NDArray[np.int64]
    rate: float
    lead: float = 0.0

    def due(self, first: int, times: npt.NDArray[np.int64]) -> Seconds:
        """As `Pace.due`."""
        due: Seconds = np.searchsorted(self.events, times) / self.rate - self.lead
        return due


@dataclass(frozen=True, slots=True)
class Replay:
    """As the events happened, `speedup` times as fast; `start` is the first one's time in milliseconds.

    >>> Replay(start=1_000, speedup=10).due(0, np.array([1_000, 6_000])).tolist()
    [0.0, 0.5]
    """

    start: int
    speedup: float

    def due(self, first: int, times: npt.NDArray[np.int64]) -> Seconds:
        """As `Pace.due`."""
        return (times - self.start) / (1000 * self.speedup)
