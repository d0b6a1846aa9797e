"""A schema as a list of instructions over column buffers, the same for reading and writing.

A *scope* is a place where a number of items stand side by side: scope 0 holds the records, and each array or map opens
one of its own for its items. Every buffer belongs to a scope and is filled at that scope's running position, so the
children of a null struct keep their place. The way of a null leads over a block at the end of the program that fills
the places of what is not there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.kit.avro_kernels import (
    BEGIN,
    BOOL,
    BYTES,
    DOUBLE,
    END,
    ENUM,
    FLOAT,
    GOTO,
    INT,
    LONG,
    MARK,
    NEXT,
    STRING,
    UNION,
    ZERO,
)
from services.kit.avro_types import Array, Enum, Leaf, Map, Member, Node, Nullable, Record, arrow_type, least_bytes

_LEAVES: dict[str, tuple[int, type[np.integer]]] = {
    "boolean": (BOOL, np.uint8),
    "int": (INT, np.int32),
    "long": (LONG, np.int64),
    "float": (FLOAT, np.int32),
    "double": (DOUBLE, np.int64),
    "string": (STRING, np.int64),
    "bytes": (BYTES, np.int64),
}


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the buffers of a node are.

    Attributes:
        node: the type, without the union around it.
        kind: its Arrow type.
        scope: the scope its buffers belong to.
        values: buffer of values, of packed strings (start << 32 | length), or of where each list starts; -1 for none.
        valid: buffer of one byte a value, 1 for present; -1 where null is not allowed.
        inner: scope of the items of an array or map; -1 for other types.
        children: the slots of a record's members, of an array's item, or of a map's key and value.
    """

    node: Node
    kind: pa.DataType
    scope: int
    values: int
    valid: int
    inner: int = -1
    children: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """What the kernels run.

    Attributes:
        code: int64 [instructions, 5]: operation, buffer, scope, argument, target.
        places: for each instruction the field it serves, for error messages.
        dtypes: the element type of each buffer, when reading.
        scope_of: the scope of each buffer.
        least: for each scope the smallest size of an item in bytes.
        slots: one for each column.
    """

    code: npt.NDArray[np.int64]
    places: tuple[str, ...]
    dtypes: tuple[np.dtype[np.integer], ...]
    scope_of: tuple[int, ...]
    least: npt.NDArray[np.int64]
    slots: tuple[Slot, ...]


def assemble(record: Record) -> Program:
    """The program of a record type."""
    builder = _Builder(least=[least_bytes(record)])
    slots = tuple(builder.member(member, 0, "") for member in record.members)
    builder.emit(END, place=record.name)
    # Null blocks may hold further null blocks only of scopes they skip, so one pass places all.
    for start, slot, back in builder.absent:
        builder.code[start][4] = len(builder.code)
        builder.fill(slot, builder.places[start])
        builder.emit(GOTO, target=back, place=builder.places[start])
    return Program(
        code=np.array(builder.code, np.int64),
        places=tuple(builder.places),
        dtypes=tuple(np.dtype(dtype) for dtype in builder.dtypes),
        scope_of=tuple(builder.scope_of),
        least=np.array(builder.least, np.int64),
        slots=slots,
    )


@dataclass(slots=True)
class _Builder:
    least: list[int]
    code: list[list[int]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    dtypes: list[type[np.integer]] = field(default_factory=list)
    scope_of: list[int] = field(default_factory=list)
    absent: list[tuple[int, Slot, int]] = field(default_factory=list)

    def emit(self, op: int, buffer: int = 0, scope: int = 0, arg: int = 0, target: int = 0, *, place: str) -> int:
        self.code.append([op, buffer, scope, arg, target])
        self.places.append(place)
        return len(self.code) - 1

    def buffer(self, dtype: type[np.integer], scope: int) -> int:
        self.dtypes.append(dtype)
        self.scope_of.append(scope)
        return len(self.dtypes) - 1

    def member(self, member: Member, scope: int, above: str) -> Slot:
        return self.node(member.type, scope, f"{above}.{member.name}" if above else member.name)

    def node(self, node: Node, scope: int, place: str, valid: int = -1) -> Slot:
        match node:
            case Nullable():
                valid = self.buffer(np.uint8, scope)
                union = self.emit(UNION, valid, scope, node.null_at, place=place)
                slot = self.node(node.inner, scope, place, valid)
                self.absent.append((union, slot, len(self.code)))
                return slot
            case Leaf():
                op, dtype = _LEAVES[node.kind]
                values = self.buffer(dtype, scope)
                self.emit(op, values, scope, place=place)
                return Slot(node, arrow_type(node), scope, values, valid)
            case Enum():
                values = self.buffer(np.int32, scope)
                self.emit(ENUM, values, scope, len(node.symbols), place=place)
                return Slot(node, arrow_type(node), scope, values, valid)
            case Record():
                children = tuple(self.member(member, scope, place) for member in node.members)
                return Slot(node, arrow_type(node), scope, -1, valid, -1, children)
            case Array():
                return self.items(node, (Member("", node.item),), scope, valid, f"{place}[]")
            case Map():
                parts = (Member("", Leaf("string")), Member("", node.value))
                return self.items(node, parts, scope, valid, f"{place}{{}}")

    def items(self, node: Node, parts: tuple[Member, ...], scope: int, valid: int, place: str) -> Slot:
        inner = len(self.least)
        self.least.append(sum(least_bytes(part.type) for part in parts))
        starts = self.buffer(np.int32, scope)
        begin = self.emit(BEGIN, starts, scope, inner, place=place)
        children = tuple(self.node(part.type, inner, place) for part in parts)
        self.emit(NEXT, starts, scope, inner, begin + 1, place=place)
        self.code[begin][4] = len(self.code)
        return Slot(node, arrow_type(node), scope, starts, valid, inner, children)

    def fill(self, slot: Slot, place: str) -> None:
        """Fill the places of an absent value and of all below it that stands in its own scope."""
        if slot.inner >= 0:
            self.emit(MARK, slot.values, slot.scope, slot.inner, place=place)
            return
        if slot.values >= 0:
            self.emit(ZERO, slot.values, slot.scope, np.dtype(self.dtypes[slot.values]).itemsize, place=place)
        for child in slot.children:
            if child.valid >= 0:
                self.emit(ZERO, child.valid, child.scope, 1, place=place)
            self.fill(child, place)
