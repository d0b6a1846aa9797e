"""64-bit hashes of columns: by them an event is known again, and told from another of the same id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.jit import frozen, kernel
from headrace.columnar.memory import load8, load64
from headrace.columnar.partitioner import keys_of

Codes = npt.NDArray[np.uint64]
Checks = npt.NDArray[np.uint16]
Ints = npt.NDArray[np.int64]

_STEP = np.uint64(0xC6A4A7935BD1E995)
_SHIFT = np.uint64(47)
_ONE, _TWO = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LOW, _MIDDLE, _HIGH = np.uint64(27), np.uint64(30), np.uint64(31)
_HALF = np.uint64(32)
_UNKNOWN = np.uint64(0x9E3779B97F4A7C15)
"""Stands for a null; a value whose hash is the same is one in 2**64."""


def codes_of(column: pa.Array) -> Codes:
    """A hash of each value, never 0; a null has one, too.

    Of integers (times among them) no two have the same. Of texts it is MurmurHash64A (A. Appleby, 2008), so two of them
    are taken for one with a chance of 2**-64.
    """
    if not len(column):
        return np.zeros(0, np.uint64)
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        keys = keys_of(column.fill_null("") if column.null_count else column)
        codes = np.empty(len(column), np.uint64)
        _of_texts(keys.data.ctypes.data, keys.ends, codes)
    elif pa.types.is_floating(column.type):
        numbers = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        codes = _of_numbers(frozen(np.ascontiguousarray(numbers).view(np.int64)))
    else:
        whole = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        whole = whole.cast(pa.int64())
        codes = _of_numbers(frozen((whole.fill_null(0) if whole.null_count else whole).to_numpy(zero_copy_only=False)))
    if column.null_count:
        codes[column.is_null().to_numpy(zero_copy_only=False)] = _UNKNOWN
    return codes


def checks_of(columns: Sequence[pa.Array], rows: int) -> Checks:
    """16 bits of a hash over several columns: rows that differ in one of them share it with a chance of 2**-16."""
    together = np.zeros(rows, np.uint64)
    for column in columns:
        _mix(together, codes_of(column))
    return (together >> np.uint64(48)).astype(np.uint16)


@kernel("~i8[::1]")
def _of_numbers(numbers: Ints) -> Codes:
    """The finish of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection, but for the number that would give 0."""
    codes = np.empty(len(numbers), np.uint64)
    for row in range(len(numbers)):
        value = np.uint64(numbers[row]) + _UNKNOWN
        value = (value ^ (value >> _MIDDLE)) * _ONE
        value = (value ^ (value >> _LOW)) * _TWO
        value ^= value >> _HIGH
        codes[row] = value if value != 0 else _ONE
    return codes


@kernel("i8 i8[::1] u8[::1]")
def _of_texts(data: int, ends: Ints, codes: Codes) -> None:
    for row in range(len(codes)):
        value = murmur64a(data + ends[row], ends[row + 1] - ends[row], np.uint64(0))
        codes[row] = value if value != 0 else _ONE


@kernel
def murmur64a(at: int, size: int, seed: np.uint64) -> np.uint64:
    """MurmurHash64A of the bytes at an address."""
    value = seed ^ (np.uint64(size) * _STEP)
    end = at + (size & ~7)
    while at < end:
        word = np.uint64(load64(at)) * _STEP
        word = (word ^ (word >> _SHIFT)) * _STEP
        value = (value ^ word) * _STEP
        at += 8
    rest = size & 7
    if rest:
        word = np.uint64(0)
        for step in range(rest):
            word |= np.uint64(load8(at + step)) << np.uint64(8 * step)
        value = (value ^ word) * _STEP
    value = (value ^ (value >> _SHIFT)) * _STEP
    return np.uint64(value ^ (value >> _SHIFT))


@kernel("u8[::1] u8[::1]")
def _mix(together: Codes, codes: Codes) -> None:
    for row in range(len(together)):
        value = (together[row] ^ codes[row]) * _STEP
        together[row] = value ^ (value >> _HALF)
