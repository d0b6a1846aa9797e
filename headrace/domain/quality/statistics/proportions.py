"""How far a share of few rows may be from the truth."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """Both ends belong to it."""

    low: float
    high: float


def deviations(level: float) -> float:
    """Standard deviations to either side that hold `level` of a normal distribution.

    >>> round(deviations(0.95), 3)
    1.96
    """
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(hits: float, rows: float, level: float = 0.95) -> Interval | None:
    """Confidence interval of a share, `hits` of `rows`; None without rows, and where the hits are no part of them.

    References:
        E. B. Wilson: Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927).

    >>> [round(end, 4) for end in wilson(0, 10)]
    [0.0, 0.2775]
    """
    if not (rows > 0 and 0 <= hits <= rows):
        return None
    z, share = deviations(level), hits / rows
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    reach = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return Interval(max(0.0, middle - reach) if hits > 0 else 0.0, min(1.0, middle + reach) if hits < rows else 1.0)


def difference(a: tuple[float, float], b: tuple[float, float], level: float = 0.95) -> Interval | None:
    """Confidence interval of the share of `a` less that of `b`, each (hits, rows) of other rows; None without rows.

    References:
        R. G. Newcombe: Interval Estimation for the Difference Between Independent Proportions, Statistics in Medicine
        17 (1998), method 10.

    >>> [round(end, 4) for end in difference((56, 70), (48, 80))]
    [0.0524, 0.3339]
    """
    first, second = wilson(*a, level), wilson(*b, level)
    if first is None or second is None:
        return None
    p, q = a[0] / a[1], b[0] / b[1]
    below = math.hypot(p - first.low, second.high - q)
    above = math.hypot(first.high - p, q - second.low)
    return Interval(p - q - below, p - q + above)
