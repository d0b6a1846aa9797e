"""An upper bound of a share that was counted."""

from __future__ import annotations

import math

LEVEL = 0.01
"""The chance that the share in a reference is above its bound."""


def upper_bound(refused: int, records: int) -> float:
    """A share that is exceeded in `LEVEL` of such counts at most: n KL(k / n, p) = ln(1 / `LEVEL`) (Chernoff).

    >>> round(upper_bound(0, 5_000), 5), round(upper_bound(50, 5_000), 4)
    (0.00092, 0.0149)
    """
    seen = refused / records
    low, high = seen, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        there = seen * math.log(seen / middle) if seen > 0 else 0.0
        gone = (1 - seen) * math.log((1 - seen) / (1 - middle)) if seen < 1 and middle < 1 else 0.0
        low, high = (middle, high) if records * (there + gone) < -math.log(LEVEL) else (low, middle)
    return low
