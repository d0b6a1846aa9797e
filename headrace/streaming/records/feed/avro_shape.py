"""Avro records as shapes: what of them can be read by columns."""

from __future__ import annotations

from headrace.columnar.avro.types import MISSING, Enum, Fixed, Leaf, Node, Null, Nullable, Record, Shape, Union, Unread
from headrace.streaming.records.feed.shape import Group, Kind, Opaque, Scalar, ShapePart, TimeNotation, Unit, group_of

_KINDS: dict[str, Kind] = {
    "boolean": "boolean", "int": "integer", "long": "integer", "float": "number", "double": "number",
    "string": "string", "bytes": "string",
}  # fmt: skip  # one table
_TIMES: dict[str, Unit] = {
    "timestamp-millis": "millis", "timestamp-micros": "micros", "timestamp-nanos": "nanos", "date": "days",
}  # fmt: skip  # one table
_NEVER = frozenset({"duration", "big-decimal"})


def shape_of(record: Record) -> Group:
    """The shape of a record type; what cannot be read by columns is opaque.

    Times of day and local times are whole numbers, until a pipeline file says how they tell a time. Bytes, and fixed
    ones, are texts of two hexadecimal digits a byte; a decimal is a number.
    """
    return group_of([_part(m.name, m.type, m.default is not MISSING) for m in record.members])


def _part(name: str, node: Node, defaults: bool) -> ShapePart:
    inner = node.inner if isinstance(node, Nullable) else node
    bare = inner.shape if isinstance(inner, Unread) else inner
    nullable = isinstance(node, Nullable) or (isinstance(bare, Union) and Null() in bare.branches)
    return ShapePart(name, scalar_or_group(inner), nullable, defaults)


def scalar_or_group(node: Shape) -> Scalar | Group | Opaque:
    """What a type is, without the null of a nullable one."""
    match node:
        case Unread(shape=Leaf() | Fixed() | Union() as bare):
            return scalar_or_group(bare)
        case Leaf(note=note) | Fixed(note=note) if note in _NEVER:
            return Opaque(f"it is a {note}")
        case Leaf(note="decimal") | Fixed(note="decimal") if not isinstance(node, Leaf) or node.kind == "bytes":
            return Scalar("number", None, "decimal", {}, node.scale)
        case Leaf():
            unit = _TIMES.get(node.logical or node.note)
            return Scalar(_KINDS[node.kind], TimeNotation(unit) if unit else None, node.kind)
        case Fixed():
            return Scalar("string", None, "uuid" if node.note == "uuid" and node.size == 16 else "bytes")
        case Enum():
            return Scalar("string", None, "enum")
        case Record():
            return shape_of(node)
        case Union():
            return _any_of(node)
        case Unread():
            return Opaque(node.why)
    return Opaque(f"it is {'an array' if type(node).__name__ == 'Array' else 'a map'}")


def _any_of(node: Union) -> Scalar | Opaque:
    """A union of several types: a number where all are, a text where whole numbers and texts are."""
    found = [scalar_or_group(branch) for branch in node.branches if not isinstance(branch, Null)]
    kinds = {one.reads for one in found if isinstance(one, Scalar) and one.time is None and one.scale is None}
    if len([one for one in found if isinstance(one, Scalar) and one.time is None and one.scale is None]) < len(found):
        return Opaque("it is one of several types that are not all plain values")
    for kind, of in (("integer", {"integer"}), ("number", {"integer", "number"}), ("string", {"integer", "string"})):
        if kinds <= of:
            return Scalar(kind, None, "union")  # type: ignore[arg-type]  # of the kinds
    return Opaque("it is one of several types that have no kind in common")
