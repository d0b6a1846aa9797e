"""The newest value in the window."""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, Ints


@kernel
def newest(times: Ints, values: Floats, column: int, low: int, high: int, now: int, parameter: float) -> float:
    """The last that is not null, of several at one time the greatest."""
    for place in range(high - 1, low - 1, -1):
        found = values[place, column]
        if found == found:
            before = place - 1
            while before >= low and times[before] == times[place]:
                if values[before, column] > found:
                    found = values[before, column]
                before -= 1
            return float(found)
    return np.nan


class Last(AggregateFunction):
    """Of several values at one time the greatest, whatever their order."""

    name = "last"
    gloss = "tells the newest value"
    strings = True
    codes = "place"
    scan = staticmethod(newest)
