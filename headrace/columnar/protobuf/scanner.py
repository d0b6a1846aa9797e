"""Fields at paths of Protobuf messages as Arrow columns, with a verdict for each message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.avro.read_kernels import gather, measure
from headrace.columnar.jit import frozen
from headrace.columnar.protobuf import instructions as kinds
from headrace.columnar.protobuf.instructions import (
    DEEPEST,
    DEPTH,
    FIELD,
    MALFORMED,
    PARSING,
    RANGE,
    SET,
    TRUNCATED,
    WIRE,
    WIRES,
)
from headrace.columnar.protobuf.kernels import parse
from headrace.columnar.structs import array_of, span_of

KINDS = {
    "int64": kinds.SIGNED, "uint64": kinds.UNSIGNED, "sint64": kinds.ZIGZAG, "int32": kinds.SIGNED32,
    "uint32": kinds.UNSIGNED32, "sint32": kinds.ZIGZAG32, "bool": kinds.BOOL, "enum": kinds.SIGNED32,
    "fixed64": kinds.FIXED64, "sfixed64": kinds.SFIXED64, "double": kinds.DOUBLE, "fixed32": kinds.FIXED32,
    "sfixed32": kinds.SFIXED32, "float": kinds.FLOAT, "string": kinds.TEXT, "timestamp": kinds.STAMP,
    "any": kinds.MESSAGE,
}  # fmt: skip  # one table
"""What may be looked for; `any` is a message, of which is told that it is there."""
_WHY = {
    TRUNCATED: "ends too early",
    MALFORMED: "is no Protobuf",
    WIRE: "is not written as its type is",
    RANGE: "is beyond its type, or beyond 64 bits with a sign",
    DEPTH: f"has more than {DEEPEST} levels",
}


@dataclass(frozen=True, slots=True)
class ProtobufColumn:
    """A field that is looked for.

    Attributes:
        path: numbers of the messages around it and its own.
        kind: of `KINDS`.
        place: its names, for messages.
        implicit: whether not written means 0, or an empty text.
        choices: at each level the number of the oneof that the field is of, -1 for none.
    """

    path: tuple[int, ...]
    kind: str
    place: str
    implicit: bool = False
    choices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ProtobufCells:
    """A column of what was found: whether each value is set, and the values."""

    there: npt.NDArray[np.bool_]
    values: pa.Array


@dataclass(frozen=True, slots=True)
class ProtobufScan:
    """Good messages by row (int64, ascending), their cells by column, and why others are none, by row."""

    rows: npt.NDArray[np.int64]
    columns: list[ProtobufCells]
    wrong: dict[int, str]


@dataclass(slots=True)
class _Message:
    fields: dict[int, _Message] = field(default_factory=dict)
    slot: int = -1
    choices: dict[int, int] = field(default_factory=dict)


class ProtobufColumns:
    """Finds fields at paths in Protobuf messages.

    Args:
        columns: no path may begin with another, but that of an `any`, beneath which others may lie.
    """

    def __init__(self, columns: Sequence[ProtobufColumn]) -> None:
        self._columns = columns
        root = _Message()
        for slot, column in enumerate(columns):
            here = root
            for depth, number in enumerate(column.path):
                here.choices[number] = column.choices[depth] if depth < len(column.choices) else -1
                here = here.fields.setdefault(number, _Message())
            here.slot = slot
        order: list[_Message] = []
        behind: list[int] = []

        def walk(node: _Message) -> None:
            number = len(order)
            order.append(node)
            behind.append(0)
            for child in node.fields.values():
                if child.fields:
                    walk(child)
            behind[number] = len(order)

        walk(root)
        numbers = {id(node): number for number, node in enumerate(order)}
        lines: list[tuple[int, int, int, int, int, int, int]] = []
        firsts: list[int] = []
        for node in order:
            firsts.append(len(lines))
            for number, child in node.fields.items():
                inner = numbers.get(id(child), -1)
                of = self._columns[child.slot] if child.slot >= 0 else None
                kind = KINDS[of.kind] if of is not None else kinds.MESSAGE
                implicit = int(of is not None and of.implicit)
                lines.append((number, child.slot, inner, kind, WIRES[kind], implicit, node.choices[number]))
        self._fields = array_of(FIELD, max(len(lines), 1))
        for place, line in enumerate(lines):
            self._fields[place] = line
        self._nodes = np.array([*firsts, len(lines)], np.int64)
        self._behind = np.array(behind, np.int64)

    def scan(self, messages: pa.BinaryArray) -> ProtobufScan:
        """Find the fields of a batch of messages without nulls."""
        count, width = len(messages), len(self._columns)
        _, offsets, data = messages.buffers()
        ends = frozen(np.frombuffer(offsets, np.int32)[messages.offset : messages.offset + count + 1])
        states, values = np.zeros((width, count), np.uint8), np.zeros((width, count), np.int64)
        status, rows, failed = np.zeros(count, np.uint8), np.zeros(count, np.int64), np.zeros(count, np.int64)
        base = data.address if data is not None else 0
        told = array_of(PARSING, 1)
        told["base"], told["offsets"], told["fields"] = base, span_of(ends), span_of(self._fields)
        told["nodes"], told["behind"] = span_of(self._nodes), span_of(self._behind)
        told["states"], told["values"] = span_of(states.reshape(-1)), span_of(values.reshape(-1))
        good = parse(told[0], width, status, rows, failed, count)
        wrong = {row: self._said(int(status[row]), int(failed[row])) for row in np.flatnonzero(status).tolist()}
        cells, unfit = [], np.zeros(good, np.bool_)
        for column, state, value in zip(self._columns, states[:, :good], values[:, :good], strict=True):
            there = state == SET
            made, strange = _cells(base, column.kind, there, np.ascontiguousarray(np.where(there, value, 0)))
            cells.append(ProtobufCells(there, made))
            for at in np.flatnonzero(strange & ~unfit).tolist():
                wrong[int(rows[at])] = f"`{column.place}` is no UTF-8"
            unfit |= strange
        rows = rows[:good]
        if unfit.any():
            keep = pa.array(~unfit)
            cells = [ProtobufCells(one.there[~unfit], one.values.filter(keep)) for one in cells]
            rows = rows[~unfit]
        return ProtobufScan(rows, cells, wrong)

    def _said(self, status: int, failed: int) -> str:
        """Why a message is none, without its content."""
        column, byte = failed >> 32, failed & 0xFFFF_FFFF
        what = f"`{self._columns[column].place}`" if column < len(self._columns) else "the message"
        return f"{what} {_WHY[status]}, at byte {byte}"


def _cells(
    base: int, kind: str, there: npt.NDArray[np.bool_], values: npt.NDArray[np.int64]
) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """A column, and which of its texts are no UTF-8."""
    none = np.zeros(len(values), np.bool_)
    if kind == "bool":
        return pa.array(values.astype(np.bool_)), none
    if kind == "double":
        return pa.array(values.view(np.float64)), none
    if kind == "float":
        return pa.array(values.astype(np.int32).view(np.float32).astype(np.float64)), none
    if kind == "any":
        return pa.repeat(pa.scalar(""), len(values)), none
    if kind != "string":
        return pa.array(values), none
    offsets = np.empty(len(values) + 1, np.int32)
    data = np.empty(measure(values, offsets), np.uint8)
    gather(base, values, data.ctypes.data)
    found = pa.Array.from_buffers(pa.binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    try:
        return found.cast(pa.string()), none
    except pa.ArrowInvalid:
        texts = [_text(one) for one in found.to_pylist()]
        strange = np.array([text is None for text in texts], np.bool_)
        return pa.array([text or "" for text in texts], pa.string()), strange


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
