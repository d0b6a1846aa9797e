"""The oldest value in the window."""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, Ints


@kernel
def oldest(times: Ints, values: Floats, column: int, low: int, high: int, now: int, parameter: float) -> float:
    """The first that is not null, of several at one time the least."""
    for place in range(low, high):
        found = values[place, column]
        if found == found:
            after = place + 1
            while after < high and times[after] == times[place]:
                if values[after, column] < found:
                    found = values[after, column]
                after += 1
            return float(found)
    return np.nan


class First(AggregateFunction):
    """Of several values at one time the least, whatever their order."""

    name = "first"
    gloss = "tells the oldest value"
    strings = True
    codes = "place"
    scan = staticmethod(oldest)
