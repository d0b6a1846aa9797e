"""Arrow columns to Avro records: the table of addresses that the writing kernel reads, and the bytes it writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.avro.instructions import ENCODING, HEADER, WRITTEN
from headrace.columnar.avro.program import Slot, assemble
from headrace.columnar.avro.types import Array, Enum, Leaf, Map, Record, arrow_field
from headrace.columnar.avro.write_kernels import encode, span
from headrace.columnar.structs import array_of, span_of
from headrace.errors import ContractError

_WIDTHS = {"boolean": 1, "int": 5, "long": 10, "float": 4, "double": 8, "string": 5, "bytes": 5}
# Arrow's offsets have 32 bits: a batch that may come near is written in halves.
_MOST_BYTES = (1 << 31) - 1


class Writing:
    """Writes records of one schema."""

    def __init__(self, record: Record) -> None:
        self.program = assemble(record)
        self.schema = pa.schema([arrow_field(member.name, member.type) for member in record.members])

    def write(self, columns: pa.RecordBatch, number: int) -> list[bytes]:
        """One message a row, with the Confluent header (0, four bytes of schema id).

        Raises:
            ContractError: a column is missing, of another type, or null where the schema allows none.
        """
        messages: list[bytes] = []
        if columns.num_rows:
            for part in self.parts(columns, number):
                # The quickest way from a buffer to `bytes` objects: Arrow makes them in C++.
                messages += part.to_numpy(zero_copy_only=False).tolist()
        return messages

    def parts(self, columns: pa.RecordBatch, number: int) -> Iterator[pa.BinaryArray]:
        """As `write`, for at least one row, as arrays of messages; several only where one might outgrow its offsets."""
        n = columns.num_rows
        table = _Table(len(self.program.dtypes))
        for slot, wanted in zip(self.program.slots, self.schema, strict=True):
            if (index := columns.schema.get_field_index(wanted.name)) < 0:
                raise ContractError(f"column `{wanted.name}` is missing; there are {', '.join(columns.schema.names)}")
            table.add(slot, columns.column(index), wanted.name, None)
        room = table.room + HEADER * n
        if room > _MOST_BYTES and n > 1:
            half = n // 2
            yield from self.parts(columns.slice(0, half), number)
            yield from self.parts(columns.slice(half), number)
            return
        out = np.empty(room, np.uint8)
        ends = np.empty(n + 1, np.int32)
        told = array_of(ENCODING, 1)
        told["rows"], told["number"], told["scopes"] = n, number, len(self.program.least)
        told["program"], told["buffers"] = span_of(self.program.code), span_of(table.entries)
        used = encode(told[0], out.ctypes.data, ends.ctypes.data)
        yield pa.Array.from_buffers(pa.binary(), n, [None, pa.py_buffer(ends), pa.py_buffer(out[:used])])


class _Table:
    """Addresses of the columns' buffers, by buffer number, and the room that the worst case takes."""

    def __init__(self, buffers: int) -> None:
        self.entries = array_of(WRITTEN, buffers)
        self.room = 0
        self._kept: list[Any] = []

    def add(self, slot: Slot, array: pa.Array, place: str, present: pa.Array | None) -> None:
        """Enter an array and all below it; `present` says where the struct above it is not null, if it may be."""
        array = self._typed(slot, array, place, present)
        self._kept.append(array)
        n = len(array)
        if array.null_count:
            if slot.valid >= 0:
                self.entries[slot.valid] = (array.buffers()[0].address, 0, array.offset)
            elif present is None or pc.any(pc.and_(array.is_null(), present)).as_py():
                raise ContractError(f"column `{place}` has nulls, and its schema allows none")
        self.room += n if slot.valid >= 0 else 0
        match slot.node:
            case Record():
                if array.null_count:
                    present = array.is_valid() if present is None else pc.and_(array.is_valid(), present)
                for index, child in enumerate(slot.children):
                    self.add(child, array.field(index), f"{place}.{slot.node.members[index].name}", present)
            case Leaf(kind="boolean"):
                self.entries[slot.values] = (array.buffers()[1].address, 0, array.offset)
                self.room += n
            case Leaf(kind="string" | "bytes"):
                _, offsets, data = array.buffers()
                start = offsets.address + 4 * array.offset
                self.entries[slot.values] = (start, data.address if data is not None else 0, 0)
                self.room += 5 * n + span(start, n)
            case Leaf(kind=kind):
                width = array.type.bit_width // 8
                self.entries[slot.values] = (array.buffers()[1].address + width * array.offset, 0, 0)
                self.room += _WIDTHS[kind] * n
            case Enum():
                self.entries[slot.values] = (array.buffers()[1].address + 4 * array.offset, 0, 0)
                self.room += 5 * n
            case Array():
                self._starts(slot, array)
                self.add(slot.children[0], array.values, f"{place}[]", None)
            case Map():
                self._starts(slot, array)
                self.add(slot.children[0], array.keys, f"{place} (keys)", None)
                self.add(slot.children[1], array.items, f"{place}{{}}", None)

    def _starts(self, slot: Slot, array: pa.Array) -> None:
        self.entries[slot.values] = (array.buffers()[1].address + 4 * array.offset, 0, 0)
        # A count and the zero that ends the blocks.
        self.room += 6 * len(array)

    def _typed(self, slot: Slot, array: pa.Array, place: str, present: pa.Array | None) -> pa.Array:
        """The array in the schema's own type; an enum as indices of its symbols."""
        if isinstance(slot.node, Enum):
            return _indices(slot.node, array, place, present)
        wanted = slot.kind
        if isinstance(slot.node, Record) and pa.types.is_struct(array.type):
            missing = {field.name for field in wanted} - {field.name for field in array.type}
            if missing:
                raise ContractError(f"column `{place}` lacks {', '.join(sorted(missing))}")
            if [field.name for field in array.type] == [field.name for field in wanted]:
                return array
            parts = [array.field(field.name) for field in wanted]
            mask = array.is_null() if array.null_count else None
            return pa.StructArray.from_arrays(parts, names=[field.name for field in wanted], mask=mask)
        if isinstance(slot.node, Leaf) and array.type == wanted:
            return array
        if isinstance(slot.node, Array) and pa.types.is_list(array.type):
            return array
        if isinstance(slot.node, Map) and pa.types.is_map(array.type):
            return array
        try:
            return array.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ContractError(f"column `{place}` is {array.type}, its schema wants {wanted}: {error}") from None


def _indices(node: Enum, array: pa.Array, place: str, present: pa.Array | None) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    index = pc.index_in(array, pa.array(node.symbols, array.type))
    if index.null_count > array.null_count:
        strange = pc.and_(index.is_null(), array.is_valid())
        # Below a null struct stands anything: Arrow fills in empty strings.
        words = pc.filter(array, strange if present is None else pc.and_(strange, present))
        if len(words):
            raise ContractError(f"column `{place}` holds {words[0]}, which is none of {', '.join(node.symbols)}")
    return index
