"""Integers and their bytes, where bytes of equal significance stand together; decimals as integers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import kernel

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SCALES = np.array([1.0, 10.0, 100.0, 1_000.0, 10_000.0])
"""By decimal places."""


@kernel("~u1[:,::1] i8 i8 b1 i8[::1]")
def whole_of(planes: Bytes, unit: int, least: int, steps: bool, found: Ints) -> None:
    """Put integers together; all of it wraps around.

    Args:
        planes: uint8 [1, 2, 4 or 8 bytes of an integer, integers], the least significant ones first.
        unit, least: each integer is so many units above the least one.
        steps: what is told of each integer is its difference from the one before.
        found: int64 [integers], on return their values.
    """
    rows = len(found)
    if planes.shape[0] == 1:
        for at in range(rows):
            found[at] = planes[0, at]
    elif planes.shape[0] == 2:
        for at in range(rows):
            found[at] = np.int64(planes[0, at]) | np.int64(planes[1, at]) << 8
    elif planes.shape[0] == 4:
        for at in range(rows):
            low = np.int64(planes[0, at]) | np.int64(planes[1, at]) << 8
            found[at] = low | np.int64(planes[2, at]) << 16 | np.int64(planes[3, at]) << 24
    else:
        for at in range(rows):
            low = np.int64(planes[0, at]) | np.int64(planes[1, at]) << 8
            low |= np.int64(planes[2, at]) << 16 | np.int64(planes[3, at]) << 24
            high = np.int64(planes[4, at]) | np.int64(planes[5, at]) << 8
            high |= np.int64(planes[6, at]) << 16 | np.int64(planes[7, at]) << 24
            found[at] = low | high << 32
    if steps:
        total = np.int64(0)
        for at in range(rows):
            total += found[at] * unit + least
            found[at] = total
    elif unit != 1 or least != 0:
        for at in range(rows):
            found[at] = found[at] * unit + least


@kernel("~i8[::1] i8 i8 u1[:,::1]")
def planes_of(numbers: Ints, unit: int, least: int, found: Bytes) -> None:
    """Take integers apart, as `whole_of` puts them together.

    Args:
        numbers: int64 [integers], each so many units above `least`.
        found: uint8 [bytes of an integer, integers]; on return the lowest bytes of how many units.
    """
    if unit == 1:
        for plane in range(found.shape[0]):
            for at in range(len(numbers)):
                found[plane, at] = (numbers[at] - least) >> (8 * plane) & 0xFF
        return
    for at in range(len(numbers)):
        units = (numbers[at] - least) // unit
        for plane in range(found.shape[0]):
            found[plane, at] = units >> (8 * plane) & 0xFF


@kernel("~f8[::1] i8[::1]")
def decimals_of(column: Floats, found: Ints) -> int:
    """How many decimal places, 0 to 4, all numbers have, and as integers in units of the last of them; -1 where they
    are no such decimals bit for bit.
    """
    for places in range(len(_SCALES)):
        scale, at = _SCALES[places], 0
        while at < len(column):
            number = column[at]
            whole = np.rint(number * scale)
            if not abs(whole) < 2.0**53 or whole / scale != number:
                break
            if number == 0.0 and math.copysign(1.0, number) < 0.0:
                break
            found[at] = np.int64(whole)
            at += 1
        if at == len(column):
            return places
    return -1
