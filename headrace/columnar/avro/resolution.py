"""Records of another version of a schema, read as ours, by columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.avro.compatibility import find, word
from headrace.columnar.avro.json_form import native
from headrace.columnar.avro.reader import Joined, RecordReader
from headrace.columnar.avro.types import (
    Array,
    Enum,
    Leaf,
    Map,
    Node,
    Nullable,
    Record,
    RecordField,
    arrow_field,
    arrow_type,
)


class Resolution:
    """Reads records of the writer's type in the columns of the reader's, which must be compatible."""

    def __init__(self, writer: Record, reader: Record) -> None:
        self._reading = RecordReader(writer)
        self._writer = writer
        self._reader = reader
        self._schema = pa.schema([arrow_field(member.name, member.type) for member in reader.members])

    def read(self, joined: Joined, want: int) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
        """As `RecordReader.read`, in the reader's schema."""
        columns, rows = self._reading.read(joined, want)
        resolved = _members(columns.columns, self._writer, self._reader, columns.num_rows)
        return pa.RecordBatch.from_arrays(resolved, schema=self._schema), rows

    def place(self, failed: int) -> tuple[str, int]:
        """As `RecordReader.place`; the field is the writer's."""
        return self._reading.place(failed)


def _resolve(array: pa.Array, writer: Node, reader: Node) -> pa.Array:
    """The array, read with the writer's type, in the reader's; the two are compatible and the offset is 0."""
    if isinstance(writer, Nullable):
        return _resolve(array, writer.inner, reader)
    if isinstance(reader, Nullable):
        return _resolve(array, writer, reader.inner)
    wanted = arrow_type(reader)
    match writer, reader:
        case Leaf(), Leaf():
            if writer.kind == reader.kind and array.type != wanted:
                return array.view(wanted)
            return array if array.type == wanted else array.cast(wanted, safe=False)
        case Enum(), Enum():
            known = pc.or_(pc.is_in(array, pa.array(reader.symbols)), array.is_null())
            return array if pc.all(known).as_py() is not False else pc.if_else(known, array, reader.default)
        case Record(), Record():
            parts = [array.field(index) for index in range(len(writer.members))]
            children = _members(parts, writer, reader, len(array))
            return pa.Array.from_buffers(wanted, len(array), [array.buffers()[0]], children=children)
        case Array(), Array():
            children = [_resolve(array.values, writer.item, reader.item)]
            return pa.Array.from_buffers(wanted, len(array), array.buffers()[:2], children=children)
        case Map(), Map():
            items = _resolve(array.items, writer.value, reader.value)
            entry = pa.struct([pa.field("key", pa.string(), nullable=False), wanted.item_field])
            entries = pa.Array.from_buffers(entry, len(items), [None], children=[array.keys, items])
            return pa.Array.from_buffers(wanted, len(array), array.buffers()[:2], children=[entries])
    raise AssertionError(f"{word(writer)} was found compatible with {word(reader)}")


def _members(arrays: list[pa.Array], writer: Record, reader: Record, n: int) -> list[pa.Array]:
    return [
        _constant(member, n) if index is None else _resolve(arrays[index], writer.members[index].type, member.type)
        for member in reader.members
        for index in (find(writer, member),)
    ]


def _constant(member: RecordField, n: int) -> pa.Array:
    """The default, n times."""
    value = pa.array([native(member.type, member.default)], arrow_type(member.type))
    return value.take(pa.array(np.zeros(n, np.int32)))
