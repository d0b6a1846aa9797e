"""The value that the window holds most often."""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, Ints
from headrace.domain.aggregations.scans.ordered_values import ordered_values


@kernel
def most_frequent(times: Ints, values: Floats, column: int, low: int, high: int, now: int, parameter: float) -> float:
    """The longest run of the sorted values; of several as long the least."""
    known = ordered_values(values, column, low, high)
    found, longest, run = np.nan, 0, 0
    for place in range(len(known)):
        run = run + 1 if place > 0 and known[place] == known[place - 1] else 1
        if run > longest:
            found, longest = known[place], run
    return found


class Top(AggregateFunction):
    """Of values that are as frequent the least; of categories the place, from 0, among those that a rule lists."""

    name = "top"
    gloss = "tells the most frequent value"
    strings = True
    codes = "place"
    scan = staticmethod(most_frequent)
