"""The Avro types that headrace speaks, as a tree, and their likes in Arrow.

The tree has no recursion, no type that takes zero bytes, and unions only of null and one other type: `avro_parsing`
says why. Other types of strangers' schemas are stepped over where nobody reads them: `Unread`. See
https://avro.apache.org/docs/1.12.0/specification/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

PRIMITIVES = ("boolean", "int", "long", "float", "double", "string", "bytes")
LOGICAL: dict[str, tuple[str, pa.DataType]] = {
    "timestamp-millis": ("long", pa.timestamp("ms", tz="UTC")),
    "timestamp-micros": ("long", pa.timestamp("us", tz="UTC")),
    "date": ("int", pa.date32()),
    "uuid": ("string", pa.string()),
}
UNSPOKEN = frozenset(
    (
        "decimal", "big-decimal", "time-millis", "time-micros", "timestamp-nanos", "local-timestamp-millis",
        "local-timestamp-micros", "local-timestamp-nanos", "duration",
    )
)  # fmt: skip
"""Logical types of the specification that we cannot read; others are strangers' own, and Avro says to ignore those."""
ARROW: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "bytes": pa.binary(),
}


class Missing:
    """The default of a field that has none (`None` is a default)."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A primitive; `logical` is one of LOGICAL or None.

    `note`: of a stranger's, the logical type that we read as its bare kind; `scale`: of a decimal.
    """

    kind: str
    logical: str | None = None
    note: str = ""
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Enum:
    """One of a fixed list of words; a string column in Arrow."""

    name: str
    symbols: tuple[str, ...]
    default: str | None = None


@dataclass(frozen=True, slots=True)
class RecordField:
    """A field of a record."""

    name: str
    type: Node
    default: Any = MISSING
    aliases: tuple[str, ...] = ()
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Named fields, in order; a struct column in Arrow."""

    name: str
    members: tuple[RecordField, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """A list of items."""

    item: Node


@dataclass(frozen=True, slots=True)
class Map:
    """String keys to values."""

    value: Node


@dataclass(frozen=True, slots=True)
class Nullable:
    """A union of null and one other type; `null_at` is the branch (0 or 1) that means null."""

    inner: Node
    null_at: int


@dataclass(frozen=True, slots=True)
class Null:
    """Nothing: it takes no bytes."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """So many bytes; read, where they are asked for, as bytes. `note`, `scale`: as a leaf's."""

    size: int
    note: str = ""
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Union:
    """One of several types; read, where it is asked for, as a struct of them, of which all but one are null."""

    branches: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """A type that we can step over and not read, and why: a column of nulls in Arrow. Only writers' schemas have it."""

    shape: Shape
    why: str


Node = Leaf | Enum | Record | Array | Map | Nullable | Unread | Fixed | Union
"""What can be read; of the last three only where a stranger's schema has them."""
Shape = Node | Null


def walk(node: Shape) -> Iterator[Shape]:
    """The node and all below it."""
    yield node
    match node:
        case Record():
            for member in node.members:
                yield from walk(member.type)
        case Array():
            yield from walk(node.item)
        case Map():
            yield from walk(node.value)
        case Nullable():
            yield from walk(node.inner)
        case Unread():
            yield from walk(node.shape)
        case Union():
            for branch in node.branches:
                yield from walk(branch)


def least_bytes(node: Shape) -> int:
    """The smallest encoding, in bytes: at least one, so that a count of items is bounded by the bytes that remain.

    Of what is only stepped over it may be none; `avro_parsing` lets no array or map have such items.
    """
    match node:
        case Null():
            return 0
        case Fixed():
            return node.size
        case Unread():
            return least_bytes(node.shape)
        case Leaf(kind="float"):
            return 4
        case Leaf(kind="double"):
            return 8
        case Record():
            return sum(least_bytes(member.type) for member in node.members)
        case _:
            return 1


def column_bytes(node: Node) -> int:
    """The bytes of column buffers that one value takes, without the text and items that it refers to."""
    match node:
        case Nullable():
            return 1 + column_bytes(node.inner)
        case Record():
            return sum(column_bytes(member.type) for member in node.members)
        case _:
            return 8


def arrow_type(node: Node) -> pa.DataType:
    """The Arrow type of a node; whether it may be null is the field's matter."""
    match node:
        case Leaf():
            return LOGICAL[node.logical][1] if node.logical else ARROW[node.kind]
        case Enum():
            return pa.string()
        case Record():
            return pa.struct([arrow_field(member.name, member.type) for member in node.members])
        case Array():
            return pa.list_(arrow_field("item", node.item))
        case Map():
            return pa.map_(pa.string(), arrow_field("value", node.value))
        case Nullable():
            return arrow_type(node.inner)
        case Unread():
            return pa.null()
        case Fixed():
            return pa.binary()
        case Union():
            branches = enumerate(node.branches)
            return pa.struct([pa.field(f"{n}", arrow_type(b)) for n, b in branches if not isinstance(b, Null)])


def arrow_field(name: str, node: Node) -> pa.Field:
    """A field that may be null exactly where the Avro type may."""
    return pa.field(name, arrow_type(node), nullable=isinstance(node, Nullable | Unread))
