"""Avro records to Arrow columns: the buffers that the reading kernel fills, and the arrays made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.avro.instructions import DECODING, NULL_VALUE, SCOPE
from headrace.columnar.avro.program import Slot, assemble
from headrace.columnar.avro.read_kernels import decode, gather, headers, measure
from headrace.columnar.avro.types import Enum, Fixed, Leaf, Record, Union, Unread, arrow_field
from headrace.columnar.jit import frozen
from headrace.columnar.structs import array_of, span_of

Ints = npt.NDArray[np.int64]


class Joined:
    """The records of a batch, one behind the other, and what has become of each.

    Attributes:
        base: address of the bytes.
        ends: int32 [n + 1], where in them each record begins and ends.
        status: uint8 [n], what became of each, as `instructions` has it.
        ids: int64 [n], the schema id in the header of each record that has one.
        failed: int64 [n], where records of a bad status went wrong: instruction << 32 | byte.
    """

    def __init__(self, values: pa.BinaryArray, max_bytes: int) -> None:
        validity, offsets, data = values.buffers()
        self.values = values
        self.n = len(values)
        self.base = data.address if data is not None else offsets.address
        self.ends = frozen(np.frombuffer(offsets, np.int32)[values.offset : values.offset + self.n + 1])
        self.status = np.zeros(self.n, np.uint8)
        self.ids = np.full(self.n, -1, np.int64)
        self.failed = np.zeros(self.n, np.int64)
        if validity is not None and values.null_count:
            self.status[values.is_null().to_numpy(zero_copy_only=False)] = NULL_VALUE
        headers(self.base, self.ends, max_bytes, self.status, self.ids)


@dataclass(slots=True)
class _Buffers:
    """Arrays that grow with the items of their scope, and the table of their addresses."""

    arrays: list[npt.NDArray[Any]]
    table: Ints
    scopes: npt.NDArray[np.void]

    def filled(self, scope: int) -> int:
        """Items in the buffers of a scope."""
        return int(self.scopes["filled"][scope])


class RecordReader:
    """Reads records that were written with one schema."""

    def __init__(self, record: Record) -> None:
        self.program = assemble(record)
        self.schema = pa.schema([arrow_field(member.name, member.type) for member in record.members])
        # Items for each record, by scope, as seen of late: the room that is made at first.
        self._density = np.ones(len(self.program.least))

    def read(self, joined: Joined, want: int) -> tuple[pa.RecordBatch, Ints]:
        """The good records that bear the wanted id, as columns, with their row numbers; sets `joined.status`."""
        buffers = self._room(joined.n)
        rows = np.empty(joined.n, np.int64)
        told = array_of(DECODING, 1)
        told["base"], told["wanted"] = joined.base, want
        told["offsets"], told["program"] = span_of(joined.ends), span_of(self.program.code)
        told["buffers"], told["scopes"] = span_of(buffers.table), span_of(buffers.scopes)
        done = 0
        while (done := decode(told[0], done, joined.status, joined.ids, rows, joined.failed)) < joined.n:
            self._grow(buffers, int(told["full"][0]), int(told["need"][0]))
        good = buffers.filled(0)
        self._density = np.maximum(self._density * 0.9, buffers.scopes["filled"] / max(good, 1))
        make = _Arrays(joined, buffers)
        columns = [make.array(slot) for slot in self.program.slots]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema), rows[:good]

    def place(self, failed: int) -> tuple[str, int]:
        """The field and the byte within the record where reading ended; from `joined.failed`."""
        return self.program.places[failed >> 32], failed & 0xFFFF_FFFF

    def _room(self, records: int) -> _Buffers:
        scopes = array_of(SCOPE, len(self._density))
        scopes["least"] = self.program.least
        scopes["capacity"] = (self._density * records * 1.2).astype(np.int64) + 16
        scopes["capacity"][0] = records
        arrays = [
            np.empty(scopes["capacity"][scope], dtype)
            for dtype, scope in zip(self.program.dtypes, self.program.scope_of, strict=True)
        ]
        table = np.array([array.ctypes.data for array in arrays], np.int64)
        return _Buffers(arrays, table, scopes)

    def _grow(self, buffers: _Buffers, scope: int, need: int) -> None:
        filled = buffers.filled(scope)
        room = max(need, 2 * int(buffers.scopes["capacity"][scope]))
        buffers.scopes["capacity"][scope] = room
        for index, owner in enumerate(self.program.scope_of):
            if owner == scope:
                larger = np.empty(room, buffers.arrays[index].dtype)
                larger[:filled] = buffers.arrays[index][:filled]
                buffers.arrays[index] = larger
                buffers.table[index] = larger.ctypes.data


class _Arrays:
    """Arrow arrays over filled buffers; numbers are not copied."""

    def __init__(self, joined: Joined, buffers: _Buffers) -> None:
        self.joined = joined
        self.buffers = buffers

    def array(self, slot: Slot) -> pa.Array:
        n = self.buffers.filled(slot.scope)
        if isinstance(slot.node, Unread):
            return pa.nulls(n)
        validity = self.validity(slot, n)
        kind = slot.kind
        match slot.node:
            case Record():
                children = [self.array(child) for child in slot.children]
                return pa.Array.from_buffers(kind, n, [validity], children=children)
            case Union():
                children = [self.array(child) for child in slot.children]
                return pa.Array.from_buffers(kind, n, [None], children=children)
            case Fixed() | Leaf(kind="string" | "bytes"):
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
        starts[n] = self.buffers.filled(slot.inner)
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
        packed = self.buffers.arrays[slot.values][:n]
        offsets = np.empty(n + 1, np.int32)
        data = np.empty(measure(packed, offsets), np.uint8)
        gather(self.joined.base, packed, data.ctypes.data)
        return pa.py_buffer(offsets), pa.py_buffer(data)
