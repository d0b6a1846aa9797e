"""How far quantities that were predicted are from those that came."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headrace.domain.quality.statistics import quantiles
from headrace.domain.quality.statistics.exact_sum import ZERO, ExactSum, squares, summed
from headrace.domain.quality.statistics.quantiles import Buckets, bucketed
from headrace.errors import ContractError

_HEAD = struct.Struct("<4sq10H")  # magic, rows, then of each sum its zero bits and its bytes
_MAGIC = b"hre\x01"


@dataclass(frozen=True, slots=True)
class Errors:
    """Exact sums over rows of error = score - label; merging gives the same bits in any order.

    Figures are None without rows.
    """

    rows: int = 0
    error: ExactSum = ZERO
    absolute: ExactSum = ZERO
    squared: ExactSum = ZERO
    label: ExactSum = ZERO
    label_squared: ExactSum = ZERO
    sizes: Buckets = field(default_factory=lambda: quantiles.EMPTY)

    @property
    def bias(self) -> float | None:
        """Mean error: above zero when scores are too high."""
        return self.error.mean(self.rows) if self.rows > 0 else None

    @property
    def mean_absolute(self) -> float | None:
        """As scikit-learn's `mean_absolute_error`."""
        return self.absolute.mean(self.rows) if self.rows > 0 else None

    @property
    def root_mean_square(self) -> float | None:
        """As `root_mean_squared_error`."""
        return self.squared.root_mean(self.rows) if self.rows > 0 and self.squared.units >= 0 else None

    @property
    def median_absolute(self) -> float | None:
        """Size of the error that half the rows do not exceed, within 1% (the lower of two middle ones)."""
        return self.sizes.quantile(0.5)

    @property
    def r2(self) -> float | None:
        """Share of the labels' variance that scores explain, as `r2_score`; None where all labels are the same.

        None, too, where it is below all float64: errors beyond measure, of labels that hardly differ.
        """
        if not self.rows > 0:
            return None
        variation = self.label_squared.fraction - self.label.fraction**2 / self.rows
        try:
            return float(1 - self.squared.fraction / variation) if variation > 0 else None
        except OverflowError:
            return None


def measured(scores: npt.NDArray[np.floating], labels: npt.NDArray[np.floating]) -> Errors:
    """Sums over rows given as columns; rows whose label is NaN are left out.

    Raises ValueError for a score or label that is infinite, and for a score that is no number.
    """
    known = ~np.isnan(labels)
    truth = np.asarray(labels, np.float64)[known]
    error = np.asarray(scores, np.float64)[known] - truth
    size = np.abs(error)
    return Errors(
        len(truth), summed(error), summed(size), squares(error), summed(truth), squares(truth), bucketed(size)
    )


def merged(parts: Iterable[Errors]) -> Errors:
    """Sums over the rows of all parts."""
    several = list(parts)
    return Errors(
        sum(part.rows for part in several),
        sum((part.error for part in several), ZERO),
        sum((part.absolute for part in several), ZERO),
        sum((part.squared for part in several), ZERO),
        sum((part.label for part in several), ZERO),
        sum((part.label_squared for part in several), ZERO),
        quantiles.merged(part.sizes for part in several),
    )


def pack(errors: Errors) -> bytes:
    """As bytes: about a hundred, and the buckets."""
    head, body = [], []
    for total in (errors.error, errors.absolute, errors.squared, errors.label, errors.label_squared):
        zeros = max(0, (total.units & -total.units).bit_length() - 1)
        short = total.units >> zeros
        body.append(short.to_bytes(short.bit_length() // 8 + 1, "little", signed=True))
        head += [zeros, len(body[-1])]
    return _HEAD.pack(_MAGIC, errors.rows, *head) + b"".join(body) + quantiles.pack(errors.sizes)


def unpack(data: bytes) -> Errors:
    """What `pack` took, bit for bit. Raises ContractError for other bytes."""
    if len(data) < _HEAD.size or data[:4] != _MAGIC:
        raise ContractError(f"sums of errors: wants {_MAGIC!r}, is {data[:4]!r} of {len(data)} bytes")
    _, rows, *head = _HEAD.unpack_from(data)
    sums, start = [], _HEAD.size
    for zeros, size in zip(head[::2], head[1::2], strict=True):
        sums.append(ExactSum(int.from_bytes(data[start : start + size], "little", signed=True) << zeros))
        start += size
    error, absolute, squared, label, label_squared = sums
    return Errors(rows, error, absolute, squared, label, label_squared, quantiles.unpack(data[start:]))
