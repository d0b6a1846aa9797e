"""Schema definitions to types, with everything that is wrong with them.

Avro 1.12 allows more than is safe to read from strangers: five bytes can claim fifty million nulls, and a recursive
type turns a small payload into an exhausted C stack. What could be abused so is refused here, once, and the readers
need not think of it. Of strangers' schemas, what is safe but foreign to us is no reason to refuse the whole: `Unread`.
"""

from __future__ import annotations

import re
from typing import Any, cast

from headrace.columnar.avro.json_form import misfit
from headrace.columnar.avro.types import (
    LOGICAL,
    MISSING,
    PRIMITIVES,
    UNSPOKEN,
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
    column_bytes,
    least_bytes,
    walk,
)

# Named types may be used many times over: a few lines can spell a type of billions of leaves.
MOST_NODES = 20_000
DEEPEST = 32
# Bytes of column that one byte of message may ask for, within an array.
MOST_SWELL = 64
_MOST_SCALE = 400
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")


def parse(definition: object, *, strangers: bool = False) -> tuple[Record | None, list[str]]:
    """The tree of a definition and all that is wrong with it; None when it cannot be read at all.

    `strangers`: it is what records were written with, not what we write: types that we cannot read are `Unread` in it.

    >>> parse({"type": "record", "name": "a", "fields": [{"name": "x", "type": {"type": "array", "items": "null"}}]})[1]
    ['a.x[]: `null` takes no bytes, so a few bytes could claim millions of them; use a union with another type']
    """
    parser = _Parser(strangers)
    node = parser.node(definition, "", "", 0)
    if node is not None and not isinstance(node, Record):
        parser.problems.append("the outermost type must be a record")
        node = None
    return node, parser.problems


def _scale(told: object) -> int:
    """Of a decimal; what is none is taken for 0, as a schema without it."""
    return told if isinstance(told, int) and 0 <= told <= _MOST_SCALE else 0


class _Parser:
    """One walk over a definition: the named types met, those still open, and the problems found."""

    def __init__(self, strangers: bool) -> None:
        self.strangers = strangers
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
            case {"type": "record"}:
                return self.record(cast("dict[str, Any]", definition), space, place, depth)
            case {"type": "enum"}:
                return self.enum(cast("dict[str, Any]", definition), space, place)
            case {"type": "array", "items": items}:
                item = self.node(items, space, f"{place}[]", depth + 1)
                return item and self.repeated(Array(item), item, place)
            case {"type": "map", "values": values}:
                value = self.node(values, space, f"{place}{{}}", depth + 1)
                return value and self.repeated(Map(value), value, place)
            case {"type": str() as kind, "logicalType": logical} if kind in PRIMITIVES:
                return self.logical(kind, logical, cast("dict[str, Any]", definition).get("scale", 0), place)
            case {"type": "fixed"}:
                return self.fixed(cast("dict[str, Any]", definition), space, place)
            case {"type": (str() | dict() | list()) as inner}:
                return self.node(inner, space, place, depth + 1)
            case _:
                return self.refuse(place, f"not an Avro type: {str(definition)[:80]}")

    def refuse(self, place: str, why: str) -> Node | None:
        """Note a problem; the answer is what the caller gives for a type that is none."""
        self.problems.append(f"{place}: {why}" if place else why)
        return None

    def unread(self, place: str, shape: Shape, why: str) -> Node | None:
        """A type that we cannot read: a problem in a schema of ours, stepped over in a stranger's."""
        return Unread(shape, why) if self.strangers else self.refuse(place, why)

    def repeated(self, whole: Node, part: Node, place: str) -> Node | None:
        least, most = least_bytes(part), column_bytes(part)
        if most > MOST_SWELL * least:
            return self.refuse(place, f"an item of {least} bytes could claim {most} of memory")
        return whole

    def word(self, word: str, space: str, place: str) -> Node | None:
        if word in PRIMITIVES:
            return Leaf(word)
        if word == "null":
            why = "`null` takes no bytes, so a few bytes could claim millions of them; use a union with another type"
            return self.unread(place, Null(), why)
        full = word if "." in word or not space else f"{space}.{word}"
        if full in self.open:
            why = "contains itself; a small payload of a recursive type exhausts the stack"
            return self.refuse(place, f"`{full}` {why}")
        if full not in self.named:
            return self.refuse(place, f"unknown type `{word}`")
        node = self.named[full]
        if node is not None:
            self.nodes += sum(1 for _ in walk(node))
            if self.nodes > MOST_NODES:
                return self.refuse(place, f"the schema spells more than {MOST_NODES} types")
        return node

    def logical(self, kind: str, logical: object, scale: object, place: str) -> Node | None:
        if not isinstance(logical, str) or logical not in LOGICAL or LOGICAL[logical][0] != kind:
            known = ", ".join(f"{name} of {base}" for name, (base, _) in LOGICAL.items())
            if self.strangers and logical not in UNSPOKEN:
                return Leaf(kind)
            why = f"logical type `{logical}` of {kind} is not supported; there are {known}"
            return self.unread(place, Leaf(kind, None, str(logical)[:80], _scale(scale)), why)
        return Leaf(kind, logical)

    def fixed(self, rest: dict[str, Any], space: str, place: str) -> Node | None:
        full, _ = self.name(rest, space, place)
        size = rest.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 31:
            return self.refuse(place, f"a fixed needs a size, not {str(size)[:80]}")
        whole = Fixed(size, str(rest.get("logicalType", ""))[:80], _scale(rest.get("scale", 0)))
        self.named[full] = self.unread(place, whole, "`fixed` is not supported; use `bytes`")
        return self.named[full]

    def union(self, branches: list[Any], space: str, place: str, depth: int) -> Node | None:
        if len(branches) != 2 or branches.count("null") != 1:
            return self.wide(branches, space, place, depth)
        null_at = branches.index("null")
        if isinstance(branches[1 - null_at], list):
            return self.refuse(place, "a union within a union")
        inner = self.node(branches[1 - null_at], space, place, depth + 1)
        return inner and Nullable(inner, null_at)

    def wide(self, branches: list[Any], space: str, place: str, depth: int) -> Node | None:
        why = "a union must be of null and one other type"
        if not self.strangers or not branches or any(isinstance(branch, list) for branch in branches):
            return self.refuse(place, why)
        found = [self.node(branch, space, place, depth + 1) for branch in branches]
        whole = tuple(
            branch.shape if isinstance(branch, Unread) and isinstance(branch.shape, Null) else branch
            for branch in found
            if branch is not None
        )
        return Unread(Union(whole), why) if len(whole) == len(found) else None

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
            why = "a record without fields takes no bytes, so millions of them fit in five"
            empty = fields == [] and bool(place)
            self.named[full] = self.unread(where, Null(), why) if empty else self.refuse(where, why)
            return self.named[full]
        self.open.add(full)
        members = [self.member(field, inner, where, depth) for field in fields]
        self.open.discard(full)
        names = [member.name for member in members if member is not None]
        if len(set(names)) < len(names):
            self.refuse(where, f"a field is named twice: {', '.join(names)}")
        whole = all(member is not None for member in members)
        self.named[full] = Record(full, tuple(member for member in members if member is not None)) if whole else None
        return self.named[full]

    def member(self, field: object, space: str, place: str, depth: int) -> RecordField | None:
        name = field.get("name") if isinstance(field, dict) else None
        if not isinstance(field, dict) or not isinstance(name, str) or not _NAME.match(name) or "." in name:
            self.refuse(place, f"a field needs a name of letters, digits and underscores: {str(field)[:80]}")
            return None
        where = f"{place}.{name}"
        node = self.node(field.get("type"), space, where, depth + 1)
        if node is None:
            return None
        default = field.get("default", MISSING)
        if default is not MISSING and not self.strangers and (why := misfit(node, default, default=True)):
            self.refuse(where, f"the default does not fit the type: {why}")
        told = field.get("aliases")
        aliases = [name for name in told if isinstance(name, str)] if isinstance(told, list) else []
        return RecordField(name, node, default, tuple(aliases), str(field.get("doc", "")))
