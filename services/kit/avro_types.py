"""The Avro types that headrace speaks, as a tree: parsed from a definition, with everything that is wrong with it.

Avro 1.12 allows more than is safe to read from strangers: five bytes can claim fifty million nulls, and a recursive
type turns a small payload into an exhausted C stack. So the tree has no recursion, no type that takes zero bytes, and
unions only of null and one other type. See https://avro.apache.org/docs/1.12.0/specification/.
"""

from __future__ import annotations

import re
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
ARROW: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "bytes": pa.binary(),
}
# Named types may be used many times over: a few lines can spell a type of billions of leaves.
MOST_NODES = 20_000
DEEPEST = 32
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")


class Missing:
    """The default of a field that has none (`None` is a default)."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A primitive; `logical` is one of LOGICAL or None."""

    kind: str
    logical: str | None = None


@dataclass(frozen=True, slots=True)
class Enum:
    """One of a fixed list of words; a string column in Arrow."""

    name: str
    symbols: tuple[str, ...]
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
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
    members: tuple[Member, ...]


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


Node = Leaf | Enum | Record | Array | Map | Nullable


def parse(definition: object) -> tuple[Record | None, list[str]]:
    """The tree of a definition and all that is wrong with it; None when it cannot be read at all.

    >>> parse({"type": "record", "name": "a", "fields": [{"name": "x", "type": {"type": "array", "items": "null"}}]})[1]
    ['a.x[]: `null` takes no bytes, so a few bytes could claim millions of them; use a union with another type']
    """
    parser = _Parser()
    node = parser.node(definition, "", "", 0)
    if node is not None and not isinstance(node, Record):
        parser.problems.append("the outermost type must be a record")
        node = None
    return node, parser.problems


class _Parser:
    """One walk over a definition: the named types met, those still open, and the problems found."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.named: dict[str, Node | None] = {}
        self.open: set[str] = set()
        self.nodes = 0

    def node(self, definition: object, space: str, place: str, depth: int) -> Node | None:
        self.nodes += 1
        if depth > DEEPEST:
            return self.refuse(place, f"nested deeper than {DEEPEST}")
        match definition:
            case str():
                return self.word(definition, space, place)
            case list():
                return self.union(definition, space, place, depth)
            case {"type": "record", **rest}:
                return self.record(rest, space, place, depth)
            case {"type": "enum", **rest}:
                return self.enum(rest, space, place)
            case {"type": "array", "items": items}:
                item = self.node(items, space, f"{place}[]", depth + 1)
                return item and Array(item)
            case {"type": "map", "values": values}:
                value = self.node(values, space, f"{place}{{}}", depth + 1)
                return value and Map(value)
            case {"type": str() as kind, "logicalType": logical} if kind in PRIMITIVES:
                return self.logical(kind, logical, place)
            case {"type": "fixed"}:
                return self.refuse(place, "`fixed` is not supported; use `bytes`")
            case {"type": (str() | dict() | list()) as inner}:
                return self.node(inner, space, place, depth + 1)
            case _:
                return self.refuse(place, f"not an Avro type: {str(definition)[:80]}")

    def refuse(self, place: str, why: str) -> None:
        self.problems.append(f"{place}: {why}" if place else why)

    def word(self, word: str, space: str, place: str) -> Node | None:
        if word in PRIMITIVES:
            return Leaf(word)
        if word == "null":
            why = "`null` takes no bytes, so a few bytes could claim millions of them; use a union with another type"
            return self.refuse(place, why)
        full = word if "." in word or not space else f"{space}.{word}"
        if full in self.open:
            return self.refuse(place, f"`{full}` contains itself; a small payload of a recursive type exhausts the stack")
        if full not in self.named:
            return self.refuse(place, f"unknown type `{word}`")
        node = self.named[full]
        if node is not None:
            self.nodes += sum(1 for _ in walk(node))
            if self.nodes > MOST_NODES:
                return self.refuse(place, f"the schema spells more than {MOST_NODES} types")
        return node

    def logical(self, kind: str, logical: object, place: str) -> Node | None:
        if not isinstance(logical, str) or logical not in LOGICAL or LOGICAL[logical][0] != kind:
            known = ", ".join(f"{name} of {base}" for name, (base, _) in LOGICAL.items())
            return self.refuse(place, f"logical type `{logical}` of {kind} is not supported; there are {known}")
        return Leaf(kind, logical)

    def union(self, branches: list[Any], space: str, place: str, depth: int) -> Node | None:
        if len(branches) != 2 or branches.count("null") != 1:
            return self.refuse(place, "a union must be of null and one other type")
        null_at = branches.index("null")
        if isinstance(branches[1 - null_at], list):
            return self.refuse(place, "a union within a union")
        inner = self.node(branches[1 - null_at], space, place, depth + 1)
        return inner and Nullable(inner, null_at)

    def name(self, rest: dict[str, Any], space: str, place: str) -> tuple[str, str]:
        """Full name and the namespace that it opens."""
        name, own = rest.get("name"), rest.get("namespace", space)
        if not isinstance(name, str) or not _NAME.match(name) or not isinstance(own, str):
            self.refuse(place, f"needs a name of letters, digits and underscores, not {str(name)[:80]!r}")
            return "", space
        full = name if "." in name or not own else f"{own}.{name}"
        if full in self.named or full in self.open:
            self.refuse(place, f"`{full}` is defined twice")
        return full, full.rpartition(".")[0]

    def enum(self, rest: dict[str, Any], space: str, place: str) -> Node | None:
        full, _ = self.name(rest, space, place)
        symbols, default = rest.get("symbols"), rest.get("default")
        if not isinstance(symbols, list) or not symbols or not all(isinstance(s, str) and s for s in symbols):
            return self.refuse(place, "an enum needs a list of symbols")
        if len(set(symbols)) < len(symbols):
            return self.refuse(place, "an enum's symbols must differ")
        if default is not None and default not in symbols:
            return self.refuse(place, f"the enum's default {default!r} is none of its symbols")
        self.named[full] = Enum(full, tuple(symbols), default)
        return self.named[full]

    def record(self, rest: dict[str, Any], space: str, place: str, depth: int) -> Node | None:
        full, inner = self.name(rest, space, place)
        where = place or full.rpartition(".")[2]
        fields = rest.get("fields")
        if not isinstance(fields, list) or not fields:
            return self.refuse(where, "a record without fields takes no bytes, so millions of them fit in five")
        self.open.add(full)
        members = [self.member(field, inner, where, depth) for field in fields]
        self.open.discard(full)
        names = [member.name for member in members if member is not None]
        if len(set(names)) < len(names):
            self.refuse(where, f"a field is named twice: {', '.join(names)}")
        whole = all(member is not None for member in members)
        self.named[full] = Record(full, tuple(member for member in members if member is not None)) if whole else None
        return self.named[full]

    def member(self, field: object, space: str, place: str, depth: int) -> Member | None:
        name = field.get("name") if isinstance(field, dict) else None
        if not isinstance(field, dict) or not isinstance(name, str) or not _NAME.match(name) or "." in name:
            return self.refuse(place, f"a field needs a name of letters, digits and underscores: {str(field)[:80]}")
        where = f"{place}.{name}"
        node = self.node(field.get("type"), space, where, depth + 1)
        if node is None:
            return None
        default = field.get("default", MISSING)
        if default is not MISSING and (why := misfit(node, default, default=True)):
            self.refuse(where, f"the default does not fit the type: {why}")
        aliases = field.get("aliases", [])
        return Member(name, node, default, tuple(aliases), str(field.get("doc", "")))


def walk(node: Node) -> Iterator[Node]:
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


def least_bytes(node: Node) -> int:
    """The smallest encoding, in bytes: at least one, so that a count of items is bounded by the bytes that remain."""
    match node:
        case Leaf(kind="float"):
            return 4
        case Leaf(kind="double"):
            return 8
        case Record():
            return sum(least_bytes(member.type) for member in node.members)
        case _:
            return 1


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


def arrow_field(name: str, node: Node) -> pa.Field:
    """A field that may be null exactly where the Avro type may."""
    return pa.field(name, arrow_type(node), nullable=isinstance(node, Nullable))


_RANGES = {"int": 1 << 31, "long": 1 << 63}


def misfit(node: Node, value: object, *, default: bool = False) -> str:
    """Why a JSON value is not of this type, or an empty string.

    Bytes are strings of the characters 0 to 255, as in Avro's JSON; values of a union stand bare. `default` takes a
    field's absence from a record as its default, as schema resolution does.

    >>> misfit(Leaf("int"), 2**31)
    '2147483648 is not an int'
    """
    match node:
        case Leaf(kind="boolean"):
            good = isinstance(value, bool)
        case Leaf(kind="int" | "long"):
            bound = _RANGES[node.kind]
            good = isinstance(value, int) and not isinstance(value, bool) and -bound <= value < bound
        case Leaf(kind="float" | "double"):
            good = isinstance(value, int | float) and not isinstance(value, bool)
        case Leaf(kind="string"):
            good = isinstance(value, str)
        case Leaf(kind="bytes"):
            good = isinstance(value, str) and all(ord(char) < 256 for char in value)
        case Enum():
            good = value in node.symbols
        case Nullable():
            return "" if value is None else misfit(node.inner, value, default=default)
        case Array():
            if isinstance(value, list):
                return next((why for item in value if (why := misfit(node.item, item, default=default))), "")
            good = False
        case Map():
            if isinstance(value, dict):
                return next((why for item in value.values() if (why := misfit(node.value, item, default=default))), "")
            good = False
        case Record():
            if isinstance(value, dict):
                return _record_misfit(node, value, default)
            good = False
    kind = node.kind if isinstance(node, Leaf) else type(node).__name__.lower()
    return "" if good else f"{str(value)[:80]} is not {'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _record_misfit(node: Record, value: dict[str, object], default: bool) -> str:
    for member in node.members:
        if member.name not in value:
            if not (default and member.default is not MISSING):
                return f"`{member.name}` is missing"
        elif why := misfit(member.type, value[member.name], default=default):
            return f"`{member.name}`: {why}"
    extra = value.keys() - {member.name for member in node.members}
    return f"`{min(extra)}` is not a field of {node.name}" if extra else ""
