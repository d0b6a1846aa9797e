"""How alike two models rank the same rows."""

from __future__ import annotations

import math

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.quality.comparison.pairs import Ints, Pair, midranks


def spearman(pair: Pair) -> float | None:
    """Spearman's rho: the correlation of midranks; None when a model gives all rows the same score.

    Equals `scipy.stats.spearmanr`.
    """
    if not _varied(pair):
        return None
    a, b = midranks(pair.a) - (len(pair) + 1) / 2, midranks(pair.b) - (len(pair) + 1) / 2
    return float(np.dot(a, b) / math.sqrt(float(np.dot(a, a) * np.dot(b, b))))


def kendall(pair: Pair) -> float | None:
    """Kendall's tau-b: pairs of rows in the same order less those in the opposite one, ties accounted for.

    In n log n steps; None as `spearman`. Equals `scipy.stats.kendalltau`.

    References:
        W. R. Knight: A Computer Method for Calculating Kendall's Tau with Ungrouped Data, JASA 61 (1966).
    """
    if not _varied(pair):
        return None
    order = np.lexsort((pair.b, pair.a))
    a = np.unique(pair.a, return_inverse=True)[1][order].astype(np.int64)
    b = np.unique(pair.b, return_inverse=True)[1][order].astype(np.int64)
    pairs = len(pair) * (len(pair) - 1) // 2
    tied_a, tied_b = _tied(a), _tied(b)
    tied_both = _tied(np.unique(np.stack([a, b]), axis=1, return_inverse=True)[1].reshape(-1))
    apart = pairs - tied_a - tied_b + tied_both - 2 * int(_inversions(b))
    return apart / math.sqrt((pairs - tied_a) * (pairs - tied_b))


def _varied(pair: Pair) -> bool:
    return len(pair) > 1 and bool(np.any(pair.a != pair.a[0])) and bool(np.any(pair.b != pair.b[0]))


def _tied(places: Ints) -> int:
    """Pairs of equal values."""
    sizes = np.bincount(places).astype(np.int64)
    return int(np.sum(sizes * (sizes - 1) // 2))


@kernel("i8[::1]")
def _inversions(values: Ints) -> int:
    """Pairs of which the earlier is greater, counted while merging ever longer sorted runs."""
    size, width, count = len(values), 1, 0
    source, target = values.copy(), np.empty_like(values)
    while width < size:
        for low in range(0, size, 2 * width):
            middle, high = min(low + width, size), min(low + 2 * width, size)
            left, right = low, middle
            for place in range(low, high):
                if left < middle and (right >= high or source[left] <= source[right]):
                    target[place] = source[left]
                    left += 1
                else:
                    target[place] = source[right]
                    right += 1
                    count += middle - left
        source, target = target, source
        width *= 2
    return count
