"""Producers' records in Protobuf: one message a record, with or without a registry's header before it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from headrace.columnar.protobuf.scanner import ProtobufCells, ProtobufColumn, ProtobufColumns
from headrace.errors import ContractError
from headrace.streaming.records.codec import Bad
from headrace.streaming.records.feed.column import FeedColumn, FeedForm
from headrace.streaming.records.feed.feed_codec import NULL, THERE, Scan, Scanned, scanned_by

_HEADER = 5
"""Bytes of Confluent's framing before the indexes of the message: 0, and the schema's id, which is not looked up."""


class ProtobufScanner:
    """Reads columns of Protobuf messages.

    A field that is not set is null where the message can tell it from one that is 0; else it is 0, or an empty text.
    Fields are known by their numbers, so that a message of another version is read as this one.
    """

    def __init__(self, form: FeedForm) -> None:
        self._columns = scanned_by(form)
        self._reading = ProtobufColumns([_looked_for(column) for column in self._columns])
        # A message that stands first in its file has a short form of its own.
        self._heads = [b"\0"] if form.message == (0,) else []
        self._heads.append(b"".join(_varint(_zigzag(number)) for number in (len(form.message), *form.message)))

    def scan(self, values: Sequence[bytes | None]) -> Scan:
        """As `Scanner.scan`."""
        bad: list[Bad] = []
        kept: list[int] = []
        bodies: list[bytes] = []
        for row, value in enumerate(values):
            body = self._body(value or b"")
            if body is None:
                bad.append(Bad(row, "unknown_schema", "its header names another message of the file"))
            else:
                kept.append(row)
                bodies.append(body)
        found = self._reading.scan(pa.array(bodies, pa.binary()))
        places = np.array(kept, np.int64)
        bad += [Bad(kept[row], "malformed", why) for row, why in found.wrong.items()]
        cells = [_scanned(column, one) for column, one in zip(self._columns, found.columns, strict=True)]
        return Scan(places[found.rows], cells, sorted(bad, key=lambda one: one.row))

    def _body(self, value: bytes) -> bytes | None:
        """A message without its header: none begins with a 0 byte, which would be a field of number 0."""
        if value[:1] != b"\0":
            return value
        for head in self._heads:
            if value.startswith(head, _HEADER):
                return value[_HEADER + len(head) :]
        return None

    def write(self, columns: Sequence[Sequence[object]]) -> list[bytes]:
        """As `Scanner.write`; without a header."""
        return [_message([*zip(self._columns, row, strict=False)], 0) for row in zip(*columns, strict=True)]


def _looked_for(column: FeedColumn) -> ProtobufColumn:
    numbers = tuple(number for part in column.parts for number in part.numbers)
    choices = tuple(choice for part in column.parts for choice in (part.choice, *(-1 for _ in part.numbers[1:])))
    implicit = bool(column.parts) and column.parts[-1].implicit
    return ProtobufColumn(numbers, column.scalar.wire, column.place, implicit, choices)


def _scanned(column: FeedColumn, cells: ProtobufCells) -> Scanned:
    """A column; an enum's names in place of its numbers."""
    states = np.where(cells.there, THERE, NULL).astype(np.uint8)
    if column.scalar.wire != "enum":
        return Scanned(states, cells.values)
    names = column.scalar.symbols
    texts = pa.array([names.get(code) for code in cells.values.to_pylist()], pa.string())
    nameless = cells.there & texts.is_null().to_numpy(zero_copy_only=False)
    return Scanned(states, texts, nameless, "is a number that the enum has no name for")


def _zigzag(number: int) -> int:
    return (number << 1) ^ (number >> 63)


def _varint(number: int) -> bytes:
    rest = number & 0xFFFF_FFFF_FFFF_FFFF
    written = bytearray()
    while rest > 0x7F:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*written, rest])


def _message(cells: list[tuple[FeedColumn, object]], depth: int) -> bytes:
    """A message with these values; those that are null are not set."""
    written = b""
    groups: dict[int, list[tuple[FeedColumn, object]]] = {}
    for column, value in cells:
        numbers = [number for part in column.parts for number in part.numbers]
        if value is None:
            continue
        if len(numbers) > depth + 1:
            groups.setdefault(numbers[depth], []).append((column, value))
        else:
            written += _field(numbers[-1], column, value)
    for number, inner in groups.items():
        body = _message(inner, depth + 1)
        written += _varint(number << 3 | 2) + _varint(len(body)) + body
    return written


def _field(number: int, column: FeedColumn, value: object) -> bytes:
    wire = column.scalar.wire
    packs = {"double": (1, "<d"), "float": (5, "<f"), "fixed64": (1, "<Q"), "sfixed64": (1, "<q"),
             "fixed32": (5, "<I"), "sfixed32": (5, "<i")}  # fmt: skip  # one table
    try:
        if wire == "string":
            body = str(value).encode()
            return _varint(number << 3 | 2) + _varint(len(body)) + body
        if wire == "timestamp" and isinstance(value, int):
            body = b"\x08" + _varint(value // 1000) + b"\x10" + _varint(value % 1000 * 1_000_000)
            return _varint(number << 3 | 2) + _varint(len(body)) + body
        if wire in packs:
            return _varint(number << 3 | packs[wire][0]) + struct.pack(packs[wire][1], value)
        if wire == "enum":
            codes = {name: code for code, name in column.scalar.symbols.items()}
            return _varint(number << 3) + _varint(codes[str(value)])
        assert isinstance(value, int), "all others are integers"
        low, high = {"uint64": (0, 1 << 63), "uint32": (0, 1 << 32)}.get(wire, (-(1 << 63), 1 << 63))
        if wire in ("int32", "sint32"):
            low, high = -(1 << 31), 1 << 31
        if not low <= value < high:
            raise ContractError(f"column {column.name}: {value} is beyond {wire}")
        return _varint(number << 3) + _varint(_zigzag(value) if wire.startswith("sint") else value)
    except (struct.error, OverflowError, KeyError):
        raise ContractError(f"column {column.name}: a value that {wire} does not have") from None
