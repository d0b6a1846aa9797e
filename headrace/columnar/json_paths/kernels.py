"""Compiled loops over JSON texts (RFC 8259): every byte is looked at once, and nothing is trusted.

A text that fails leaves no trace, and its neighbours are not touched. Strings are checked for escapes, pairs of
surrogates and control characters here; that all is UTF-8 is checked before. Nothing recurses.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import CHECKED, kernel
from headrace.columnar.json_paths.instructions import (
    ABSENT,
    ANY,
    BOOLEAN,
    DEEPEST,
    DEPTH,
    EMPTY,
    ESCAPED,
    FRACTION,
    GOOD,
    INTEGER,
    KEY,
    KIND,
    NO_OBJECT,
    NULL,
    NUMBER,
    SCANNING,
    STRING,
    SYNTAX,
    TEXT,
    THERE,
    TRAILING,
    TWICE,
    WHOLE,
    Key,
    Scanning,
)
from headrace.columnar.json_paths.token_kernels import blank_at, number_at, plain_at, string_at, word_at
from headrace.columnar.memory import copy, load8, load64, store8, store64
from headrace.columnar.structs import I4, I8, U1, at, view

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_SKIPPED = -1
"""The node of an object that nothing is looked for in."""


@kernel
def _is(told: Scanning, key: Key, here: int, size: int) -> bool:
    if key.size != size:
        return False
    for step in range(size):  # noqa: SIM110  # kernels have no generators
        if at(told.letters, key.start + step, U1) != load8(here + step):
            return False
    return True


@kernel
def _find(told: Scanning, node: int, guess: int, here: int, size: int) -> int:
    """The key of a node that has these bytes; -1 for none. `guess`: the one that is expected."""
    first, last = at(told.nodes, node, I8), at(told.nodes, node + 1, I8)
    if first <= guess < last and _is(told, at(told.keys, guess, KEY), here, size):
        return guess
    for place in range(first, last):
        if _is(told, at(told.keys, place, KEY), here, size):
            return place
    return -1


@kernel("scanning i8 u1[::1] i8[::1] i8[::1] i8", scanning=SCANNING)
def scan(told: Scanning, columns: int, status: Bytes, rows: Ints, failed: Ints, texts: int) -> int:
    """Look through all texts; returns how many are good.

    What it is given:
        told: texts, keys and room for what is found.
        columns: how many are looked for.
        status: uint8, by text; set.
        rows: int64, by good text its number.
        failed: int64, by text: column << 32 | byte, for those that fail; the column is `columns` where none is meant.
    """
    offsets, states, values, marks = view(told.offsets), view(told.states), view(told.values), view(told.marks)
    objects = np.empty(DEEPEST, np.int64)  # the node of each open object, -2 for an array
    guesses = np.empty(DEEPEST, np.int64)
    good = 0
    for text in range(texts):
        base = told.base + at(offsets, text, I4)
        end = told.base + at(offsets, text + 1, I4)
        for column in range(columns):
            store8(states.place + column * texts + good, ABSENT)
        here = blank_at(base, end)
        why, blamed, depth = GOOD, columns, 0
        if here == end:
            why = EMPTY
        elif load8(here) != 123:
            why = NO_OBJECT
        else:
            objects[0], guesses[0] = 0, at(told.nodes, 0, I8)
            depth = 1
            here = blank_at(here + 1, end)
            opened = True  # whether the innermost was just opened: only then may it be closed at once
        while depth > 0 and why == GOOD:
            if here >= end:
                why = SYNTAX
                break
            byte = load8(here)
            node = objects[depth - 1]
            if byte == (93 if node == -2 else 125) and opened:
                here, depth = here + 1, depth - 1
            else:
                slot, inner, kind = -1, _SKIPPED, ANY
                if node != -2:
                    if byte != 34:
                        why = SYNTAX
                        break
                    close, escaped = string_at(here + 1, end)
                    if close < 0:
                        why, here = TEXT, -1 - close
                        break
                    if node >= 0:
                        start, size = here + 1, close - here - 1
                        if escaped:
                            size = plain_at(start, close, told.scratch.place) - told.scratch.place
                            start = told.scratch.place
                        found = _find(told, node, guesses[depth - 1], start, size)
                        if found >= 0:
                            key = at(told.keys, found, KEY)
                            slot, inner, kind = key.slot, key.node, key.kind
                            guesses[depth - 1] = found + 1
                            mark = marks.place + 8 * (slot if slot >= 0 else columns + inner)
                            if CHECKED and (slot if slot >= 0 else columns + inner) >= marks.length:
                                raise IndexError("a mark that there is none of")
                            if load64(mark) == text + 1:
                                why, blamed = TWICE, slot if slot >= 0 else columns
                                break
                            store64(mark, text + 1)
                            blamed = slot if slot >= 0 else columns
                    here = blank_at(close + 1, end)
                    if here >= end or load8(here) != 58:
                        why = SYNTAX
                        break
                    here = blank_at(here + 1, end)
                    if here >= end:
                        why = SYNTAX
                        break
                    byte = load8(here)
                cell, begin = slot * texts + good, here
                if CHECKED and slot >= 0 and (slot >= columns or cell >= states.length):
                    raise IndexError("a cell that its columns do not have")
                if byte in (123, 91):
                    if depth == DEEPEST:
                        why = DEPTH
                        break
                    if slot >= 0:
                        if kind != ANY or byte == 91:
                            why, blamed = KIND, slot
                            break
                        store8(states.place + cell, THERE)
                    if inner >= 0 and byte == 91:
                        why, blamed = KIND, _below(told, inner, columns)
                        break
                    objects[depth] = (inner if inner >= 0 else _SKIPPED) if byte == 123 else -2
                    guesses[depth] = at(told.nodes, inner, I8) if inner >= 0 else 0
                    depth += 1
                    here = blank_at(here + 1, end)
                    opened = True
                    blamed = columns
                    continue
                if byte == 34:
                    close, escaped = string_at(here + 1, end)
                    if close < 0:
                        why, here = TEXT, -1 - close
                        break
                    if slot >= 0:
                        if kind != STRING:
                            why, blamed = KIND, slot
                            break
                        store8(states.place + cell, ESCAPED if escaped else THERE)
                        store64(values.place + 8 * cell, (here + 1 - told.base) << 32 | (close - here - 1))
                    given = STRING
                    here = close + 1
                elif byte == 45 or 48 <= byte <= 57:
                    stop, what, value = number_at(here, end)
                    if stop < 0:
                        why = SYNTAX
                        break
                    if slot >= 0:
                        if kind == INTEGER and what == GOOD:
                            store64(values.place + 8 * cell, value)
                        elif kind == INTEGER:
                            why, blamed = what, slot
                            break
                        elif kind == NUMBER:
                            store64(values.place + 8 * cell, (here - told.base) << 32 | (stop - here))
                        else:
                            why, blamed = KIND, slot
                            break
                        store8(states.place + cell, THERE if what == FRACTION or kind == INTEGER else WHOLE)
                    given = NUMBER
                    here = stop
                else:
                    word = word_at(here, end)
                    if word < 0:
                        why = SYNTAX
                        break
                    here += 5 if word == 0 else 4
                    given = ANY if word == 2 else BOOLEAN
                    if slot >= 0:
                        if word == 2:
                            store8(states.place + cell, NULL)
                        elif kind == BOOLEAN:
                            store8(states.place + cell, THERE)
                            store64(values.place + 8 * cell, word)
                        else:
                            why, blamed, here = KIND, slot, begin
                            break
                if inner >= 0:
                    if given != ANY:  # An object is due, and null is none.
                        why, blamed, here = KIND, _below(told, inner, columns), begin
                        break
                    _nothing(told, inner, texts, good)
                blamed = columns
            # A value has ended, or an object or array has: what may come is a comma or the end of what holds it.
            opened = False
            while depth > 0:
                here = blank_at(here, end)
                if here >= end:
                    why = SYNTAX
                    break
                byte = load8(here)
                if byte == 44:
                    here = blank_at(here + 1, end)
                    break
                if byte == (93 if objects[depth - 1] == -2 else 125):
                    here, depth = here + 1, depth - 1
                    continue
                why = SYNTAX
                break
        if why == GOOD and blank_at(here, end) != end:
            why = TRAILING
        status[text] = why
        if why == GOOD:
            rows[good] = text
            good += 1
        else:
            failed[text] = blamed << 32 | max(here - base, 0)
    return good


@kernel
def _below(told: Scanning, node: int, columns: int) -> int:
    """A column that lies in the object of a node, to name in a refusal."""
    while True:
        first = at(told.nodes, node, I8)
        if first == at(told.nodes, node + 1, I8):
            return columns
        key = at(told.keys, first, KEY)
        if key.slot >= 0:
            return key.slot
        node = key.node


@kernel
def _nothing(told: Scanning, node: int, texts: int, good: int) -> None:
    """All that would lie in the object of a node is null: null stands in its place."""
    first, behind = at(told.nodes, node, I8), at(told.nodes, at(told.behind, node, I8), I8)
    for place in range(first, behind):
        slot = at(told.keys, place, KEY).slot
        if slot >= 0:
            store8(told.states.place + slot * texts + good, NULL)


@kernel("i8 i8[::1] u1[::1] i4[::1] i8")
def gather(base: int, values: Ints, states: Bytes, offsets: npt.NDArray[np.int32], out: int) -> None:
    """Copy texts one behind the other, without their escapes; `offsets`, one more than there are texts, are set."""
    begin = out
    for row in range(len(values)):
        offsets[row] = out - begin
        if states[row] in (THERE, ESCAPED, WHOLE):
            start, size = base + (values[row] >> 32), values[row] & 0xFFFF_FFFF
            out = plain_at(start, start + size, out) if states[row] == ESCAPED else copy(start, size, out)
    offsets[len(values)] = out - begin
