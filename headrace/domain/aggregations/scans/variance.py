"""How far values in the window spread: sample variance and standard deviation."""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, Ints, WindowState


@kernel
def sample_variance(times: Ints, values: Floats, column: int, low: int, high: int, now: int, parameter: float) -> float:
    """Mean first, then squares of the distances from it: nothing cancels, however large the values."""
    known, total = 0, 0.0
    for place in range(low, high):
        value = values[place, column]
        if value == value:
            known += 1
            total += value
    if known < 2:
        return np.nan
    mean, squares, rest = total / known, 0.0, 0.0
    for place in range(low, high):
        value = values[place, column]
        if value == value:
            squares += (value - mean) * (value - mean)
            rest += value - mean
    return (squares - rest * rest / known) / (known - 1)


class Var(AggregateFunction):
    """Divided by one less than the number of values, as SQL's `var_samp`; null for fewer than two.

    References:
        Chan, T. F., Golub, G. H., LeVeque, R. J. (1983), the corrected two-pass algorithm.
    """

    name = "var"
    gloss = "tells the variance of a sample; null for fewer than two values"
    scan = staticmethod(sample_variance)

    def finish(self, window: WindowState) -> Floats:
        """What the scan found, not below 0."""
        return np.maximum(window.scanned, 0.0)


class Std(AggregateFunction):
    """The square root of `var`."""

    name = "std"
    gloss = "tells the standard deviation of a sample; null for fewer than two values"
    scan = staticmethod(sample_variance)

    def finish(self, window: WindowState) -> Floats:
        """Its root."""
        return np.sqrt(np.maximum(window.scanned, 0.0))
