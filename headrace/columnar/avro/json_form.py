"""Values in Avro's JSON form: defaults in schemas, and examples."""

from __future__ import annotations

from typing import Any

from headrace.columnar.avro.types import MISSING, Array, Enum, Leaf, Map, Node, Nullable, Record, Unread

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
        case Unread():
            return ""  # nobody reads it
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


def native(node: Node, value: Any, mapping: type[list[Any]] | type[dict[str, Any]] = list) -> Any:
    r"""A JSON value that fits, in Python's types, defaults filled in.

    A map becomes a list of pairs, as Arrow takes it, or a dict, as other Avro libraries do.

    >>> native(Map(Leaf("bytes")), {"a": "\u00ff"})
    [('a', b'\xff')]
    """
    match node:
        case Nullable():
            return None if value is None else native(node.inner, value, mapping)
        case Leaf(kind="bytes"):
            return value.encode("latin-1")
        case Array():
            return [native(node.item, item, mapping) for item in value]
        case Map():
            return mapping((key, native(node.value, item, mapping)) for key, item in value.items())
        case Record():
            parts = ((member, value.get(member.name, member.default)) for member in node.members)
            return {member.name: native(member.type, part, mapping) for member, part in parts}
        case _:
            return value


def _record_misfit(node: Record, value: dict[str, object], default: bool) -> str:
    for member in node.members:
        if member.name not in value:
            if not (default and member.default is not MISSING):
                return f"`{member.name}` is missing"
        elif why := misfit(member.type, value[member.name], default=default):
            return f"`{member.name}`: {why}"
    extra = value.keys() - {member.name for member in node.members}
    return f"`{min(extra)}` is not a field of {node.name}" if extra else ""
