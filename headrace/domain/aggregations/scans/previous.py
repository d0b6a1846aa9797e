"""The newest value from before the event's own time."""

from __future__ import annotations

from headrace.columnar.jit import kernel
from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, Ints
from headrace.domain.aggregations.scans.last import newest


@kernel
def newest_before(times: Ints, values: Floats, column: int, low: int, high: int, now: int, parameter: float) -> float:
    """The newest of the entries before `now`."""
    while high > low and times[high - 1] >= now:
        high -= 1
    return newest(times, values, column, low, high, now, parameter)


class Previous(AggregateFunction):
    """As `last`, without the event itself and others of its time."""

    name = "previous"
    gloss = "tells the newest value from before the event's time"
    strings = True
    codes = "place"
    scan = staticmethod(newest_before)
