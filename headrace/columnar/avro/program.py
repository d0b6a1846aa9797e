"""A schema as a list of instructions over column buffers, the same for reading and writing.

A *scope* is a place where a number of items stand side by side: scope 0 holds the records, and each array or map opens
one of its own for its items. Every buffer belongs to a scope and is filled at that scope's running position, so the
children of a null struct keep their place. The way of a null leads over a block at the end of the program that fills
the places of what is not there. What nobody reads is stepped over by the same operations: all of a scope write into one
buffer that is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.avro.instructions import (
    BEGIN,
    BOOL,
    BRANCH,
    BYTES,
    DOUBLE,
    END,
    ENUM,
    FIXED,
    FLOAT,
    GOTO,
    INSTRUCTION,
    INT,
    LONG,
    MARK,
    NEXT,
    ONE,
    STEP,
    STRING,
    UNION,
    ZERO,
)
from headrace.columnar.avro.types import (
    Array,
    Enum,
    Fixed,
    Leaf,
    Map,
    Node,
    Null,
    Nullable,
    Record,
    RecordField,
    Shape,
    Union,
    Unread,
    arrow_type,
    least_bytes,
)
from headrace.columnar.structs import dtype_of

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
        code: see `instructions.Instruction`.
        places: for each instruction the field it serves, for error messages.
        dtypes: the element type of each buffer, when reading.
        scope_of: the scope of each buffer.
        least: for each scope the smallest size of an item in bytes.
        slots: one for each column.
    """

    code: npt.NDArray[np.void]
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
        code=np.array([tuple(line) for line in builder.code], dtype_of(INSTRUCTION)),
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
    sinks: dict[int, int] = field(default_factory=dict)

    def emit(self, op: int, buffer: int = 0, scope: int = 0, arg: int = 0, target: int = 0, *, place: str) -> int:
        self.code.append([op, buffer, scope, arg, target])
        self.places.append(place)
        return len(self.code) - 1

    def buffer(self, dtype: type[np.integer], scope: int) -> int:
        self.dtypes.append(dtype)
        self.scope_of.append(scope)
        return len(self.dtypes) - 1

    def member(self, member: RecordField, scope: int, above: str) -> Slot:
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
                return self.items(node, (RecordField("", node.item),), scope, valid, f"{place}[]")
            case Map():
                parts = (RecordField("", Leaf("string")), RecordField("", node.value))
                return self.items(node, parts, scope, valid, f"{place}{{}}")
            case Unread():
                self.step_over(node.shape, scope, place)
                return Slot(node, arrow_type(node), scope, -1, valid)
            case Fixed():
                values = self.buffer(np.int64, scope)
                self.emit(FIXED, values, scope, node.size, place=place)
                return Slot(node, arrow_type(node), scope, values, valid)
            case Union():
                return self.any_of(node, scope, place, valid)

    def any_of(self, node: Union, scope: int, place: str, valid: int) -> Slot:
        """Instructions that read one of several types, each into places of its own; those of the others are null."""
        self.emit(BRANCH, 0, scope, len(node.branches), place=place)
        ways = [self.emit(GOTO, place=place) for _ in node.branches]
        valids = [self.buffer(np.uint8, scope) for branch in node.branches if not isinstance(branch, Null)]
        first: dict[int, tuple[int, int]] = {}
        children: list[Slot] = []
        for number, branch in enumerate(node.branches):
            start = len(self.code)
            if not isinstance(branch, Null):
                children.append(self.node(branch, scope, place, valids[len(children)]))
            first[number] = start, self.emit(GOTO, place=place)
        # Only now are all places known that a way has to fill: those of the branches that were not taken.
        ends, at = [], 0
        for number, (way, branch) in enumerate(zip(ways, node.branches, strict=True)):
            self.code[way][4] = len(self.code)
            taken = None if isinstance(branch, Null) else children[at]
            at += taken is not None
            for child in children:
                self.emit(ONE if child is taken else ZERO, child.valid, scope, 1, place=place)
                if child is not taken:
                    self.fill(child, place)
            self.emit(GOTO, target=first[number][0], place=place)
            ends.append(first[number][1])
        for end in ends:
            self.code[end][4] = len(self.code)
        return Slot(node, arrow_type(node), scope, -1, valid, -1, tuple(children))

    def step_over(self, shape: Shape, scope: int, place: str) -> None:
        """Instructions past a value of any type, whose parts nobody looks at."""
        match shape:
            case Leaf():
                self.emit(
                    BYTES if shape.kind == "string" else _LEAVES[shape.kind][0], self.sink(scope), scope, place=place
                )
            case Enum():
                self.emit(INT, self.sink(scope), scope, place=place)
            case Fixed():
                self.emit(STEP, 0, scope, shape.size, place=place)
            case Nullable():
                both: tuple[Shape, ...] = (Null(), shape.inner) if shape.null_at == 0 else (shape.inner, Null())
                self.one_of(both, scope, place)
            case Union():
                self.one_of(shape.branches, scope, place)
            case Record():
                for member in shape.members:
                    self.step_over(member.type, scope, place)
            case Array():
                self.past_items((shape.item,), scope, place)
            case Map():
                self.past_items((Leaf("bytes"), shape.value), scope, place)
            case Unread():
                self.step_over(shape.shape, scope, place)

    def one_of(self, branches: tuple[Shape, ...], scope: int, place: str) -> None:
        self.emit(BRANCH, 0, scope, len(branches), place=place)
        ways = [self.emit(GOTO, place=place) for _ in branches]
        ends = []
        for way, branch in zip(ways, branches, strict=True):
            self.code[way][4] = len(self.code)
            self.step_over(branch, scope, place)
            ends.append(self.emit(GOTO, place=place))
        for end in ends:
            self.code[end][4] = len(self.code)

    def past_items(self, parts: tuple[Shape, ...], scope: int, place: str) -> None:
        inner = len(self.least)
        self.least.append(sum(least_bytes(part) for part in parts))
        begin = self.emit(BEGIN, self.sink(scope), scope, inner, place=place)
        for part in parts:
            self.step_over(part, inner, place)
        self.emit(NEXT, self.sink(scope), scope, inner, begin + 1, place=place)
        self.code[begin][4] = len(self.code)

    def sink(self, scope: int) -> int:
        """The buffer of a scope that takes what nobody reads."""
        if scope not in self.sinks:
            self.sinks[scope] = self.buffer(np.int64, scope)
        return self.sinks[scope]

    def items(self, node: Node, parts: tuple[RecordField, ...], scope: int, valid: int, place: str) -> Slot:
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
