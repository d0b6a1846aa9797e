"""Sums that do not depend on the order of what is summed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

_UNIT = 1 << 1074  # the least float64 above zero is one of so many parts of 1
_HALF = 26  # bits in which mantissas are split: sums of halves of 2**26 rows stay whole numbers in float64
_MOST = 1 << _HALF
_SQUARED = 1e140


@dataclass(frozen=True, slots=True)
class ExactSum:
    """A sum of float64 values without any rounding, in units of 2**-1074; about 300 bytes at most."""

    units: int = 0

    def __add__(self, other: ExactSum) -> ExactSum:
        return ExactSum(self.units + other.units)

    def __sub__(self, other: ExactSum) -> ExactSum:
        return ExactSum(self.units - other.units)

    def __float__(self) -> float:
        """The nearest float64; infinity beyond the largest."""
        return self.mean(1)

    def mean(self, rows: int) -> float:
        """The float64 nearest to the sum by `rows`; infinity beyond the largest."""
        try:
            return self.units / (_UNIT * rows)
        except OverflowError:
            return math.inf if self.units > 0 else -math.inf

    def root_mean(self, rows: int) -> float:
        """The square root of the sum by `rows`, also where that mean itself is beyond float64; the sum is not negative.

        >>> ExactSum(_UNIT * 10**400).root_mean(1) == 1e200
        True
        """
        whole, parts = self.units, _UNIT * rows
        halves = (whole.bit_length() - parts.bit_length()) // 2
        scaled = whole / (parts << 2 * halves) if halves >= 0 else (whole << -2 * halves) / parts
        return math.ldexp(math.sqrt(scaled), halves)

    @property
    def fraction(self) -> Fraction:
        """The sum itself."""
        return Fraction(self.units, _UNIT)


ZERO = ExactSum()


def summed(values: npt.NDArray[np.float64]) -> ExactSum:
    """The sum of `values`. Raises ValueError when one is not finite.

    >>> float(summed(np.array([1e100, 1.0, -1e100])))
    1.0
    """
    if not np.all(np.isfinite(values)):
        raise ValueError("a value to sum is not finite")
    units = 0
    for start in range(0, len(values), _MOST):
        mantissas, exponents = np.frexp(values[start : start + _MOST])
        whole = np.ldexp(mantissas, 53).astype(np.int64)
        shifts = exponents.astype(np.int64) - 53 + 1074
        whole >>= np.maximum(-shifts, 0)  # subnormal values: only zeros are shifted out
        shifts = np.maximum(shifts, 0)
        high = np.bincount(shifts, (whole >> _HALF).astype(np.float64))
        low = np.bincount(shifts, (whole & (_MOST - 1)).astype(np.float64))
        for shift in np.flatnonzero((high != 0) | (low != 0)).tolist():
            units += ((int(high[shift]) << _HALF) + int(low[shift])) << shift
    return ExactSum(units)


def squares(values: npt.NDArray[np.float64]) -> ExactSum:
    """The sum of the squares of `values`, exact for those of at least 1e-140, and 0. Smaller ones may lose digits.

    Raises ValueError when one is not finite.

    A square is the nearest float64 and what that lacks (T. J. Dekker: A Floating-Point Technique for Extending the
    Available Precision, Numerische Mathematik 18, 1971).
    """
    large = np.abs(values) > _SQUARED  # few, if any: their squares or the halves of these may be beyond float64
    if large.any():
        if not np.all(np.isfinite(values)):
            raise ValueError("a value to sum is not finite")
        units = sum(int(value) ** 2 for value in values[large].tolist())
        return squares(values[~large]) + ExactSum(units * _UNIT)
    square = values * values
    scaled = values * 134_217_729.0  # 2**27 + 1
    high = scaled - (scaled - values)
    low = values - high
    return summed(square) + summed(((high * high - square) + 2 * high * low) + low * low)
