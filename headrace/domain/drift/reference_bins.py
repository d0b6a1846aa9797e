"""A feature's reference: its rows counted in a few bins, which every later value falls into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.jit import frozen, kernel
from headrace.errors import ContractError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
_BELOW = (0.001, 0.004, 0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.37)
QUANTILES = (*_BELOW, 0.5, *(round(1 - share, 3) for share in reversed(_BELOW)))
"""Shares below the edges: so many that a wider spread is seen in 97% of the events that exact values would take."""
ENOUGH = 25
"""Rows of the reference that must lie beyond a quantile, for it to be told from chance."""
MANY = 0.01
"""The share of rows with the least or largest number from which on nothing is thought to lie beyond."""
FARTHEST = 1e300
"""Beyond such numbers nothing is watched for."""
LEAST = 1e-6
"""By how much a constant must change, of its own size."""
TOP_LEVELS = 10
TINY = 1e-12
"""The least share of a bin."""
NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceBins:
    """Bins of a feature with what the reference holds in each; the last is for missing values.

    Attributes:
        edges: float64, ascending: bin i of a number holds values in (edges[i - 1], edges[i]]; None for categories.
        levels: the categories of the first bins, the most frequent first; behind them is one for all others.
        codes: int64, of each level the number that it comes as; None where categories come as texts.
        counts: int64, rows of the reference by bin.
    """

    counts: Ints
    edges: Floats | None = None
    levels: tuple[str, ...] = ()
    codes: Ints | None = None

    @property
    def rows(self) -> int:
        """Rows of the reference."""
        return int(self.counts.sum())

    @property
    def frequencies(self) -> Floats:
        """Of each bin, float64, above 0 and summing to 1: half a row is added to each, for what was not met yet."""
        found: Floats = (self.counts + 0.5) / (self.counts + 0.5).sum()
        return found

    @property
    def normal_scores(self) -> Floats | None:
        """Mean of a standard normal over each bin's share of the numbers; 0 for missing values. None for categories.

        >>> bins = numeric_bins(np.arange(1000.0))
        >>> scores = bins.normal_scores
        >>> round(float(scores[0]), 1), round(float(scores[-2]), 1), abs(float(scores @ bins.frequencies)) < 0.01
        (-2.2, 2.2, True)
        """
        if self.edges is None:
            return None
        shares = self.frequencies[:-1] / self.frequencies[:-1].sum()
        ends = np.clip(np.cumsum(shares), 0.0, 1.0)[:-1]
        density = np.array([0.0, *(NORMAL.pdf(NORMAL.inv_cdf(float(end))) for end in ends), 0.0])
        return np.append((density[:-1] - density[1:]) / shares, 0.0)

    def normal(self, mean: float, deviation: float) -> Floats:
        """The frequencies of numbers whose normal scores are no longer standard normal: float64, summing to 1.

        >>> bins = numeric_bins(np.arange(1000.0))
        >>> np.allclose(bins.normal(0.0, 1.0), bins.frequencies)
        True
        >>> round(float(bins.normal(1.0, 1.0) @ bins.normal_scores), 2)
        0.95
        """
        p = self.frequencies
        ends = np.clip(np.cumsum(p[:-1]) / p[:-1].sum(), 0.0, 1.0)[:-1]
        below = [NORMAL.cdf((NORMAL.inv_cdf(float(end)) - mean) / deviation) for end in ends]
        shares = np.diff(np.array([0.0, *below, 1.0]))
        return np.append(np.maximum(shares, TINY) * (1 - p[-1]), p[-1])

    def place(self, values: pa.Array) -> Bytes:
        """The bin of each value, uint8 of the same length.

        Raises:
            ContractError: numbers where the reference has categories, or the other way about.
        """
        kind = values.type
        numeric = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
        if numeric != (self.edges is not None or self.codes is not None):
            raise ContractError(f"values of type {kind} are not of the kind that the reference has bins for")
        missing = len(self.counts) - 1
        if self.edges is not None:
            found = np.empty(len(values), np.uint8)
            numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
            _place(frozen(numbers), self.edges, missing, found)
            return found
        if self.codes is not None:
            return self._placed(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
        index = pc.index_in(values.cast(pa.string()), value_set=pa.array(self.levels, pa.string()))
        places = index.fill_null(len(self.levels)).to_numpy(zero_copy_only=False)
        return np.where(values.is_null().to_numpy(zero_copy_only=False), missing, places).astype(np.uint8)

    def _placed(self, numbers: Floats) -> Bytes:
        """The bin of each number that stands for a category."""
        assert self.codes is not None, "asked where there are some"
        order = np.argsort(self.codes)
        ascending = self.codes[order]
        at = np.minimum(np.searchsorted(ascending, numbers), max(len(ascending) - 1, 0))
        found = np.full(len(numbers), len(self.codes), np.int64)
        if len(ascending):
            found = np.where(ascending[at] == numbers, order[at], found)
        return np.where(np.isnan(numbers), len(self.counts) - 1, found).astype(np.uint8)


def numeric_bins(values: Floats, enough: int = ENOUGH) -> ReferenceBins:
    """Bins of numbers (float64, NaN where missing) by quantiles of them, each with enough rows beyond it.

    Bounds are halfway from a quantile to the next number that is there: where there are few numbers, such as scores of
    a small tree, what differs from one of them in its last digits is in the same bin. Where many rows have the least or
    the largest number, what lies beyond it has a bin of its own: a constant may change.

    Args:
        enough: rows that must lie beyond a quantile.

    >>> bins = numeric_bins(np.array([0.0, 1.0] * 50 + [np.nan]))
    >>> bins.edges.tolist(), bins.counts.tolist()
    ([-0.5, 0.5, 1.5], [0, 50, 50, 0, 1])
    """
    known = np.sort(values[~np.isnan(values)])
    beyond = enough / max(len(known), 1)
    shares = [share for share in QUANTILES if beyond <= share <= 1 - beyond]
    edges = between(known, shares) if shares else np.empty(0)
    edges = np.unique(np.concatenate([-_beyond(-known[::-1])[::-1], edges, _beyond(known)]))
    places = np.searchsorted(edges, known, side="left")
    counts = np.bincount(places, minlength=len(edges) + 1)
    return ReferenceBins(np.append(counts, len(values) - len(known)).astype(np.int64), edges=edges)


def between(known: Floats, shares: Sequence[float] | Floats) -> Floats:
    """Bounds halfway from quantiles of ascending numbers to the next number that is there, float64, ascending.

    >>> between(np.array([0.0, 1.0, 1.0, 3.0]), [0.25, 0.5, 1.0]).tolist()
    [0.5, 2.0]
    """
    quantiles = np.unique(np.quantile(known, shares, method="inverted_cdf"))
    beyond = np.searchsorted(known, quantiles, side="right")
    quantiles, beyond = quantiles[beyond < len(known)], beyond[beyond < len(known)]
    return np.unique(quantiles / 2 + known[beyond] / 2)


def halved_bins(values: Floats) -> tuple[ReferenceBins, Ints]:
    """Bins made by every other number (float64, NaN where missing), with the counts of all; of these, int64, those of
    the numbers that had no part in making them, by which something can be proved.

    >>> bins, others = halved_bins(np.arange(1000.0))
    >>> bins.rows, int(others.sum())
    (1000, 500)
    """
    made = numeric_bins(values[::2], ENOUGH // 2 + 1)
    others = np.bincount(made.place(pa.array(values[1::2])), minlength=len(made.counts)).astype(np.int64)
    return ReferenceBins(made.counts + others, made.edges), others


def _beyond(known: Floats) -> Floats:
    """An edge above the largest of ascending numbers, where many rows have it; none else."""
    largest = known[-1:]
    below = int(np.searchsorted(known, known[-1])) if len(known) else 0
    if len(known) - below < max(ENOUGH, MANY * len(known)) or abs(known[-1]) > FARTHEST:
        return np.empty(0)
    return largest + ((largest - known[below - 1]) / 2 if below else np.maximum(np.abs(largest), LEAST) * LEAST)


def category_bins(values: pa.Array) -> ReferenceBins:
    """Bins of categories: the most frequent ones, one for all others, one for missing values.

    >>> bins = category_bins(pa.array(["a", "b", "a", None]))
    >>> bins.levels, bins.counts.tolist()
    (('a', 'b'), [2, 1, 0, 1])
    """
    counted = sorted(
        ((row["counts"], row["values"]) for row in values.cast(pa.string()).drop_null().value_counts().to_pylist()),
        key=lambda pair: (-pair[0], pair[1]),
    )
    top = counted[:TOP_LEVELS]
    others = sum(count for count, _ in counted[TOP_LEVELS:])
    counts = np.array([*(count for count, _ in top), others, values.null_count], np.int64)
    return ReferenceBins(counts, levels=tuple(level for _, level in top))


def code_bins(numbers: Floats, name: Callable[[int], str]) -> ReferenceBins:
    """Bins of categories that come as numbers (float64, NaN where missing): see `category_bins`.

    Args:
        name: how people read a number.

    >>> bins = code_bins(np.array([2.0, 0.0, 2.0, np.nan]), "abc".__getitem__)
    >>> bins.levels, bins.counts.tolist(), bins.place(pa.array([0.0, 1.0, np.nan])).tolist()
    (('c', 'a'), [2, 1, 0, 1], [1, 2, 3])
    """
    known = numbers[~np.isnan(numbers)]
    codes, counts = np.unique(known.astype(np.int64), return_counts=True)
    order = np.lexsort((codes, -counts))
    top, others = order[:TOP_LEVELS], order[TOP_LEVELS:]
    found = np.array([*counts[top], counts[others].sum(), len(numbers) - len(known)], np.int64)
    return ReferenceBins(found, levels=tuple(name(code) for code in codes[top].tolist()), codes=codes[top])


@kernel("~f8[::1] f8[::1] i8 u1[::1]")
def _place(numbers: Floats, edges: Floats, missing: int, found: Bytes) -> None:
    for row in range(len(numbers)):
        number, place = numbers[row], 0
        for edge in edges:
            place += edge < number
        found[row] = place if number == number else missing
