"""What a producer's schema says of its records, whatever language it is written in: groups, and values by path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["integer", "number", "string", "boolean"]
"""What a value is in a record."""
Unit = Literal["seconds", "millis", "micros", "nanos", "iso", "days"]
DEEPEST = 32
"""Levels of groups that are followed: deeper schemas are refused."""
MOST_PARTS = 20_000
"""Parts of a schema: a few lines of references can spell more than memory holds."""
PER_MILLI = {"nanos": 1_000_000, "micros": 1_000, "millis": 1}
MILLIS = {"seconds": 1_000, "days": 86_400_000}
"""How many of a unit a millisecond has, or it of milliseconds."""


@dataclass(frozen=True, slots=True)
class TimeNotation:
    """How a time is written.

    Attributes:
        unit: of a number since 1970; `iso`: a text, ISO 8601.
        zone: IANA name of the zone that times without one are in; None: such a time is refused.
        ambiguous: which of the two is meant where clocks were set back; `refuse` refuses it.
    """

    unit: Unit
    zone: str | None = None
    ambiguous: Literal["refuse", "earliest", "latest"] = "refuse"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value.

    Attributes:
        reads: what it is in the record.
        time: how it tells a time, where the schema says that it does.
        wire: how the format writes it, in the format's own word.
        symbols: of an enum whose values are numbers in the record: their names.
        scale: of a decimal, how many of its digits are behind the point; None for others.
    """

    reads: Kind
    time: TimeNotation | None = None
    wire: str = ""
    symbols: Mapping[int, str] = field(default_factory=dict)
    scale: int | None = None


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value that is stepped over, and why it cannot be read."""

    why: str


@dataclass(frozen=True, slots=True)
class ShapePart:
    """A member of a group.

    Attributes:
        nullable: whether null may stand there.
        optional: whether it may be left out.
        numbers: of its field, in Protobuf; of a wrapper's, and of the value in it.
        implicit: whether not written means 0, or an empty text.
        choice: of a oneof, its number among those of the message; -1 for none.
    """

    name: str
    type: Scalar | Group | Opaque
    nullable: bool = False
    optional: bool = False
    numbers: tuple[int, ...] = ()
    implicit: bool = False
    choice: int = -1


@dataclass(frozen=True, slots=True)
class Group:
    """Named values."""

    parts: Mapping[str, ShapePart]


def group_of(parts: list[ShapePart]) -> Group:
    """A group of parts, the later of two of one name."""
    return Group({part.name: part for part in parts})


@dataclass(frozen=True, slots=True)
class FoundShape:
    """What lies at a path.

    Attributes:
        type: what it is.
        nullable: whether it, or a group above it, may be null.
        optional: whether it, or a group above it, may be left out.
        parts: those on the way, and itself.
    """

    type: Scalar | Group | Opaque
    nullable: bool
    optional: bool
    parts: tuple[ShapePart, ...]


def follow(group: Group, path: tuple[str, ...]) -> FoundShape | str:
    """What lies at a path; or the part of it that nobody has, as `a.b`.

    >>> inner = Group({"b": ShapePart("b", Scalar("integer"))})
    >>> found = follow(Group({"a": ShapePart("a", inner, optional=True)}), ("a", "b"))
    >>> found.type.reads, found.nullable, found.optional
    ('integer', False, True)
    >>> follow(inner, ("b", "c"))
    'b.c'
    """
    here: Scalar | Group | Opaque = group
    nullable = optional = False
    parts: list[ShapePart] = []
    for depth, name in enumerate(path):
        part = here.parts.get(name) if isinstance(here, Group) else None
        if part is None:
            return here.why if isinstance(here, Opaque) else ".".join(path[: depth + 1])
        nullable, optional = nullable or part.nullable, optional or part.optional
        parts.append(part)
        here = part.type
    return FoundShape(here, nullable, optional, tuple(parts))
