"""Compiled loops that run a schema's program over column buffers: columns to bytes."""

from __future__ import annotations

import numpy as np

from headrace.columnar.avro.instructions import (
    BEGIN,
    BOOL,
    BYTES,
    DOUBLE,
    ENCODING,
    END,
    ENUM,
    FLOAT,
    GOTO,
    HEADER,
    INSTRUCTION,
    INT,
    LONG,
    NEXT,
    STRING,
    UNION,
    WRITTEN,
    Encoding,
)  # fmt: skip  # sorted as the linter sorts
from headrace.columnar.jit import kernel
from headrace.columnar.memory import copy, load8, load32, load64, store8, store32, store64
from headrace.columnar.structs import at, view


@kernel("i8 i8")
def span(offsets: int, n: int) -> int:
    """The bytes that n strings take, from their int32 offsets [n + 1]."""
    return load32(offsets + 4 * n) - load32(offsets)


@kernel
def _put(value: int, out: int) -> int:
    """Write a zigzag integer; returns the address after it."""
    value = (value << 1) ^ (value >> 63)
    while value & -0x80:
        store8(out, value & 0x7F | 0x80)
        value = (value >> 7) & 0x01FF_FFFF_FFFF_FFFF
        out += 1
    store8(out, value)
    return out + 1


@kernel
def _bit(buffer: int, position: int) -> int:
    return (load8(buffer + (position >> 3)) >> (position & 7)) & 1


@kernel("encoding i8 i8", encoding=ENCODING)
def encode(told: Encoding, out: int, ends: int) -> int:
    """Write records with their headers, one behind the other; the room must suffice for the worst case.

    What it is given:
        told: columns and program.
        out, ends: where the bytes go, and int32, one more than records, for the offset before, between and after them.

    Returns:
        bytes written.
    """
    number, program, buffers = told.number, view(told.program), view(told.buffers)
    begin = out
    position = np.zeros(told.scopes, np.int64)
    stop = np.zeros(told.scopes, np.int64)
    store32(ends, 0)
    for record in range(told.rows):
        position[0] = record
        store8(out, 0)
        store8(out + 1, number >> 24)
        store8(out + 2, number >> 16)
        store8(out + 3, number >> 8)
        store8(out + 4, number)
        out += HEADER
        line = 0
        while True:
            step = at(program, line, INSTRUCTION)
            op = step.operation
            column = at(buffers, step.buffer, WRITTEN)
            buffer = column.values
            here = position[step.scope]
            if op == LONG:
                out = _put(load64(buffer + 8 * here), out)
            elif op == DOUBLE:
                store64(out, load64(buffer + 8 * here))
                out += 8
            elif op in (STRING, BYTES):
                start = load32(buffer + 4 * here)
                size = load32(buffer + 4 * here + 4) - start
                out = copy(column.data + start, size, _put(size, out))
            elif op == UNION:
                null = step.argument
                if buffer != 0 and _bit(buffer, column.first_bit + here) == 0:
                    store8(out, null << 1)
                    out += 1
                    line = step.target
                    continue
                store8(out, (1 - null) << 1)
                out += 1
            elif op in (INT, ENUM):
                out = _put(load32(buffer + 4 * here), out)
            elif op == BOOL:
                store8(out, _bit(buffer, column.first_bit + here))
                out += 1
            elif op == FLOAT:
                store32(out, load32(buffer + 4 * here))
                out += 4
            elif op == BEGIN:
                scope = step.argument
                start = load32(buffer + 4 * here)
                items = load32(buffer + 4 * here + 4) - start
                if items:
                    out = _put(items, out)
                    position[scope] = start
                    stop[scope] = start + items
                else:
                    store8(out, 0)
                    out += 1
                    line = step.target
                    continue
            elif op == NEXT:
                scope = step.argument
                position[scope] += 1
                if position[scope] < stop[scope]:
                    line = step.target
                    continue
                store8(out, 0)
                out += 1
            elif op == GOTO:
                line = step.target
                continue
            elif op == END:
                break
            line += 1
        store32(ends + 4 * record + 4, out - begin)
    return out - begin
