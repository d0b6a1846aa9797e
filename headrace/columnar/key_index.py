"""Entity keys to dense slot numbers, a batch at a time."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.jit import frozen, kernel
from headrace.columnar.partitioner import Keys

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

FREE, GONE = -1, -2


class EntityIndex:
    """Open-addressing table from keys to dense slots; keys are compared whole, never by hash alone.

    Slots that `release` gave back are handed out again, lowest first when several came back together. Costs about
    45 bytes an entity, and its key.
    """

    def __init__(self) -> None:
        self._table = np.full(64, FREE, np.int32)
        self._hashes = np.zeros(16, np.uint64)
        self._places = np.zeros(16, np.int64)
        self._sizes = np.full(16, -1, np.int32)
        self._arena = np.zeros(256, np.uint8)
        self._state = np.zeros(4, np.int64)  # slots ever used, arena bytes used, table places not free, free slots
        self._spare = np.zeros(16, np.int64)

    def __len__(self) -> int:
        return int(self._state[0] - self._state[3])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self._table, self._hashes, self._places, self._sizes, self._arena, self._spare)
        return sum(array.nbytes for array in arrays)

    def slots(self, keys: Keys) -> Ints:
        """The slot of every key, new ones for keys not seen yet; int64 (rows,)."""
        rows = len(keys.ends) - 1
        slots = np.empty(rows, np.int64)
        row, data = 0, frozen(keys.data)
        while True:
            row = _assign(
                data, keys.ends, row, slots, self._table, self._hashes, self._places, self._sizes, self._arena,
                self._spare, self._state,
            )  # fmt: skip  # rows, then the table
            if row == rows:
                return slots
            self._grow(int(keys.ends[row + 1] - keys.ends[row]))

    def release(self, slots: Ints) -> None:
        """Forget the keys of the named slots (those that hold none are left alone)."""
        slots = slots[slots < self._state[0]]
        slots = slots[self._sizes[slots] >= 0][::-1]
        if len(slots):
            _release(slots, self._table, self._hashes, self._sizes, self._spare, self._state)

    def keys(self, slots: Ints) -> Keys:
        """The keys of the named slots."""
        sizes = self._sizes[slots].astype(np.int64)
        ends = np.zeros(len(slots) + 1, np.int64)
        np.cumsum(sizes, out=ends[1:])
        data = np.empty(int(ends[-1]), np.uint8)
        _gather(self._arena, self._places[slots], ends, data)
        return Keys(data, ends)

    def live(self) -> Ints:
        """All slots that hold a key, ascending."""
        return np.flatnonzero(self._sizes[: self._state[0]] >= 0)

    def _grow(self, size: int) -> None:
        """Make every array large enough for one more key of `size` bytes, leaving out what was released."""
        used = int(self._state[0])
        live = self.live()
        kept = self.keys(live)
        slots = max(16, used + used // 4 + 1)
        self._hashes = np.resize(self._hashes, slots)
        self._sizes = np.concatenate([self._sizes[:used], np.full(slots - used, -1, np.int32)])
        self._spare = np.concatenate([self._spare[: self._state[3]], np.zeros(slots - self._state[3], np.int64)])
        self._places = np.zeros(slots, np.int64)
        self._places[live] = kept.ends[:-1]
        self._arena = np.zeros(len(kept.data) + len(kept.data) // 4 + size + 256, np.uint8)
        self._arena[: len(kept.data)] = kept.data
        self._state[1] = len(kept.data)
        self._state[2] = len(live)
        self._table = np.full(1 << max(6, int(2 * slots - 1).bit_length()), FREE, np.int32)
        _refill(live, self._hashes, self._table)


def strings_of(keys: Keys) -> pa.StringArray:
    """Keys as an Arrow string array; the bytes must be utf-8."""
    return cast(pa.StringArray, _array_of(keys, pa.string()))


def integers_of(keys: Keys) -> pa.Int64Array:
    """Keys that came from an integer column, as integers again."""
    return pa.array(keys.data.view("<i8"), pa.int64())


def _array_of(keys: Keys, kind: pa.DataType) -> pa.Array:
    ends = keys.ends.astype(np.int32)
    return pa.Array.from_buffers(kind, len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(keys.data)])


@kernel
def _hash(data: Bytes, start: int, stop: int) -> np.uint64:
    value = np.uint64(0xCBF29CE484222325)
    for place in range(start, stop):
        value = (value ^ np.uint64(data[place])) * np.uint64(0x100000001B3)
    value ^= value >> np.uint64(32)
    value *= np.uint64(0x9E3779B97F4A7C15)
    return value ^ (value >> np.uint64(29))


@kernel(
    "~u1[::1] i8[::1] i8 i8[::1] i4[::1] u8[::1] i8[::1] i4[::1] u1[::1] i8[::1] i8[::1]",
)
def _assign(
    data: Bytes, ends: Ints, row: int, slots: Ints, table: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64],
    places: Ints, sizes: npt.NDArray[np.int32], arena: Bytes, spare: Ints, state: Ints,
) -> int:  # fmt: skip  # as in the caller
    mask = np.uint64(len(table) - 1)
    for at in range(row, len(ends) - 1):
        start, stop = ends[at], ends[at + 1]
        size = stop - start
        code = _hash(data, start, stop)
        place = code & mask
        found, hole = np.int64(-1), np.int64(-1)
        while table[place] != FREE:
            slot = table[place]
            if slot == GONE:
                if hole < 0:
                    hole = np.int64(place)
            elif hashes[slot] == code and sizes[slot] == size:
                same = True
                for step in range(size):
                    if arena[places[slot] + step] != data[start + step]:
                        same = False
                        break
                if same:
                    found = np.int64(slot)
                    break
            place = (place + np.uint64(1)) & mask
        if found < 0:
            full = state[3] == 0 and state[0] == len(hashes)
            if full or state[1] + size > len(arena) or 2 * (state[2] + 1) > len(table):
                return at
            if state[3] > 0:
                state[3] -= 1
                found = spare[state[3]]
            else:
                found = state[0]
                state[0] += 1
            if hole >= 0:
                place = np.uint64(hole)
            else:
                state[2] += 1
            table[place] = found
            hashes[found] = code
            sizes[found] = size
            places[found] = state[1]
            for step in range(size):
                arena[state[1] + step] = data[start + step]
            state[1] += size
        slots[at] = found
    return len(ends) - 1


@kernel("i8[::1] i4[::1] u8[::1] i4[::1] i8[::1] i8[::1]", "i8[:] i4[::1] u8[::1] i4[::1] i8[::1] i8[::1]")
def _release(
    slots: Ints, table: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64], sizes: npt.NDArray[np.int32],
    spare: Ints, state: Ints,
) -> None:  # fmt: skip  # as in the caller
    mask = np.uint64(len(table) - 1)
    for slot in slots:
        place = hashes[slot] & mask
        while table[place] != slot:
            place = (place + np.uint64(1)) & mask
        table[place] = GONE
        sizes[slot] = -1
        spare[state[3]] = slot
        state[3] += 1


@kernel("i8[::1] u8[::1] i4[::1]")
def _refill(live: Ints, hashes: npt.NDArray[np.uint64], table: npt.NDArray[np.int32]) -> None:
    mask = np.uint64(len(table) - 1)
    for slot in live:
        place = hashes[slot] & mask
        while table[place] != FREE:
            place = (place + np.uint64(1)) & mask
        table[place] = slot


@kernel("u1[::1] i8[::1] i8[::1] u1[::1]")
def _gather(arena: Bytes, places: Ints, ends: Ints, data: Bytes) -> None:
    for at in range(len(places)):
        for step in range(ends[at + 1] - ends[at]):
            data[ends[at] + step] = arena[places[at] + step]
