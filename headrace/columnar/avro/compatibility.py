"""Whether records of one version of a schema can be read as another.

Avro's schema resolution (specification, "Schema Resolution"), less what depends on each record's data: a field that may
be null read as one that may not, bytes read as a string, and enum symbols that the reader lacks without a default are
incompatible here, so that a version that is accepted is readable to its last record.
"""

from __future__ import annotations

from headrace.columnar.avro.types import MISSING, Array, Enum, Leaf, Map, Node, Nullable, Record, RecordField, Unread

_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
}


def incompatibilities(writer: Node, reader: Node, place: str = "") -> list[str]:
    """Why records of the writer's type cannot all be read as the reader's; an empty list when they can.

    >>> incompatibilities(Leaf("long"), Leaf("int"), "amount")
    ['amount: long cannot be read as int']
    """
    match writer, reader:
        case Unread(), _:
            return [f"{place}: {writer.why}"]
        case Nullable(), Nullable():
            return incompatibilities(writer.inner, reader.inner, place)
        case _, Nullable():
            return incompatibilities(writer, reader.inner, place)
        case Leaf(), Leaf():
            meanings = {writer.logical, reader.logical} - {None}
            same = writer.kind == reader.kind and len(meanings) < 2
            promoted = not writer.logical and not reader.logical and reader.kind in _PROMOTIONS.get(writer.kind, ())
            return [] if same or promoted else [f"{place}: {word(writer)} cannot be read as {word(reader)}"]
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
            return [f"{place}: {word(writer)} cannot be read as {word(reader)}"]


def _member_problems(writer: Record, member: RecordField, place: str) -> list[str]:
    if (index := find(writer, member)) is not None:
        return incompatibilities(writer.members[index].type, member.type, place)
    return [f"{place}: new without a default"] if member.default is MISSING else []


def find(writer: Record, member: RecordField) -> int | None:
    """Index of the writer's field that this one is read from, by its name or one of its former names; None if none."""
    names = [other.name for other in writer.members]
    return next((names.index(name) for name in (member.name, *member.aliases) if name in names), None)


def _last(node: Enum | Record) -> str:
    return node.name.rpartition(".")[2]


def word(node: Node) -> str:
    """A type in a word or two, for messages."""
    match node:
        case Leaf():
            return node.logical or node.kind
        case Enum() | Record():
            return f"{type(node).__name__.lower()} {node.name}"
        case Nullable():
            return f"nullable {word(node.inner)}"
        case _:
            return type(node).__name__.lower()
