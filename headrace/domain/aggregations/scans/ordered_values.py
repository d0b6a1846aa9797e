"""The values of a window in their order, for functions that go by it."""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.aggregations.aggregate_function import Floats


@kernel
def ordered_values(values: Floats, column: int, low: int, high: int) -> Floats:
    """The values of the entries [low, high) that are not null, least first; float64 (as many as are known,)."""
    known = np.empty(high - low, np.float64)
    count = 0
    for place in range(low, high):
        value = values[place, column]
        if value == value:
            known[count] = value
            count += 1
    return np.sort(known[:count])
