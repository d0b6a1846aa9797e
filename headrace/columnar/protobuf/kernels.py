"""Compiled loops over Protobuf messages; see https://protobuf.dev/programming-guides/encoding/.

Nothing is trusted: every length is held against what remains of the message around it, and nothing recurses. Fields
that nobody looks for are stepped over, groups as well. A field that comes again takes the place of the one before, and
a message that does is merged into it, as the specification has it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import CHECKED, kernel
from headrace.columnar.memory import load8, load32, load64, store8, store64
from headrace.columnar.protobuf.instructions import (
    BOOL,
    DEEPEST,
    DEPTH,
    FIELD,
    FIXED32,
    FIXED64,
    GOOD,
    MALFORMED,
    PARSING,
    RANGE,
    SET,
    SIGNED32,
    STAMP,
    TRUNCATED,
    UNSET,
    UNSIGNED,
    UNSIGNED32,
    WIRE,
    ZIGZAG,
    ZIGZAG32,
    MessageField,
    MessageParse,
)
from headrace.columnar.structs import I4, I8, at, view

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_SKIPPED_GROUP = -2
_LEAST_SECONDS, _MOST_SECONDS = -62_135_596_800, 253_402_300_799


@kernel
def _varint(here: int, end: int) -> tuple[int, int]:
    """64 bits and the address after them; (0, -reason) when they cannot be read."""
    raw = 0
    for place in range(10):
        if here + place >= end:
            return 0, -TRUNCATED
        byte = load8(here + place)
        if place == 9 and byte > 1:
            break
        raw |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return raw, here + place + 1
    return 0, -MALFORMED


@kernel
def _past(wire: int, here: int, end: int) -> int:
    """The address after a value of a wire type; -reason when it cannot be read."""
    if wire == 0:
        return _varint(here, end)[1]
    size = 8 if wire == 1 else 4
    if wire == 2:
        size, here = _varint(here, end)
        if here < 0:
            return here
        if size < 0:
            return -MALFORMED
    return here + size if size <= end - here else -TRUNCATED


@kernel
def _number(kind: int, raw: int) -> tuple[int, int]:
    """The integer that a varint tells, and GOOD or RANGE."""
    if kind in (ZIGZAG, ZIGZAG32):
        raw = (raw >> 1 & 0x7FFF_FFFF_FFFF_FFFF) ^ -(raw & 1)
    if kind == BOOL:
        return (1 if raw != 0 else 0), GOOD
    if kind == UNSIGNED and raw < 0:
        return 0, RANGE
    if kind in (SIGNED32, ZIGZAG32) and not -0x8000_0000 <= raw <= 0x7FFF_FFFF:
        return 0, RANGE
    if kind == UNSIGNED32 and not 0 <= raw <= 0xFFFF_FFFF:
        return 0, RANGE
    return raw, GOOD


@kernel
def _stamp(here: int, end: int) -> tuple[int, int]:
    """Milliseconds of a google.protobuf.Timestamp, and GOOD or why it is none."""
    seconds = nanos = 0
    while here < end:
        tag, here = _varint(here, end)
        if here < 0:
            return 0, -here
        if tag == 8 or tag == 16:
            value, here = _varint(here, end)
            if tag == 8:
                seconds = value
            else:
                nanos = value
        else:
            wire = tag & 7
            here = _past(wire, here, end) if wire in (0, 1, 2, 5) and tag >> 3 else -MALFORMED
        if here < 0:
            return 0, -here
    if not (_LEAST_SECONDS <= seconds <= _MOST_SECONDS and 0 <= nanos < 1_000_000_000):
        return 0, RANGE
    return seconds * 1000 + nanos // 1_000_000, GOOD


@kernel
def _find(told: MessageParse, node: int, guess: int, number: int) -> int:
    """The field of a node that has a number; -1 for none. `guess`: the one that is expected."""
    first, last = at(told.nodes, node, I8), at(told.nodes, node + 1, I8)
    if first <= guess < last and at(told.fields, guess, FIELD).number == number:
        return guess
    for place in range(first, last):
        if at(told.fields, place, FIELD).number == number:
            return place
    return -1


@kernel
def _enter(told: MessageParse, node: int, cell: int, messages: int) -> None:
    """A message is there: fields of it that need not be written are set, unless they were written already."""
    for place in range(at(told.nodes, node, I8), at(told.nodes, node + 1, I8)):
        field = at(told.fields, place, FIELD)
        if field.implicit and load8(told.states.place + field.slot * messages + cell) == UNSET:
            store8(told.states.place + field.slot * messages + cell, SET)
            store64(told.values.place + 8 * (field.slot * messages + cell), 0)


@kernel
def _unset(told: MessageParse, field: MessageField, cell: int, messages: int) -> None:
    """Take a field, and all beneath it, back."""
    if field.slot >= 0:
        store8(told.states.place + field.slot * messages + cell, UNSET)
    if field.node >= 0:
        first, behind = at(told.nodes, field.node, I8), at(told.nodes, at(told.behind, field.node, I8), I8)
        for place in range(first, behind):
            slot = at(told.fields, place, FIELD).slot
            if slot >= 0:
                store8(told.states.place + slot * messages + cell, UNSET)


@kernel("parsing i8 u1[::1] i8[::1] i8[::1] i8", parsing=PARSING)
def parse(told: MessageParse, columns: int, status: Bytes, rows: Ints, failed: Ints, messages: int) -> int:
    """Look through all messages; returns how many are good.

    What it is given:
        told: messages, fields and room for what is found.
        columns: how many are looked for.
        status: uint8, by message; set.
        rows: int64, by good message its number.
        failed: int64, by message: column << 32 | byte, for those that fail; `columns` where no column is meant.
    """
    offsets, states, values = view(told.offsets), view(told.states), view(told.values)
    ends, nodes, guesses = np.empty(DEEPEST, np.int64), np.empty(DEEPEST, np.int64), np.empty(DEEPEST, np.int64)
    good = 0
    for message in range(messages):
        start = told.base + at(offsets, message, I4)
        here = start
        for column in range(columns):
            store8(states.place + column * messages + good, UNSET)
        ends[0], nodes[0], guesses[0] = told.base + at(offsets, message + 1, I4), 0, 0
        depth, why, blamed = 1, GOOD, columns
        _enter(told, 0, good, messages)
        while depth > 0 and why == GOOD:
            end, node = ends[depth - 1], nodes[depth - 1]
            if here == end and node != _SKIPPED_GROUP:
                depth -= 1
                continue
            blamed = columns
            tag, after = _varint(here, end)
            number, wire = tag >> 3, tag & 7
            if after < 0 or number < 1 or number > 0x1FFF_FFFF or wire > 5:
                why = -after if after < 0 else MALFORMED
                break
            here = after
            if wire == 4:  # the end of a group, which only its beginning can have
                if node != _SKIPPED_GROUP or guesses[depth - 1] != number:
                    why = MALFORMED
                depth -= 1
                continue
            if wire == 3:
                if depth == DEEPEST:
                    why = DEPTH
                    break
                ends[depth], nodes[depth], guesses[depth] = end, _SKIPPED_GROUP, number
                depth += 1
                continue
            found = _find(told, node, guesses[depth - 1], number) if node >= 0 else -1
            if found < 0:
                here = _past(wire, here, end)
                if here < 0:
                    why, here = -here, after
                continue
            field = at(told.fields, found, FIELD)
            guesses[depth - 1] = found + 1
            slot, kind = field.slot, field.kind
            blamed = slot if slot >= 0 else columns
            if field.wire != wire:
                why = WIRE
                break
            if field.choice >= 0:
                for place in range(at(told.nodes, node, I8), at(told.nodes, node + 1, I8)):
                    other = at(told.fields, place, FIELD)
                    if place != found and other.choice == field.choice:
                        _unset(told, other, good, messages)
            cell = slot * messages + good
            if CHECKED and slot >= 0 and (slot >= columns or cell >= states.length or cell >= values.length):
                raise IndexError("a cell that its columns do not have")
            if wire == 0:
                raw, here = _varint(here, end)
                if here < 0:
                    why, here = -here, after
                    break
                value, why = _number(kind, raw)
            elif wire == 1:
                if end - here < 8:
                    why = TRUNCATED
                    break
                value = load64(here)
                here += 8
                if kind == FIXED64 and value < 0:
                    why = RANGE
            elif wire == 5:
                if end - here < 4:
                    why = TRUNCATED
                    break
                value = load32(here)
                here += 4
                if kind == FIXED32:
                    value &= 0xFFFF_FFFF
            else:
                size, here = _varint(here, end)
                if here < 0 or size < 0 or size > end - here:
                    why = -here if here < 0 else (MALFORMED if size < 0 else TRUNCATED)
                    here = after
                    break
                if field.node >= 0:
                    if depth == DEEPEST:
                        why = DEPTH
                        break
                    ends[depth], nodes[depth], guesses[depth] = here + size, field.node, 0
                    depth += 1
                    if slot >= 0:
                        store8(states.place + cell, SET)
                    _enter(told, field.node, good, messages)
                    continue
                value = (here - told.base) << 32 | size
                if kind == STAMP:
                    value, why = _stamp(here, here + size)
                here += size
            store8(states.place + cell, SET)
            store64(values.place + 8 * cell, value)
        status[message] = why
        if why == GOOD:
            rows[good] = message
            good += 1
        else:
            failed[message] = blamed << 32 | max(here - start, 0)
    return good
