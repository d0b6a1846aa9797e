"""Compiled loops that run a schema's program over records: bytes to column buffers.

Reading trusts nothing. Every length and count is held against the bytes that remain in its own record, integers have at
most ten bytes, and a record that fails leaves no trace: the positions of all scopes go back to where it began.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.columnar.avro.instructions import (
    BEGIN,
    BOOL,
    BRANCH,
    BYTES,
    DECODING,
    DOUBLE,
    ENUM,
    FIXED,
    FLOAT,
    GOOD,
    GOTO,
    HEADER,
    INSTRUCTION,
    INT,
    LONG,
    MALFORMED,
    MARK,
    NEXT,
    ONE,
    OVERSIZE,
    SCOPE,
    STEP,
    STRING,
    TRAILING_BYTES,
    TRUNCATED,
    UNION,
    WRONG_MAGIC,
    ZERO,
    Decoding,
)  # fmt: skip  # sorted as the linter sorts
from headrace.columnar.jit import CHECKED, kernel
from headrace.columnar.memory import copy, load8, load32, load64, store8, store32, store64
from headrace.columnar.structs import I4, I8, StructView, at, view

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@kernel("i8 ~i4[::1] i8 u1[::1] i8[::1]")
def headers(base: int, ends: npt.NDArray[np.int32], max_bytes: int, status: Bytes, ids: Ints) -> None:
    """Read the Confluent header of each record; status and ids are written.

    Records that were already refused (status not GOOD) are left alone.
    """
    for record in range(len(status)):
        if status[record] != GOOD:
            continue
        place = base + ends[record]
        size = ends[record + 1] - ends[record]
        if size > max_bytes:
            status[record] = OVERSIZE
        elif size < HEADER:
            status[record] = TRUNCATED
        elif load8(place) != 0:
            status[record] = WRONG_MAGIC
        else:
            ids[record] = load8(place + 1) << 24 | load8(place + 2) << 16 | load8(place + 3) << 8 | load8(place + 4)


@kernel
def _utf8(here: int, end: int) -> bool:
    """Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing past U+10FFFF)."""
    high = 0
    for place in range(here, end):
        high |= load8(place)
    if high < 0x80:
        return True
    while here < end:
        lead = load8(here)
        here += 1
        if lead < 0x80:
            continue
        low, top = 0x80, 0xBF
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more = 2
            if lead == 0xE0:
                low = 0xA0
            elif lead == 0xED:
                top = 0x9F
        elif 0xF0 <= lead <= 0xF4:
            more = 3
            if lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:
                top = 0x8F
        else:
            return False
        if here + more > end:
            return False
        second = load8(here)
        if second < low or second > top:
            return False
        for place in range(here + 1, here + more):
            if load8(place) & 0xC0 != 0x80:
                return False
        here += more
    return True


@kernel
def _varint(here: int, end: int) -> tuple[int, int]:
    """A zigzag integer and the address after it; (0, -reason) when it cannot be read."""
    if here >= end:
        return 0, -TRUNCATED
    byte = load8(here)
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), here + 1
    raw = byte & 0x7F
    for place in range(1, 10):
        if here + place >= end:
            return 0, -TRUNCATED
        byte = load8(here + place)
        if place == 9 and byte > 1:
            break
        raw |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return ((raw >> 1) & 0x7FFF_FFFF_FFFF_FFFF) ^ -(raw & 1), here + place + 1
    return 0, -MALFORMED


@kernel
def _block(here: int, end: int, least: int) -> tuple[int, int, int]:
    """The head of a block of items: count, address after it, and where the block must end (0: not said).

    A count is refused unless that many items of the least size fit into what remains.
    """
    count, here = _varint(here, end)
    if here < 0:
        return 0, here, 0
    must = 0
    if count < 0:
        size, here = _varint(here, end)
        if here < 0:
            return 0, here, 0
        if size < 0 or count == -0x8000_0000_0000_0000:
            return 0, -MALFORMED, 0
        if size > end - here:
            return 0, -TRUNCATED, 0
        count, must = -count, here + size
    if count > (end - here) // least:
        return 0, -TRUNCATED, 0
    return count, here, must


@kernel
def _go_back(scopes: StructView) -> None:
    """Forget what the record at hand has filled."""
    for number in range(1, scopes.length):
        scope = at(scopes, number, SCOPE)
        scope.filled = scope.before


@kernel("decoding i8 u1[::1] i8[::1] i8[::1] i8[::1]", decoding=DECODING)
def decode(told: Decoding, first: int, status: Bytes, ids: Ints, rows: Ints, failed: Ints) -> int:
    """Run a program over the records from `first` on that are GOOD and bear the wanted id.

    What it is given:
        told: records, program and scopes.
        status, ids: by record, from `headers`; status is set for records that fail.
        rows: int64, by good record its number.
        failed: int64, by record: instruction << 32 | byte within the record, for records that fail.

    Returns:
        the number of records when done; otherwise the record at which a scope has too little room (`told.full` needs
        room for `told.need` items): enlarge it and call again from that record.
    """
    base, wanted = told.base, told.wanted
    offsets, program, buffers, scopes = view(told.offsets), view(told.program), view(told.buffers), view(told.scopes)
    records = at(scopes, 0, SCOPE)
    for record in range(first, len(status)):
        if status[record] != GOOD or ids[record] != wanted:
            continue
        start = base + at(offsets, record, I4)
        end = base + at(offsets, record + 1, I4)
        for number in range(1, scopes.length):
            scope = at(scopes, number, SCOPE)
            scope.before = scope.filled
        byte = start + HEADER
        last = byte
        line = 0
        while True:
            step = at(program, line, INSTRUCTION)
            op = step.operation
            buffer = at(buffers, step.buffer, I8)
            own = at(scopes, step.scope, SCOPE)
            position = own.filled
            if CHECKED and position > own.capacity:
                raise IndexError("a position that its buffers do not have")
            last = byte
            if op == LONG:
                value, byte = _varint(byte, end)
                if byte < 0:
                    break
                store64(buffer + 8 * position, value)
                line += 1
            elif op == DOUBLE:
                if end - byte < 8:
                    byte = -TRUNCATED
                    break
                store64(buffer + 8 * position, load64(byte))
                byte += 8
                line += 1
            elif op in (STRING, BYTES):
                value, byte = _varint(byte, end)
                if byte < 0:
                    break
                if value < 0:
                    byte = -MALFORMED
                    break
                if value > end - byte:
                    byte = -TRUNCATED
                    break
                if op == STRING and not _utf8(byte, byte + value):
                    byte = -MALFORMED
                    break
                store64(buffer + 8 * position, (byte - base) << 32 | value)
                byte += value
                line += 1
            elif op == UNION:
                value, byte = _varint(byte, end)
                if byte < 0:
                    break
                if value < 0 or value > 1:
                    byte = -MALFORMED
                    break
                if value == step.argument:
                    store8(buffer + position, 0)
                    line = step.target
                else:
                    store8(buffer + position, 1)
                    line += 1
            elif op == INT:
                value, byte = _varint(byte, end)
                if byte < 0:
                    break
                if value < -0x8000_0000 or value > 0x7FFF_FFFF:
                    byte = -MALFORMED
                    break
                store32(buffer + 4 * position, value)
                line += 1
            elif op == ENUM:
                value, byte = _varint(byte, end)
                if byte < 0:
                    break
                if value < 0 or value >= step.argument:
                    byte = -MALFORMED
                    break
                store32(buffer + 4 * position, value)
                line += 1
            elif op == BOOL:
                if byte >= end:
                    byte = -TRUNCATED
                    break
                value = load8(byte)
                if value > 1:
                    byte = -MALFORMED
                    break
                store8(buffer + position, value)
                byte += 1
                line += 1
            elif op == FLOAT:
                if end - byte < 4:
                    byte = -TRUNCATED
                    break
                store32(buffer + 4 * position, load32(byte))
                byte += 4
                line += 1
            elif op in (BEGIN, NEXT):
                inner = at(scopes, step.argument, SCOPE)
                if op == BEGIN:
                    store32(buffer + 4 * position, inner.filled)
                    items = 0
                else:
                    inner.filled += 1
                    items = inner.left - 1
                    if items == 0 and inner.must != 0 and inner.must != byte:
                        byte = -MALFORMED
                        break
                if items == 0:
                    items, byte, must = _block(byte, end, inner.least)
                    if byte < 0:
                        break
                    inner.must = must
                    if inner.filled + items > inner.capacity:
                        told.full, told.need = step.argument, inner.filled + items
                        _go_back(scopes)
                        return record
                inner.left = items
                # An array's items follow its beginning, and lie before what asks for the next.
                line = line + 1 if (items > 0) == (op == BEGIN) else step.target
            elif op == GOTO:
                line = step.target
            elif op == ZERO:
                width = step.argument
                if width == 8:
                    store64(buffer + 8 * position, 0)
                elif width == 4:
                    store32(buffer + 4 * position, 0)
                else:
                    store8(buffer + position, 0)
                line += 1
            elif op == MARK:
                store32(buffer + 4 * position, at(scopes, step.argument, SCOPE).filled)
                line += 1
            elif op == STEP:
                if end - byte < step.argument:
                    byte = -TRUNCATED
                    break
                byte += step.argument
                line += 1
            elif op == FIXED:
                if end - byte < step.argument:
                    byte = -TRUNCATED
                    break
                store64(buffer + 8 * position, (byte - base) << 32 | step.argument)
                byte += step.argument
                line += 1
            elif op == ONE:
                store8(buffer + position, 1)
                line += 1
            elif op == BRANCH:  # One of so many lines that follow, each of which leads to a branch.
                value, byte = _varint(byte, end)
                if byte < 0:
                    break
                if value < 0 or value >= step.argument:
                    byte = -MALFORMED
                    break
                line += 1 + value
            else:
                if byte != end:
                    byte = -TRAILING_BYTES
                break
        if byte > 0:
            rows[records.filled] = record
            records.filled += 1
        else:
            status[record] = -byte
            failed[record] = line << 32 | (last - start)
            _go_back(scopes)
    return len(status)


@kernel("i8[::1] i4[::1]")
def measure(packed: Ints, offsets: npt.NDArray[np.int32]) -> int:
    """Turn packed strings into offsets, one more than there are strings; returns the bytes in all."""
    total = 0
    for index in range(len(packed)):
        offsets[index] = total
        total += packed[index] & 0xFFFF_FFFF
    offsets[len(packed)] = total
    return total


@kernel("i8 i8[::1] i8")
def gather(base: int, packed: Ints, out: int) -> None:
    """Copy packed strings one behind the other."""
    for index in range(len(packed)):
        value = packed[index]
        out = copy(base + (value >> 32), value & 0xFFFF_FFFF, out)
