"""The value below which a share of the values in the window lies."""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, Ints
from headrace.domain.aggregations.scans.ordered_values import ordered_values


@kernel
def interpolated(times: Ints, values: Floats, column: int, low: int, high: int, now: int, parameter: float) -> float:
    """Sort the values that are not null, and take the place `parameter` between the first and the last."""
    known = ordered_values(values, column, low, high)
    if len(known) == 0:
        return np.nan
    at = parameter * (len(known) - 1)
    below = int(at)
    if below + 1 >= len(known) or known[below] == known[below + 1]:
        return float(known[below])
    return float(known[below] + (at - below) * (known[below + 1] - known[below]))


class Quantile(AggregateFunction):
    """Exact, as SQL's `percentile_cont`: every value of the window is there, so no sketch is needed."""

    name = "quantile"
    gloss = "tells the value below which a share of the values lies"
    parameter = "share"
    scan = staticmethod(interpolated)
