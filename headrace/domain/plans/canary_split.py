"""Which entities a canary answers: a sticky hash, so that one entity always meets one arm under one salt.

    u(entity) = XXH64(entity as utf-8, seed = XXH64(salt as utf-8, seed = 0)) >> 11, times 2**-53

The canary answers where u < share. A larger share adds entities to it and takes none away; another salt shuffles all.
XXH64 is stable and has implementations everywhere, so that anybody can tell who answers whom.

References:
    Y. Collet: xxHash, XXH64 specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.jit import frozen, kernel

Bytes = npt.NDArray[np.uint8]

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)


def shares(entities: pa.Array[Any], salt: str) -> npt.NDArray[np.float64]:
    """Each entity's place in [0, 1), float64 [n]; a canary of share s answers those below s.

    >>> shares(pa.array(["4961", "2", "4961"]), "card_fraud").round(4).tolist()
    [0.3111, 0.6364, 0.3111]
    """
    if entities.null_count:
        raise ValueError("an entity is null")
    if not len(entities):
        return np.empty(0)
    wide = entities.cast(pa.large_string())
    _, offsets, data = wide.buffers()
    starts = np.frombuffer(offsets, np.int64)[wide.offset : wide.offset + len(wide) + 1]
    letters = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    return _places(frozen(letters), frozen(starts), xxh64(salt.encode(), 0))


def xxh64(value: bytes, seed: int) -> np.uint64:
    """The hash of one value.

    >>> hex(xxh64(b"abc", 0))
    '0x44bc2cf5ad770999'
    """
    letters = np.frombuffer(value, np.uint8)
    return np.uint64(_hash(letters, 0, len(letters), np.uint64(seed)))


@kernel("~u1[::1] ~i8[::1] u8")
def _places(letters: Bytes, starts: npt.NDArray[np.int64], seed: np.uint64) -> npt.NDArray[np.float64]:
    places = np.empty(len(starts) - 1, np.float64)
    for row in range(len(places)):
        places[row] = (_hash(letters, starts[row], starts[row + 1], seed) >> np.uint64(11)) * 2.0**-53
    return places


@kernel("~u1[::1] i8 i8 u8")
def _hash(letters: Bytes, start: int, stop: int, seed: np.uint64) -> np.uint64:
    place = start
    if stop - start >= 32:
        one, two, three, four = seed + P1 + P2, seed + P2, seed, seed - P1
        while place + 32 <= stop:
            one = _round(one, _word(letters, place, 8))
            two = _round(two, _word(letters, place + 8, 8))
            three = _round(three, _word(letters, place + 16, 8))
            four = _round(four, _word(letters, place + 24, 8))
            place += 32
        value = _turned(one, 1) + _turned(two, 7) + _turned(three, 12) + _turned(four, 18)
        for lane in (one, two, three, four):
            value = (value ^ _round(np.uint64(0), lane)) * P1 + P4
    else:
        value = seed + P5
    value += np.uint64(stop - start)
    while place + 8 <= stop:
        value = _turned(value ^ _round(np.uint64(0), _word(letters, place, 8)), 27) * P1 + P4
        place += 8
    if place + 4 <= stop:
        value = _turned(value ^ (_word(letters, place, 4) * P1), 23) * P2 + P3
        place += 4
    while place < stop:
        value = _turned(value ^ (np.uint64(letters[place]) * P5), 11) * P1
        place += 1
    value = (value ^ (value >> np.uint64(33))) * P2
    value = (value ^ (value >> np.uint64(29))) * P3
    return np.uint64(value ^ (value >> np.uint64(32)))


@kernel
def _word(letters: Bytes, place: int, count: int) -> np.uint64:
    """So many bytes as a little-endian number."""
    word = np.uint64(0)
    for i in range(count):
        word |= np.uint64(letters[place + i]) << np.uint64(8 * i)
    return word


@kernel
def _turned(value: np.uint64, bits: int) -> np.uint64:
    return np.uint64((value << np.uint64(bits)) | (value >> np.uint64(64 - bits)))


@kernel
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return np.uint64(_turned(lane + word * P2, 31) * P1)
