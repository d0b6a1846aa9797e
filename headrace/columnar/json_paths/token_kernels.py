"""Compiled readers of the tokens of JSON (RFC 8259): strings, numbers and words, each from a place in memory on."""

from __future__ import annotations

from headrace.columnar.jit import kernel
from headrace.columnar.json_paths.instructions import FRACTION, GOOD, RANGE, SYNTAX
from headrace.columnar.memory import load8, store8


@kernel
def blank_at(here: int, end: int) -> int:
    """The first byte that is no white space."""
    while here < end and load8(here) in (32, 10, 13, 9):
        here += 1
    return here


@kernel
def _hex(here: int, end: int) -> int:
    """Four digits of an escape; -1 where they are none."""
    if end - here < 4:
        return -1
    value = 0
    for place in range(here, here + 4):
        byte = load8(place)
        if 48 <= byte <= 57:
            digit = byte - 48
        elif 97 <= byte <= 102:
            digit = byte - 87
        elif 65 <= byte <= 70:
            digit = byte - 55
        else:
            return -1
        value = value << 4 | digit
    return value


@kernel
def string_at(here: int, end: int) -> tuple[int, bool]:
    """From behind the quote: where the closing one is, and whether there are escapes; (-1 - place, _) for none."""
    escaped = False
    while here < end:
        byte = load8(here)
        if byte == 34:
            return here, escaped
        if byte < 32:
            return -1 - here, escaped
        if byte != 92:
            here += 1
            continue
        escaped = True
        if here + 1 >= end:
            return -1 - here, escaped
        what = load8(here + 1)
        if what == 117:  # u
            unit = _hex(here + 2, end)
            if unit < 0 or 0xDC00 <= unit <= 0xDFFF:
                return -1 - here, escaped
            here += 6
            if 0xD800 <= unit <= 0xDBFF:
                if end - here < 6 or load8(here) != 92 or load8(here + 1) != 117:
                    return -1 - here, escaped
                low = _hex(here + 2, end)
                if low < 0xDC00 or low > 0xDFFF:
                    return -1 - here, escaped
                here += 6
        elif what in (34, 92, 47, 98, 102, 110, 114, 116):
            here += 2
        else:
            return -1 - here, escaped
    return -1 - end, escaped


@kernel
def plain_at(here: int, end: int, out: int) -> int:
    """Write a string that was found good without its escapes; the place behind it. It never takes more room."""
    while here < end:
        byte = load8(here)
        if byte != 92:
            store8(out, byte)
            here += 1
            out += 1
            continue
        what = load8(here + 1)
        here += 2
        if what == 117:
            unit = _hex(here, end)
            here += 4
            if 0xD800 <= unit <= 0xDBFF:
                unit = 0x10000 + ((unit - 0xD800) << 10) + (_hex(here + 2, end) - 0xDC00)
                here += 6
        else:
            unit = what
            if what == 98:
                unit = 8
            elif what == 102:
                unit = 12
            elif what == 110:
                unit = 10
            elif what == 114:
                unit = 13
            elif what == 116:
                unit = 9
        if unit < 0x80:
            store8(out, unit)
            out += 1
        elif unit < 0x800:
            store8(out, 0xC0 | unit >> 6)
            store8(out + 1, 0x80 | unit & 0x3F)
            out += 2
        elif unit < 0x10000:
            store8(out, 0xE0 | unit >> 12)
            store8(out + 1, 0x80 | unit >> 6 & 0x3F)
            store8(out + 2, 0x80 | unit & 0x3F)
            out += 3
        else:
            store8(out, 0xF0 | unit >> 18)
            store8(out + 1, 0x80 | unit >> 12 & 0x3F)
            store8(out + 2, 0x80 | unit >> 6 & 0x3F)
            store8(out + 3, 0x80 | unit & 0x3F)
            out += 4
    return out


@kernel
def number_at(here: int, end: int) -> tuple[int, int, int]:
    """The place behind a number; GOOD, and its value, for a whole one, else FRACTION or RANGE; (-1, _, _) for none.

    RANGE: a whole number beyond 64 bits.
    """
    negative = load8(here) == 45
    here += negative
    first = here
    value, what = 0, GOOD
    while here < end:
        digit = load8(here) - 48
        if digit < 0 or digit > 9:
            break
        # Kept negative: the least of 64 bits has no positive.
        if value < -922_337_203_685_477_580 or (value == -922_337_203_685_477_580 and digit > 8):
            what = RANGE
        else:
            value = 10 * value - digit
        here += 1
    if here == first or (here - first > 1 and load8(first) == 48):
        return -1, SYNTAX, 0
    if not negative:
        if value == -9_223_372_036_854_775_807 - 1:
            what = RANGE
        else:
            value = -value
    if here < end and load8(here) == 46:
        what, here = FRACTION, here + 1
        first = here
        while here < end and 48 <= load8(here) <= 57:
            here += 1
        if here == first:
            return -1, SYNTAX, 0
    if here < end and load8(here) in (69, 101):
        what, here = FRACTION, here + 1
        if here < end and load8(here) in (43, 45):
            here += 1
        first = here
        while here < end and 48 <= load8(here) <= 57:
            here += 1
        if here == first:
            return -1, SYNTAX, 0
    return here, what, value


@kernel
def word_at(here: int, end: int) -> int:
    """What `true`, `false` or `null` begins here: 1, 0, 2; -1 for none."""
    if end - here >= 4:
        four = load8(here) << 24 | load8(here + 1) << 16 | load8(here + 2) << 8 | load8(here + 3)
        if four == 0x74727565:
            return 1
        if four == 0x6E756C6C:
            return 2
        if four == 0x66616C73 and end - here >= 5 and load8(here + 4) == 101:
            return 0
    return -1
