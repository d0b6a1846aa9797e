"""Compiled loops that run a schema's program over records: bytes to column buffers, and back.

Reading trusts nothing. Every length and count is held against the bytes that remain in its own record, integers have at
most ten bytes, and a record that fails leaves no trace: the positions of all scopes go back to where it began.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import kernel
from headrace.columnar.memory import load8, load32, load64, store8, store32, store64

# A line of a program: operation, buffer, scope, argument, target. The operations stand in this module because the
# machine code on disk is renewed when this file changes, not when one that it imports does.
END, LONG, INT, BOOL, FLOAT, DOUBLE, STRING, BYTES, ENUM, UNION, BEGIN, NEXT, GOTO, ZERO, MARK, STEP, BRANCH = range(17)
WIDTH = 5
_LINE = 8 * WIDTH

# What became of a record.
GOOD, NULL_VALUE, OVERSIZE, TRUNCATED, WRONG_MAGIC, UNKNOWN_SCHEMA, TRAILING_BYTES, MALFORMED = range(8)
HEADER = 5

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@kernel("i8 i8 i8 i8 u1[::1] i8[::1]")
def headers(base: int, offsets: int, n: int, max_bytes: int, status: Bytes, ids: Ints) -> None:
    """Read the Confluent header of n records (int32 offsets [n + 1] into base); status and ids [n] are written.

    Records that were already refused (status not GOOD) are left alone.
    """
    for record in range(n):
        if status[record] != GOOD:
            continue
        at = load32(offsets + 4 * record)
        size = load32(offsets + 4 * record + 4) - at
        at += base
        if size > max_bytes:
            status[record] = OVERSIZE
        elif size < HEADER:
            status[record] = TRUNCATED
        elif load8(at) != 0:
            status[record] = WRONG_MAGIC
        else:
            ids[record] = (load8(at + 1) << 24) | (load8(at + 2) << 16) | (load8(at + 3) << 8) | load8(at + 4)


@kernel
def _utf8(at: int, end: int) -> bool:
    """Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing past U+10FFFF)."""
    high = 0
    for place in range(at, end):
        high |= load8(place)
    if high < 0x80:
        return True
    while at < end:
        lead = load8(at)
        at += 1
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
        if at + more > end:
            return False
        second = load8(at)
        if second < low or second > top:
            return False
        for place in range(at + 1, at + more):
            if load8(place) & 0xC0 != 0x80:
                return False
        at += more
    return True


@kernel
def _varint(at: int, end: int) -> tuple[int, int]:
    """A zigzag integer and the address after it; (0, -reason) when it cannot be read."""
    if at >= end:
        return 0, -TRUNCATED
    byte = load8(at)
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    raw = byte & 0x7F
    for place in range(1, 10):
        if at + place >= end:
            return 0, -TRUNCATED
        byte = load8(at + place)
        if place == 9 and byte > 1:
            break
        raw |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return ((raw >> 1) & 0x7FFF_FFFF_FFFF_FFFF) ^ -(raw & 1), at + place + 1
    return 0, -MALFORMED


@kernel
def _block(at: int, end: int, least: int) -> tuple[int, int, int]:
    """The head of a block of items: count, address after it, and where the block must end (0: not said).

    A count is refused unless that many items of the least size fit into what remains.
    """
    count, at = _varint(at, end)
    if at < 0:
        return 0, at, 0
    must = 0
    if count < 0:
        size, at = _varint(at, end)
        if at < 0:
            return 0, at, 0
        if size < 0 or count == -0x8000_0000_0000_0000:
            return 0, -MALFORMED, 0
        if size > end - at:
            return 0, -TRUNCATED, 0
        count, must = -count, at + size
    if count > (end - at) // least:
        return 0, -TRUNCATED, 0
    return count, at, must


@kernel("i8 i8 i8 i8 u1[::1] i8[::1] i8 i8 i8 i8[::1] i8[::1] i8[::1] i8[::1] i8[::1] i8[::1] i8[::1] i8[::1]")
def decode(
    base: int,
    offsets: int,
    first: int,
    n: int,
    status: Bytes,
    ids: Ints,
    want: int,
    program: int,
    buffers: int,
    least: Ints,
    capacity: Ints,
    count: Ints,
    rows: Ints,
    failed: Ints,
    left: Ints,
    must: Ints,
    saved: Ints,
) -> int:
    """Run the program over records first to n that are GOOD and bear the wanted id.

    What it is given:
        base, offsets: the records' bytes, and int32 [n + 1] where each begins.
        status, ids: from `headers`; status is set for records that fail.
        program, buffers: addresses of the code and of the table of buffer addresses.
        least, capacity, count: int64 [scopes]; the smallest item, the room, and how many items are filled.
        rows: int64 [n], the index of each good record.
        failed: int64 [n], instruction << 32 | byte within the record, for records that fail.
        left, must, saved: int64 [scopes], at least 2, scratch.

    Returns:
        n when done; otherwise the record at which a scope has too little room, the need being in saved[0] (scope) and
        saved[1] (items): enlarge it and call again from that record.
    """
    scopes = len(count)
    for record in range(first, n):
        if status[record] != GOOD or ids[record] != want:
            continue
        start = base + load32(offsets + 4 * record)
        end = base + load32(offsets + 4 * record + 4)
        for scope in range(1, scopes):
            saved[scope] = count[scope]
        at = start + HEADER
        last = at
        line = program
        while True:
            op = load64(line)
            buffer = load64(buffers + 8 * load64(line + 8))
            position = count[load64(line + 16)]
            last = at
            if op == LONG:
                value, at = _varint(at, end)
                if at < 0:
                    break
                store64(buffer + 8 * position, value)
                line += _LINE
            elif op == DOUBLE:
                if end - at < 8:
                    at = -TRUNCATED
                    break
                store64(buffer + 8 * position, load64(at))
                at += 8
                line += _LINE
            elif op in (STRING, BYTES):
                value, at = _varint(at, end)
                if at < 0:
                    break
                if value < 0:
                    at = -MALFORMED
                    break
                if value > end - at:
                    at = -TRUNCATED
                    break
                if op == STRING and not _utf8(at, at + value):
                    at = -MALFORMED
                    break
                store64(buffer + 8 * position, (at - base) << 32 | value)
                at += value
                line += _LINE
            elif op == UNION:
                value, at = _varint(at, end)
                if at < 0:
                    break
                if value < 0 or value > 1:
                    at = -MALFORMED
                    break
                if value == load64(line + 24):
                    store8(buffer + position, 0)
                    line = program + _LINE * load64(line + 32)
                else:
                    store8(buffer + position, 1)
                    line += _LINE
            elif op == INT:
                value, at = _varint(at, end)
                if at < 0:
                    break
                if value < -0x8000_0000 or value > 0x7FFF_FFFF:
                    at = -MALFORMED
                    break
                store32(buffer + 4 * position, value)
                line += _LINE
            elif op == ENUM:
                value, at = _varint(at, end)
                if at < 0:
                    break
                if value < 0 or value >= load64(line + 24):
                    at = -MALFORMED
                    break
                store32(buffer + 4 * position, value)
                line += _LINE
            elif op == BOOL:
                if at >= end:
                    at = -TRUNCATED
                    break
                value = load8(at)
                if value > 1:
                    at = -MALFORMED
                    break
                store8(buffer + position, value)
                at += 1
                line += _LINE
            elif op == FLOAT:
                if end - at < 4:
                    at = -TRUNCATED
                    break
                store32(buffer + 4 * position, load32(at))
                at += 4
                line += _LINE
            elif op in (BEGIN, NEXT):
                scope = load64(line + 24)
                if op == BEGIN:
                    store32(buffer + 4 * position, count[scope])
                    items = 0
                else:
                    count[scope] += 1
                    items = left[scope] - 1
                    if items == 0 and must[scope] != 0 and must[scope] != at:
                        at = -MALFORMED
                        break
                if items == 0:
                    items, at, block = _block(at, end, least[scope])
                    if at < 0:
                        break
                    must[scope] = block
                    if count[scope] + items > capacity[scope]:
                        need = count[scope] + items
                        for other in range(1, scopes):
                            count[other] = saved[other]
                        saved[0] = scope
                        saved[1] = need
                        return record
                left[scope] = items
                if op == BEGIN:
                    line = line + _LINE if items else program + _LINE * load64(line + 32)
                else:
                    line = program + _LINE * load64(line + 32) if items else line + _LINE
            elif op == GOTO:
                line = program + _LINE * load64(line + 32)
            elif op == ZERO:
                width = load64(line + 24)
                if width == 8:
                    store64(buffer + 8 * position, 0)
                elif width == 4:
                    store32(buffer + 4 * position, 0)
                else:
                    store8(buffer + position, 0)
                line += _LINE
            elif op == MARK:
                store32(buffer + 4 * position, count[load64(line + 24)])
                line += _LINE
            elif op == STEP:
                if end - at < load64(line + 24):
                    at = -TRUNCATED
                    break
                at += load64(line + 24)
                line += _LINE
            elif op == BRANCH:  # One of so many lines that follow, each of which leads to a branch.
                value, at = _varint(at, end)
                if at < 0:
                    break
                if value < 0 or value >= load64(line + 24):
                    at = -MALFORMED
                    break
                line += _LINE * (1 + value)
            else:
                if at != end:
                    at = -TRAILING_BYTES
                break
        if at > 0:
            rows[count[0]] = record
            count[0] += 1
        else:
            status[record] = -at
            failed[record] = ((line - program) // _LINE) << 32 | (last - start)
            for scope in range(1, scopes):
                count[scope] = saved[scope]
    return n


@kernel("i8 i8 i8")
def measure(packed: int, n: int, offsets: int) -> int:
    """Turn n packed strings into int32 offsets [n + 1]; returns the bytes in all."""
    total = 0
    for index in range(n):
        store32(offsets + 4 * index, total)
        total += load64(packed + 8 * index) & 0xFFFF_FFFF
    store32(offsets + 4 * n, total)
    return total


@kernel("i8 i8")
def span(offsets: int, n: int) -> int:
    """The bytes that n strings take, from their int32 offsets [n + 1]."""
    return load32(offsets + 4 * n) - load32(offsets)


@kernel("i8 i8 i8 i8")
def gather(base: int, packed: int, n: int, out: int) -> None:
    """Copy n packed strings one behind the other."""
    for index in range(n):
        value = load64(packed + 8 * index)
        out = _copy(base + (value >> 32), value & 0xFFFF_FFFF, out)


@kernel
def _copy(source: int, size: int, out: int) -> int:
    """Copy bytes, eight at a time; returns the address after them."""
    end = out + size
    while out + 8 <= end:
        store64(out, load64(source))
        source += 8
        out += 8
    while out < end:
        store8(out, load8(source))
        source += 1
        out += 1
    return out


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


@kernel("i8 i8 i8 i8 i8 i8 i8")
def encode(n: int, number: int, program: int, table: int, scopes: int, out: int, ends: int) -> int:
    """Write n records with their headers, one behind the other; the room must suffice for the worst case.

    What it is given:
        number: the schema id in the headers.
        program: address of the code.
        table: address of int64 [buffers, 3]: values, string data, and index of the first bit (validity and booleans,
            whose address 0 means that all are present).
        scopes: how many there are.
        out, ends: where the bytes go, and int32 [n + 1] for the offset before, between and after the records.

    Returns:
        bytes written.
    """
    begin = out
    position = np.zeros(scopes, np.int64)
    stop = np.zeros(scopes, np.int64)
    store32(ends, 0)
    for record in range(n):
        position[0] = record
        store8(out, 0)
        store8(out + 1, number >> 24)
        store8(out + 2, number >> 16)
        store8(out + 3, number >> 8)
        store8(out + 4, number)
        out += HEADER
        line = program
        while True:
            op = load64(line)
            entry = table + 24 * load64(line + 8)
            buffer = load64(entry)
            here = position[load64(line + 16)]
            if op == LONG:
                out = _put(load64(buffer + 8 * here), out)
            elif op == DOUBLE:
                store64(out, load64(buffer + 8 * here))
                out += 8
            elif op in (STRING, BYTES):
                start = load32(buffer + 4 * here)
                size = load32(buffer + 4 * here + 4) - start
                out = _copy(load64(entry + 8) + start, size, _put(size, out))
            elif op == UNION:
                null = load64(line + 24)
                if buffer != 0 and _bit(buffer, load64(entry + 16) + here) == 0:
                    store8(out, null << 1)
                    out += 1
                    line = program + _LINE * load64(line + 32)
                    continue
                store8(out, (1 - null) << 1)
                out += 1
            elif op in (INT, ENUM):
                out = _put(load32(buffer + 4 * here), out)
            elif op == BOOL:
                store8(out, _bit(buffer, load64(entry + 16) + here))
                out += 1
            elif op == FLOAT:
                store32(out, load32(buffer + 4 * here))
                out += 4
            elif op == BEGIN:
                scope = load64(line + 24)
                start = load32(buffer + 4 * here)
                items = load32(buffer + 4 * here + 4) - start
                if items:
                    out = _put(items, out)
                    position[scope] = start
                    stop[scope] = start + items
                else:
                    store8(out, 0)
                    out += 1
                    line = program + _LINE * load64(line + 32)
                    continue
            elif op == NEXT:
                scope = load64(line + 24)
                position[scope] += 1
                if position[scope] < stop[scope]:
                    line = program + _LINE * load64(line + 32)
                    continue
                store8(out, 0)
                out += 1
            elif op == GOTO:
                line = program + _LINE * load64(line + 32)
                continue
            elif op == END:
                break
            line += _LINE
        store32(ends + 4 * record + 4, out - begin)
    return out - begin
