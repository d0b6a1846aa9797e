"""The sum of the values in the window, each the less the older it is."""

from __future__ import annotations

import numpy as np

from headrace.columnar.elementary import exp_of
from headrace.columnar.jit import kernel
from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, Ints

_LN2 = 0.6931471805599453


@kernel
def halved(times: Ints, values: Floats, column: int, low: int, high: int, now: int, parameter: float) -> float:
    """Each value times a half to the power of its age by `parameter`; those of one time are added up before."""
    total, found = 0.0, False
    place = low
    while place < high:
        end = place + 1
        while end < high and times[end] == times[place]:
            end += 1
        together = 0.0
        if end == place + 1:
            together = values[place, column]
        else:
            ordered = np.sort(values[place:end, column].copy())
            together = np.nan
            for at in range(len(ordered)):
                if ordered[at] == ordered[at]:
                    together = ordered[at] if together != together else together + ordered[at]
        if together == together:
            found = True
            total += together * exp_of(-_LN2 * (now - times[place]) / parameter)
        place = end
    return total if found else np.nan


class DecayedSum(AggregateFunction):
    """A value counts half after each half-life; ages are those at the event's time, `delay` included."""

    name = "decayed_sum"
    gloss = "adds values up, each half as much after every half-life"
    parameter = "duration"
    scan = staticmethod(halved)
