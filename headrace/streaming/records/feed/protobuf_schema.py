"""Protobuf descriptors as shapes: files that `protoc --include_imports --descriptor_set_out` writes.

See https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/descriptor.proto. They are read here by
themselves, so that no library is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from headrace.errors import ContractError
from headrace.streaming.records.feed.shape import (
    DEEPEST,
    MOST_PARTS,
    Group,
    Kind,
    Opaque,
    Scalar,
    ShapePart,
    TimeNotation,
    group_of,
)

_SCALARS: dict[int, tuple[str, Kind]] = {
    1: ("double", "number"), 2: ("float", "number"), 3: ("int64", "integer"), 4: ("uint64", "integer"),
    5: ("int32", "integer"), 6: ("fixed64", "integer"), 7: ("fixed32", "integer"), 8: ("bool", "boolean"),
    9: ("string", "string"), 13: ("uint32", "integer"), 15: ("sfixed32", "integer"), 16: ("sfixed64", "integer"),
    17: ("sint32", "integer"), 18: ("sint64", "integer"),
}  # fmt: skip  # one table
_GROUP, _MESSAGE, _BYTES, _ENUM = 10, 11, 12, 14
_REQUIRED, _REPEATED = 2, 3
_TIMESTAMP = ".google.protobuf.Timestamp"
_WRAPPERS = frozenset(f".google.protobuf.{word}Value" for word in (
    "Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String"))  # fmt: skip  # one list


@dataclass(frozen=True, slots=True)
class _Described:
    """A message or enum: its bytes, the syntax of its file, and its place in it."""

    body: bytes
    syntax: str
    indexes: tuple[int, ...]


@dataclass(slots=True)
class _Descriptors:
    messages: dict[str, _Described] = field(default_factory=dict)
    enums: dict[str, bytes] = field(default_factory=dict)
    parts: int = 0


def shape_of(content: bytes, message: str) -> tuple[Group, tuple[int, ...]]:
    """The shape of a message by its full name, and its indexes within its file.

    Raises:
        ContractError: these are no descriptors, or the message is not among them.
    """
    reader = _Descriptors()
    try:
        for number, file in _fields(content):
            if number == 1 and isinstance(file, bytes):
                _take_file(reader, file)
        full = "." + message.removeprefix(".")
        if full not in reader.messages:
            known = ", ".join(sorted(name[1:] for name in reader.messages)[:20]) or "none"
            raise ContractError(f"no message {message} in the descriptors: there are {known}")
        return _group(reader, full, 0, (full,)), reader.messages[full].indexes
    except (ValueError, UnicodeDecodeError):
        raise ContractError("no descriptor set: make one with protoc --descriptor_set_out") from None


def _take_file(reader: _Descriptors, file: bytes) -> None:
    package = _text(file, 2)
    syntax = _text(file, 12) or "proto2"
    if syntax not in ("proto2", "proto3"):
        raise ContractError(f"{_text(file, 1)} is of {syntax}, and proto2 and proto3 are read")
    _take_types(reader, file, 4, f".{package}" if package else "", syntax, ())


def _take_types(
    reader: _Descriptors, body: bytes, of_messages: int, space: str, syntax: str, indexes: tuple[int, ...]
) -> None:
    """Messages and enums of a file, or of a message."""
    if len(indexes) > DEEPEST:
        raise ContractError(f"messages are defined within messages deeper than {DEEPEST}")
    of_enums = 5 if of_messages == 4 else 4
    index = 0
    for number, value in _fields(body):
        if not isinstance(value, bytes):
            continue
        if number == of_messages:
            name = f"{space}.{_text(value, 1)}"
            reader.messages[name] = _Described(value, syntax, (*indexes, index))
            _take_types(reader, value, 3, name, syntax, (*indexes, index))
            index += 1
        elif number == of_enums:
            reader.enums[f"{space}.{_text(value, 1)}"] = value


def _group(reader: _Descriptors, name: str, depth: int, open_: tuple[str, ...]) -> Group:
    described = reader.messages[name]
    bodies = [value for number, value in _fields(described.body) if number == 2 and isinstance(value, bytes)]
    return group_of([_part(reader, body, described.syntax, depth, open_) for body in bodies])


def _part(reader: _Descriptors, body: bytes, syntax: str, depth: int, open_: tuple[str, ...]) -> ShapePart:
    reader.parts += 1
    if reader.parts > MOST_PARTS:
        raise ContractError(f"the descriptors spell more than {MOST_PARTS} fields")
    told = {number: value for number, value in _fields(body) if isinstance(value, int)}
    name, number, label, kind = _text(body, 1), told.get(3, 0), told.get(4, 1), told.get(5, 0)
    choice = -1 if 9 not in told or told.get(17) else told[9]
    presence = syntax == "proto2" or choice >= 0 or bool(told.get(17)) or kind == _MESSAGE
    nullable = presence and label != _REQUIRED
    type_name = _text(body, 6)
    numbers: tuple[int, ...] = (number,)
    found: Scalar | Group | Opaque
    if label == _REPEATED:
        found = Opaque("it is repeated")
    elif kind in _SCALARS:
        word, reads = _SCALARS[kind]
        found = Scalar(reads, None, word)
    elif kind == _ENUM and type_name in reader.enums:
        found = Scalar("string", None, "enum", _symbols(reader.enums[type_name]))
    elif kind == _MESSAGE and type_name == _TIMESTAMP:
        found = Scalar("integer", TimeNotation("millis"), "timestamp")
    elif kind == _MESSAGE and type_name in reader.messages:
        found = _message(reader, type_name, depth, open_)
        if type_name in _WRAPPERS and isinstance(found, Group):
            inner = found.parts["value"]
            found, numbers = inner.type, (number, *inner.numbers)
    else:
        found = Opaque("it is bytes" if kind == _BYTES else "it is of no type that is known")
    implicit = not presence or type_name in _WRAPPERS
    return ShapePart(name, found, nullable, False, numbers, implicit, choice)


def _message(reader: _Descriptors, name: str, depth: int, open_: tuple[str, ...]) -> Group | Opaque:
    if name in open_:
        return Opaque("it contains itself")
    if depth >= DEEPEST:
        return Opaque(f"nested deeper than {DEEPEST}")
    return _group(reader, name, depth + 1, (*open_, name))


def _symbols(body: bytes) -> dict[int, str]:
    found: dict[int, str] = {}
    for number, value in _fields(body):
        if number == 2 and isinstance(value, bytes):
            told = {n: v for n, v in _fields(value) if isinstance(v, int)}
            code = told.get(2, 0)
            found.setdefault(code - (1 << 64) if code >= 1 << 63 else code, _text(value, 1))
    return found


def _text(body: bytes, wanted: int) -> str:
    return next((value.decode() for n, value in _fields(body) if n == wanted and isinstance(value, bytes)), "")


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field; ValueError where these are none."""
    here = 0
    while here < len(body):
        tag, here = _varint(body, here)
        if tag & 7 == 0:
            value, here = _varint(body, here)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(tag & 7, 0)
        if tag & 7 == 2:
            size, here = _varint(body, here)
        elif not size:
            raise ValueError(tag)
        if size > len(body) - here:
            raise ValueError(size)
        yield tag >> 3, body[here : here + size]
        here += size


def _varint(body: bytes, here: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(body[here : here + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, here + place + 1
    raise ValueError(here)
