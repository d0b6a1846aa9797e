"""Quantiles of quantities that are never negative (latencies, sizes of errors), from buckets that merge by addition."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.errors import ContractError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ACCURACY = 0.01
LEAST = 1e-9  # what is smaller counts as zero: at most 35,000 buckets for all numbers above
_RATIO = (1 + ACCURACY) / (1 - ACCURACY)


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Counts of values by buckets whose bounds are powers of 1.01 / 0.99, so that each tells its values within 1%.

    How rows were split and in which order they were merged makes no difference.

    Attributes:
        numbers: int64, ascending: bucket i holds values in (ratio**(i - 1), ratio**i].
        counts: int64, how many.
        zeros: how many values below 1e-9.

    References:
        C. Masson, J. E. Rim, H. K. Lee: DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error
        Guarantees, PVLDB 12 (2019). Here the number of buckets needs no bound other than that of float64.
    """

    numbers: Ints
    counts: Ints
    zeros: int = 0

    @property
    def used(self) -> bool:
        """Whether there is anything to count, or was."""
        return len(self.numbers) > 0 or self.zeros != 0

    @property
    def rows(self) -> int:
        """How many values."""
        return int(self.counts.sum()) + self.zeros

    def quantile(self, share: float) -> float | None:
        """The value of rank floor(share * (rows - 1)) within 1%; None without values.

        None, too, where more was taken back than there was: counts below zero have no ranks.
        """
        if not self.rows > 0 or self.zeros < 0 or np.any(self.counts < 0):
            return None
        rank = math.floor(share * (self.rows - 1)) - self.zeros
        if rank < 0:
            return 0.0
        number = int(self.numbers[np.searchsorted(np.cumsum(self.counts), rank, side="right")])
        return float(2 * _RATIO**number / (_RATIO + 1))

    def up_to(self, value: float) -> int:
        """How many values are at most this, a bucket counted by its middle: within 1% of the value.

        >>> bucketed(np.array([0.0, 10.0, 20.0, 30.0])).up_to(25.0)
        3
        """
        middles = 2 * _RATIO ** self.numbers.astype(np.float64) / (_RATIO + 1)
        return int(self.zeros + self.counts[middles <= value].sum()) if value >= 0 else 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Buckets) and pack(self) == pack(other)

    __hash__ = None  # type: ignore[assignment]  # holds arrays


EMPTY = Buckets(np.zeros(0, np.int64), np.zeros(0, np.int64))


def bucketed(values: npt.NDArray[np.floating]) -> Buckets:
    """Buckets of a column. Raises ValueError for a value that is negative or not finite.

    >>> round(bucketed(np.array([10.0, 20.0, 30.0])).quantile(0.5))
    20
    """
    values = np.asarray(values, np.float64)
    if not np.all(np.isfinite(values) & (values >= 0)):
        raise ValueError("a value is negative or not finite")
    some = values[values >= LEAST]
    numbers, counts = np.unique(np.ceil(np.log(some) / math.log(_RATIO)).astype(np.int64), return_counts=True)
    return Buckets(numbers, counts.astype(np.int64), len(values) - len(some))


def merged(parts: Iterable[Buckets]) -> Buckets:
    """Buckets of all values of `parts`."""
    several = [part for part in parts if part.used]
    if len(several) < 2:
        return several[0] if several else EMPTY
    numbers, place = np.unique(np.concatenate([part.numbers for part in several]), return_inverse=True)
    counts = np.zeros(len(numbers), np.int64)
    np.add.at(counts, place, np.concatenate([part.counts for part in several]))
    return Buckets(numbers, counts, sum(part.zeros for part in several))


def pack(buckets: Buckets) -> bytes:
    """As bytes: about two a bucket in use."""
    return _pack(buckets) if buckets.used else _PACKED_EMPTY


def _pack(buckets: Buckets) -> bytes:
    zeros = np.array([buckets.zeros], np.int64)
    return packing.pack({"numbers": buckets.numbers, "counts": buckets.counts, "zeros": zeros})


def unpack(data: bytes) -> Buckets:
    """What `pack` took. Raises ContractError for other bytes."""
    if data == _PACKED_EMPTY:
        return EMPTY
    columns = packing.unpack(data)
    if set(columns) != {"numbers", "counts", "zeros"}:
        raise ContractError(f"buckets: packed is something else, of {', '.join(columns)}")
    numbers, counts = (columns[name].astype(np.int64, copy=False) for name in ("numbers", "counts"))
    return Buckets(numbers, counts, int(columns["zeros"][0]))


_PACKED_EMPTY = _pack(EMPTY)
"""Most groups have outcomes or predictions, and one kind of latencies."""
