"""Avro records to Arrow columns: the buffers that the reading kernel fills, and the arrays made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.avro import kernels
from headrace.columnar.avro.program import Slot, assemble
from headrace.columnar.avro.types import Enum, Leaf, Record, Unread, arrow_field

Ints = npt.NDArray[np.int64]


class Joined:
    """The records of a batch, one behind the other, and what has become of each.

    Attributes:
        base, offsets: addresses of the bytes and of int32 [n + 1] where each record begins.
        status: uint8 [n], one of the kernels' verdicts.
        ids: int64 [n], the schema id in the header of each record that has one.
        failed: int64 [n], where records of a bad status went wrong: instruction << 32 | byte.
    """

    def __init__(self, values: pa.BinaryArray, max_bytes: int) -> None:
        validity, offsets, data = values.buffers()
        self.values = values
        self.n = len(values)
        self.base = data.address if data is not None else offsets.address
        self.offsets = offsets.address + 4 * values.offset
        self.status = np.zeros(self.n, np.uint8)
        self.ids = np.full(self.n, -1, np.int64)
        self.failed = np.zeros(self.n, np.int64)
        if validity is not None and values.null_count:
            self.status[values.is_null().to_numpy(zero_copy_only=False)] = kernels.NULL_VALUE
        kernels.headers(self.base, self.offsets, self.n, max_bytes, self.status, self.ids)


@dataclass(slots=True)
class _Buffers:
    """Arrays that grow with the items of their scope, and the table of their addresses."""

    arrays: list[npt.NDArray[np.integer]]
    table: Ints
    capacity: Ints
    count: Ints


class Reading:
    """Reads records that were written with one schema."""

    def __init__(self, record: Record) -> None:
        self.program = assemble(record)
        self.schema = pa.schema([arrow_field(member.name, member.type) for member in record.members])
        # Items for each record, by scope, as seen of late: the room that is made at first.
        self._density = np.ones(len(self.program.least))

    def read(self, joined: Joined, want: int) -> tuple[pa.RecordBatch, Ints]:
        """The good records that bear the wanted id, as columns, with their row numbers; sets `joined.status`."""
        program = self.program
        buffers = self._room(joined.n)
        rows = np.empty(joined.n, np.int64)
        scratch = np.zeros((3, max(2, len(program.least))), np.int64)
        done = 0
        while True:
            done = kernels.decode(
                joined.base,
                joined.offsets,
                done,
                joined.n,
                joined.status,
                joined.ids,
                want,
                program.code.ctypes.data,
                buffers.table.ctypes.data,
                program.least,
                buffers.capacity,
                buffers.count,
                rows,
                joined.failed,
                *scratch,
            )
            if done == joined.n:
                break
            self._grow(buffers, int(scratch[2][0]), int(scratch[2][1]))
        good = int(buffers.count[0])
        self._density = np.maximum(self._density * 0.9, buffers.count / max(good, 1))
        make = _Arrays(joined, buffers)
        columns = [make.array(slot) for slot in program.slots]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema), rows[:good]

    def place(self, failed: int) -> tuple[str, int]:
        """The field and the byte within the record where reading ended; from `joined.failed`."""
        return self.program.places[failed >> 32], failed & 0xFFFF_FFFF

    def _room(self, records: int) -> _Buffers:
        capacity = (self._density * records * 1.2).astype(np.int64) + 16
        capacity[0] = records
        arrays = [
            np.empty(capacity[scope], dtype)
            for dtype, scope in zip(self.program.dtypes, self.program.scope_of, strict=True)
        ]
        table = np.array([array.ctypes.data for array in arrays], np.int64)
        return _Buffers(arrays, table, capacity, np.zeros(len(capacity), np.int64))

    def _grow(self, buffers: _Buffers, scope: int, need: int) -> None:
        filled = int(buffers.count[scope])
        buffers.capacity[scope] = max(need, 2 * int(buffers.capacity[scope]))
        for index, owner in enumerate(self.program.scope_of):
            if owner == scope:
                larger = np.empty(buffers.capacity[scope], buffers.arrays[index].dtype)
                larger[:filled] = buffers.arrays[index][:filled]
                buffers.arrays[index] = larger
                buffers.table[index] = larger.ctypes.data


class _Arrays:
    """Arrow arrays over filled buffers; numbers are not copied."""

    def __init__(self, joined: Joined, buffers: _Buffers) -> None:
        self.joined = joined
        self.buffers = buffers

    def array(self, slot: Slot) -> pa.Array:
        n = int(self.buffers.count[slot.scope])
        if isinstance(slot.node, Unread):
            return pa.nulls(n)
        validity = self.validity(slot, n)
        kind = slot.kind
        match slot.node:
            case Record():
                children = [self.array(child) for child in slot.children]
                return pa.Array.from_buffers(kind, n, [validity], children=children)
            case Leaf(kind="string" | "bytes"):
                return pa.Array.from_buffers(kind, n, [validity, *self.text(slot, n)])
            case Leaf(kind="boolean"):
                bits = np.packbits(self.buffers.arrays[slot.values][:n], bitorder="little")
                return pa.Array.from_buffers(kind, n, [validity, pa.py_buffer(bits)])
            case Leaf():
                return pa.Array.from_buffers(kind, n, [validity, pa.py_buffer(self.buffers.arrays[slot.values][:n])])
            case Enum(symbols=symbols):
                index = pa.Array.from_buffers(
                    pa.int32(), n, [validity, pa.py_buffer(self.buffers.arrays[slot.values][:n])]
                )
                return pa.array(symbols, pa.string()).take(index)
        starts = np.empty(n + 1, np.int32)
        starts[:n] = self.buffers.arrays[slot.values][:n]
        starts[n] = self.buffers.count[slot.inner]
        items = [self.array(child) for child in slot.children]
        if len(items) == 2:
            entry = pa.struct([pa.field("key", pa.string(), nullable=False), kind.item_field])
            items = [pa.Array.from_buffers(entry, len(items[0]), [None], children=items)]
        return pa.Array.from_buffers(kind, n, [validity, pa.py_buffer(starts)], children=items)

    def validity(self, slot: Slot, n: int) -> pa.Buffer | None:
        if slot.valid < 0:
            return None
        present = self.buffers.arrays[slot.valid][:n]
        return None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))

    def text(self, slot: Slot, n: int) -> tuple[pa.Buffer, pa.Buffer]:
        packed = self.buffers.arrays[slot.values].ctypes.data
        offsets = np.empty(n + 1, np.int32)
        data = np.empty(kernels.measure(packed, n, offsets.ctypes.data), np.uint8)
        kernels.gather(self.joined.base, packed, n, data.ctypes.data)
        return pa.py_buffer(offsets), pa.py_buffer(data)
