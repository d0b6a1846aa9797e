"""Which partition a key belongs to, as Kafka's clients choose it, a batch at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.jit import frozen, kernel

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_SEED, _STEP = 0x9747B28C, 0x5BD1E995
"""Constants of murmur2 in Kafka's clients (org.apache.kafka.common.utils.Utils)."""


class Keys(NamedTuple):
    """Keys of a batch: key i is `data[ends[i]:ends[i + 1]]`; `ends` int64 (rows + 1,)."""

    data: Bytes
    ends: Ints


def keys_of(column: pa.Array) -> Keys:
    """The bytes of a string, binary or integer column without nulls: utf-8, as they are, or 8 bytes little-endian."""
    if pa.types.is_integer(column.type):
        numbers = column.to_numpy(zero_copy_only=False).astype("<i8", copy=False)
        return Keys(
            frozen(np.ascontiguousarray(numbers).view(np.uint8)), np.arange(len(column) + 1, dtype=np.int64) * 8
        )
    width = np.int64 if pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type) else np.int32
    _, ends, data = column.buffers()
    offsets = np.frombuffer(ends, width, len(column) + 1, column.offset * np.dtype(width).itemsize)
    raw = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    return Keys(frozen(raw), offsets.astype(np.int64))


def partitions_of(column: pa.Array, partitions: int) -> npt.NDArray[np.int32]:
    """Kafka's partition of each key, as Java's default partitioner and librdkafka's `murmur2` choose it.

    >>> partitions_of(pa.array(["596", "abc"]), 4).tolist()
    [0, 3]
    """
    data, ends = keys_of(column)
    return _partitions(data, ends, partitions)


def murmur2(key: bytes) -> int:
    """Kafka's murmur2 of one key, unsigned.

    >>> murmur2(b"21") == 0xFFFFFFFF & -973932308
    True
    """
    data = np.frombuffer(key, np.uint8) if key else frozen(np.zeros(0, np.uint8))
    return int(_murmur2(data, 0, len(key)))


@kernel("~u1[::1] i8 i8")
def _murmur2(data: Bytes, start: int, stop: int) -> np.int64:
    size = stop - start
    full = np.int64(0xFFFFFFFF)
    step = np.int64(_STEP)
    value = (np.int64(_SEED) ^ size) & full
    place = start
    while place + 4 <= stop:
        word = (
            np.int64(data[place])
            | np.int64(data[place + 1]) << 8
            | np.int64(data[place + 2]) << 16
            | np.int64(data[place + 3]) << 24
        )
        word = (word * step) & full
        word ^= word >> 24
        word = (word * step) & full
        value = ((value * step) & full) ^ word
        place += 4
    rest = stop - place
    if rest >= 3:
        value ^= np.int64(data[place + 2]) << 16
    if rest >= 2:
        value ^= np.int64(data[place + 1]) << 8
    if rest >= 1:
        value = ((value ^ np.int64(data[place])) * step) & full
    value ^= value >> 13
    value = (value * step) & full
    return value ^ (value >> 15)


@kernel("~u1[::1] i8[::1] i8")
def _partitions(data: Bytes, ends: Ints, partitions: int) -> npt.NDArray[np.int32]:
    chosen = np.empty(len(ends) - 1, np.int32)
    for row in range(len(chosen)):
        chosen[row] = (_murmur2(data, ends[row], ends[row + 1]) & 0x7FFFFFFF) % partitions
    return chosen
