"""Records of another version of a schema, read as ours, by columns.

Avro's schema resolution (specification, "Schema Resolution"), less what depends on each record's data: a field that may
be null read as one that may not, bytes read as a string, and enum symbols that the reader lacks without a default are
incompatible here, so that a version that is accepted is readable to its last record.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.kit.avro_json import native
from services.kit.avro_reading import Joined, Reading
from services.kit.avro_types import (
    MISSING,
    Array,
    Enum,
    Leaf,
    Map,
    Member,
    Node,
    Nullable,
    Record,
    arrow_field,
    arrow_type,
)
from services.kit.errors import ContractError

_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
}


class Resolution:
    """Reads records of the writer's type in the columns of the reader's.

    Raises:
        ContractError: the reader's type cannot take every record of the writer's; names each reason.
    """

    def __init__(self, writer: Record, reader: Record) -> None:
        if problems := incompatibilities(writer, reader):
            raise ContractError(f"{reader.name} cannot read an earlier version of itself: " + "; ".join(problems))
        self._reading = Reading(writer)
        self._writer = writer
        self._reader = reader
        self._schema = pa.schema([arrow_field(member.name, member.type) for member in reader.members])

    def read(self, joined: Joined, want: int) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
        """As `Reading.read`, in the reader's schema."""
        columns, rows = self._reading.read(joined, want)
        resolved = _members(columns.columns, self._writer, self._reader, columns.num_rows)
        return pa.RecordBatch.from_arrays(resolved, schema=self._schema), rows

    def place(self, failed: int) -> tuple[str, int]:
        """As `Reading.place`; the field is the writer's."""
        return self._reading.place(failed)


def incompatibilities(writer: Node, reader: Node, place: str = "") -> list[str]:
    """Why records of the writer's type cannot all be read as the reader's; an empty list when they can.

    >>> incompatibilities(Leaf("long"), Leaf("int"), "amount")
    ['amount: long cannot be read as int']
    """
    match writer, reader:
        case Nullable(), Nullable():
            return incompatibilities(writer.inner, reader.inner, place)
        case _, Nullable():
            return incompatibilities(writer, reader.inner, place)
        case Leaf(), Leaf():
            meanings = {writer.logical, reader.logical} - {None}
            same = writer.kind == reader.kind and len(meanings) < 2
            promoted = not writer.logical and not reader.logical and reader.kind in _PROMOTIONS.get(writer.kind, ())
            return [] if same or promoted else [f"{place}: {_word(writer)} cannot be read as {_word(reader)}"]
        case Enum(), Enum() if _last(writer) == _last(reader):
            unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
            if unknown and reader.default is None:
                return [f"{place}: the symbols {', '.join(unknown)} are gone, and the enum has no default"]
            return []
        case Record(), Record() if _last(writer) == _last(reader):
            return [
                problem
                for member in reader.members
                for problem in _member_problems(writer, member, f"{place}.{member.name}" if place else member.name)
            ]
        case Array(), Array():
            return incompatibilities(writer.item, reader.item, f"{place}[]")
        case Map(), Map():
            return incompatibilities(writer.value, reader.value, f"{place}{{}}")
        case _:
            return [f"{place}: {_word(writer)} cannot be read as {_word(reader)}"]


def _member_problems(writer: Record, member: Member, place: str) -> list[str]:
    if (index := _find(writer, member)) is not None:
        return incompatibilities(writer.members[index].type, member.type, place)
    return [f"{place}: new without a default"] if member.default is MISSING else []


def _find(writer: Record, member: Member) -> int | None:
    """The writer's field that this one is read from, by its name or one of its former names."""
    names = [other.name for other in writer.members]
    return next((names.index(name) for name in (member.name, *member.aliases) if name in names), None)


def _last(node: Enum | Record) -> str:
    return node.name.rpartition(".")[2]


def _word(node: Node) -> str:
    match node:
        case Leaf():
            return node.logical or node.kind
        case Enum() | Record():
            return f"{type(node).__name__.lower()} {node.name}"
        case Nullable():
            return f"nullable {_word(node.inner)}"
        case _:
            return type(node).__name__.lower()


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
    raise AssertionError(f"{_word(writer)} was found compatible with {_word(reader)}")


def _members(arrays: list[pa.Array], writer: Record, reader: Record, n: int) -> list[pa.Array]:
    return [
        _constant(member, n) if index is None else _resolve(arrays[index], writer.members[index].type, member.type)
        for member in reader.members
        for index in (_find(writer, member),)
    ]


def _constant(member: Member, n: int) -> pa.Array:
    """The default, n times."""
    value = pa.array([native(member.type, member.default)], arrow_type(member.type))
    return value.take(pa.array(np.zeros(n, np.int32)))
