"""How long ago the event before this one was."""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, Ints


@kernel
def seconds_since(times: Ints, values: Floats, column: int, low: int, high: int, now: int, parameter: float) -> float:
    """Seconds from the newest entry before `now`, of those with a value where there is a column."""
    for place in range(high - 1, low - 1, -1):
        if times[place] < now and (column < 0 or values[place, column] == values[place, column]):
            return float(now - times[place]) / 1000.0
    return np.nan


class TimeSinceLast(AggregateFunction):
    """Of events, or of those that a condition holds for; null where the window has none before the event's time."""

    name = "time_since_last"
    gloss = "tells the seconds since the newest event from before the event's time"
    takes_field = False
    scan = staticmethod(seconds_since)
