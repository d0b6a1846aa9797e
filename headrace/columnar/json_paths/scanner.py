"""Values at paths of JSON objects as Arrow columns, with a verdict for each text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from headrace.columnar.jit import frozen
from headrace.columnar.json_paths.instructions import (
    ANY,
    BOOLEAN,
    DEEPEST,
    DEPTH,
    EMPTY,
    FRACTION,
    INTEGER,
    KEY,
    KIND,
    NO_OBJECT,
    NUMBER,
    RANGE,
    SCANNING,
    STRING,
    SYNTAX,
    TEXT,
    THERE,
    TRAILING,
    TWICE,
    WHOLE,
)
from headrace.columnar.json_paths.kernels import gather, scan
from headrace.columnar.structs import array_of, span_of

KINDS = {"integer": INTEGER, "number": NUMBER, "string": STRING, "boolean": BOOLEAN, "any": ANY}
"""What may be looked for; `any` is an object, of which is told that it is there."""
_DUE = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "true or false",
        "any": "an object"}  # fmt: skip  # one table
_WHY = {
    SYNTAX: "no JSON",
    TEXT: "a string with characters or escapes that JSON does not have",
    DEPTH: f"more than {DEEPEST} levels of brackets",
    NO_OBJECT: "not an object",
    TRAILING: "something behind the object",
    EMPTY: "empty",
    TWICE: "comes twice",
    FRACTION: "is written with a fraction or exponent, and a whole number is due",
    RANGE: "is a whole number beyond 64 bits",
}
_EXACT = 1 << 53
_NEVER_ROUNDED = 15
"""Digits of whole numbers that 64-bit floating-point numbers hold, whichever they are."""


@dataclass(frozen=True, slots=True)
class JsonColumn:
    """A value that is looked for: its path, and what it must be."""

    path: tuple[str, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class JsonCells:
    """A column of what was found: `states` (uint8) is 0 where the path ends nowhere, 1 for null, 2 for a value."""

    states: npt.NDArray[np.uint8]
    values: pa.Array


@dataclass(frozen=True, slots=True)
class JsonScan:
    """Good texts by row (int64, ascending), their cells by column, and why others are none, by row."""

    rows: npt.NDArray[np.int64]
    columns: list[JsonCells]
    wrong: dict[int, str]


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node | int] = field(default_factory=dict)


class JsonColumns:
    """Finds values at paths in JSON objects.

    Exact: whole numbers keep every digit of 64 bits, others become the nearest number of 64 bits, and what would be
    another value is refused: a whole number where a floating-point one is due that would be rounded, one with a
    fraction where a whole one is due, a key that is looked for and comes twice. Other keys may hold any JSON.

    Args:
        columns: no path may begin with another, but that of an `any`, beneath which others may lie.
    """

    def __init__(self, columns: Sequence[JsonColumn]) -> None:
        self._columns = columns
        self._whole = [place for place, column in enumerate(columns) if column.kind == "any"]
        root = _Node()
        for slot, column in enumerate(columns):
            if column.kind != "any":
                _plant(root, column.path, slot)
        self._any = {column.path: slot for slot, column in enumerate(columns) if column.kind == "any"}
        self._assemble(root)

    def _assemble(self, root: _Node) -> None:
        order: list[tuple[_Node, tuple[str, ...]]] = []
        behind: list[int] = []

        def walk(node: _Node, path: tuple[str, ...]) -> None:
            number = len(order)
            order.append((node, path))
            behind.append(0)
            for name, child in node.children.items():
                if isinstance(child, _Node):
                    walk(child, (*path, name))
            behind[number] = len(order)

        for path in self._any:
            _plant(root, path, None)
        walk(root, ())
        numbers = {path: number for number, (_, path) in enumerate(order)}
        letters = b""
        lines: list[tuple[int, int, int, int, int]] = []
        firsts = []
        for node, path in order:
            firsts.append(len(lines))
            for name, child in node.children.items():
                spelt = name.encode()
                below = (*path, name)
                inner = numbers[below] if isinstance(child, _Node) else -1
                slot = self._any.get(below, -1) if isinstance(child, _Node) else child
                kind = KINDS[self._columns[slot].kind] if slot >= 0 else ANY
                lines.append((len(letters), len(spelt), slot, inner, kind))
                letters += spelt
        self._keys = array_of(KEY, len(lines))
        for place, line in enumerate(lines):
            self._keys[place] = line
        self._nodes = np.array([*firsts, len(lines)], np.int64)
        self._behind = np.array(behind, np.int64)
        self._letters = np.frombuffer(letters or b"\0", np.uint8).copy()

    def scan(self, texts: pa.BinaryArray) -> JsonScan:
        """Find the values of a batch of texts without nulls."""
        count, width = len(texts), len(self._columns)
        texts, wrong = _in_utf8(texts)
        _, offsets, data = texts.buffers()
        ends = frozen(np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + count + 1])
        states, values = np.zeros((width, count), np.uint8), np.zeros((width, count), np.int64)
        marks = np.zeros(width + len(self._nodes), np.int64)
        scratch = np.empty(int(np.diff(ends).max(initial=0)) + 8, np.uint8)
        status, rows, failed = np.zeros(count, np.uint8), np.zeros(count, np.int64), np.zeros(count, np.int64)
        base = data.address if data is not None else 0
        told = array_of(SCANNING, 1)
        told["base"], told["offsets"], told["letters"] = base, span_of(ends), span_of(self._letters)
        told["keys"], told["nodes"], told["behind"] = span_of(self._keys), span_of(self._nodes), span_of(self._behind)
        told["states"], told["values"] = span_of(states.reshape(-1)), span_of(values.reshape(-1))
        told["marks"], told["scratch"] = span_of(marks), span_of(scratch)
        good = scan(told[0], width, status, rows, failed, count)
        for row in np.flatnonzero(status).tolist():
            wrong.setdefault(row, self._said(int(status[row]), int(failed[row])))
        cells, unfit = [], np.zeros(good, np.bool_)
        for column, state, value in zip(self._columns, states[:, :good], values[:, :good], strict=True):
            made, rounded = _cells(base, column.kind, np.ascontiguousarray(state), np.ascontiguousarray(value))
            cells.append(made)
            for at in np.flatnonzero(rounded & ~unfit).tolist():
                wrong[int(rows[at])] = f"`{'.'.join(column.path)}` is a number that 64 bits would round or not hold"
            unfit |= rounded
        rows = rows[:good]
        if unfit.any():
            keep = pa.array(~unfit)
            cells = [JsonCells(one.states[~unfit], one.values.filter(keep)) for one in cells]
            rows = rows[~unfit]
        return JsonScan(rows, cells, wrong)

    def _said(self, status: int, failed: int) -> str:
        """Why a text is none, without its content."""
        column, byte = failed >> 32, failed & 0xFFFF_FFFF
        path = f"`{'.'.join(self._columns[column].path)}`" if column < len(self._columns) else ""
        if status == KIND:
            return f"{path} is not {_DUE[self._columns[column].kind]}, which is due, at byte {byte}"
        if status in (TWICE, FRACTION, RANGE):
            return f"{path or 'a key'} {_WHY[status]}, at byte {byte}"
        return f"{_WHY[status]}, at byte {byte}" + (f", in {path}" if path else "")


def _plant(root: _Node, path: tuple[str, ...], slot: int | None) -> None:
    """Put a value at its path; `slot` None puts an object there."""
    here = root
    for name in path[:-1] if slot is not None else path:
        child = here.children.setdefault(name, _Node())
        assert isinstance(child, _Node), "no path begins with that of a value"
        here = child
    if slot is not None:
        assert path[-1] not in here.children, "no path is another's beginning"
        here.children[path[-1]] = slot


def _in_utf8(texts: pa.BinaryArray) -> tuple[pa.BinaryArray, dict[int, str]]:
    """The texts, those that are no UTF-8 emptied, and why these are none."""
    try:
        texts.cast(pa.string())
    except pa.ArrowInvalid:
        wrong, kept = {}, []
        for row, text in enumerate(texts.to_pylist()):
            try:
                text.decode()
            except UnicodeDecodeError as error:
                wrong[row] = f"no UTF-8, at byte {error.start}"
            kept.append(b"" if row in wrong else text)
        return pa.array(kept, pa.binary()), wrong
    return texts, {}


def _cells(
    base: int, kind: str, states: npt.NDArray[np.uint8], values: npt.NDArray[np.int64]
) -> tuple[JsonCells, npt.NDArray[np.bool_]]:
    """A column, and which of its values it could not hold as they are written."""
    none = np.zeros(len(states), np.bool_)
    plain = np.minimum(states, THERE)
    if kind == "integer":
        return JsonCells(plain, pa.array(values)), none
    if kind == "boolean":
        return JsonCells(plain, pa.array(values.astype(np.bool_))), none
    if kind == "any":
        return JsonCells(plain, pa.repeat(pa.scalar(""), len(states))), none
    if kind == "string":
        return JsonCells(plain, _texts(base, states, values)), none
    # A number of no digits is none to Arrow; what is not there is written as 0.
    there = states >= THERE
    spelt = _texts(base, states, values)
    if not there.all():
        spelt = pa.compute.if_else(pa.array(there), spelt, "0")
    numbers = spelt.cast(pa.float64())
    found = numbers.to_numpy(zero_copy_only=False)
    wrong = ~np.isfinite(found)
    long = (states == WHOLE) & ((values & 0xFFFF_FFFF) > _NEVER_ROUNDED)
    for row in np.flatnonzero(long & ~wrong & (np.abs(found) >= _EXACT)).tolist():
        wrong[row] = (values[row] & 0xFFFF_FFFF) > 400 or int(spelt[row].as_py()) != int(found[row])
    return JsonCells(plain, numbers), wrong


def _texts(base: int, states: npt.NDArray[np.uint8], values: npt.NDArray[np.int64]) -> pa.StringArray:
    sizes = np.where(states >= THERE, values & 0xFFFF_FFFF, 0)
    offsets, data = np.empty(len(states) + 1, np.int32), np.empty(int(sizes.sum()) + 8, np.uint8)
    gather(base, values, states, offsets, data.ctypes.data)
    return pa.StringArray.from_buffers(len(states), pa.py_buffer(offsets), pa.py_buffer(data))
