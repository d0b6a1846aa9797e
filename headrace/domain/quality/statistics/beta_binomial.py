"""Within which band the positive rate of a window is expected, by the windows before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import kernel
from headrace.domain.quality.statistics.proportions import Interval

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Expectation:
    """The positive rate that a window should have.

    Attributes:
        rate: the rate of all reference rows.
        band: rates, within which the window's lies with the chance asked for, if it is like the reference.
        overdispersion: how much more windows differed than chance alone makes them: the correlation of labels within a
            window, 0 where a binomial explains them.
    """

    rate: float
    band: Interval
    overdispersion: float


def expectation(rows: int, positives: Counts, of: Counts, level: float = 0.95) -> Expectation | None:
    """The band for a window of `rows` labelled rows; None without any, or without reference rows.

    The window's positives are beta-binomial: binomial about a rate of its own, which differs from the reference rate by
    what reference windows differed by, and by what the reference itself may be wrong. With one reference window (a
    training set) only the latter is known.

    Args:
        rows: labelled rows in the window that is judged.
        positives: int64, positives of each reference window.
        of: int64, labelled rows of each reference window.
        level: chance that a window like the reference lies within; at least that, as counts are whole.

    References:
        D. A. Williams: Extra-Binomial Variation in Logistic Linear Models, Applied Statistics 31 (1982), for the
        overdispersion by moments; Jeffreys' prior for the rate.
    """
    positives, of = positives[of > 0], of[of > 0]
    total = float(of.sum())
    if rows <= 0 or not total > 0:
        return None
    rate = (float(positives.sum()) + 0.5) / (total + 1)
    rest = (float((of - positives).sum()) + 0.5) / (total + 1)  # not 1 - rate, which has no digits left near 1
    spread = float(np.sum((positives - of * rate) ** 2 / (of * rate * rest)))
    free = len(of) - 1
    weight = float(np.sum((of - 1) * (1 - of / total)))
    correlation = min(0.99, max(0.0, (spread - free) / weight)) if weight > 0 else 0.0
    doubt = 1 / (total + 2)
    if correlation > 0:
        doubt *= spread / free
    concentration = 1 / min(0.999, correlation + doubt) - 1
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    low, high = _quantiles(rows, rate * concentration, rest * concentration, ends)
    return Expectation(rate, Interval(low / rows, high / rows), correlation)


@kernel("i8 f8 f8 f8[::1]")
def _quantiles(rows: int, a: float, b: float, levels: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Least counts at which the beta-binomial's distribution function reaches each of `levels` (ascending).

    Chances follow from their neighbours, outwards from the mode, so that no term underflows before it is negligible.
    """
    single_peaked = a > 1 or b > 1  # else there is a peak at either end
    mode = 0
    if a > 1:  # with b up to 1 chances grow to the end: walking up to it from below would overflow
        mode = rows if b <= 1 else min(rows, max(0, int((rows + 1) * (a - 1) / (a + b - 2))))
    first, chance, total = mode, 1.0, 1.0
    while first > 0:
        chance *= first * (rows - first + b) / ((rows - first + 1) * (first - 1 + a))
        if single_peaked and chance < 1e-18 * total:
            break
        first -= 1
        total += chance
    lowest = chance if first == 0 else chance / (first * (rows - first + b) / ((rows - first + 1) * (first - 1 + a)))
    if first == mode:
        lowest = 1.0
    chance = 1.0
    for count in range(mode, rows):
        chance *= (rows - count) * (count + a) / ((count + 1) * (rows - count - 1 + b))
        if single_peaked and chance < 1e-18 * total:
            break
        total += chance
    found = np.full(len(levels), rows)
    place, count, chance, reached = 0, first, lowest, lowest
    while place < len(levels):
        if reached >= levels[place] * total or count == rows:
            found[place] = count
            place += 1
            continue
        chance *= (rows - count) * (count + a) / ((count + 1) * (rows - count - 1 + b))
        count += 1
        reached += chance
    return found
