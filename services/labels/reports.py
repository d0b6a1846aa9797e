"""The different reports of one event, the one that holds first, and what views are told when one is added.

Of two reports the one with the newer label time holds more; of the same time the one whose source ranks higher, then
the larger value. So what holds does not depend on the order in which reports came, and what held at any moment u is the
first whose label time is not after u.
"""

from __future__ import annotations

from services.kit.avro_memory import load64, store32, store64
from services.kit.compiled import kernel
from services.labels.layout import (
    CONFLICTING,
    E_FLAGS,
    E_REPORTS,
    ENTRIES,
    FLAG_BITS,
    MOST_REPORTS,
    R_NEXT,
    R_SIZE,
    R_TIME,
    R_VALUE,
    RANKS,
    REPORT,
    V_EVENT,
    V_FIELDS,
    V_FORMER,
    V_KNOWN,
    V_NEW,
    V_ROW,
    V_VALUE,
)
from services.labels.records import allot, set_time, set_u16, time_at, u16, u32, where

_MAGNITUDE = 0x7FFF_FFFF_FFFF_FFFF


@kernel
def _order(bits: int) -> int:
    """An integer that is ordered as the float64 of these bits is."""
    return bits ^ ((bits >> 63) & _MAGNITUDE)


@kernel
def holds_more(r: int, time: int, source: int, value: int, at: int) -> bool:
    """Whether a report (value: bits) holds more than the one at this place."""
    other = time_at(at + R_TIME)
    if time != other:
        return time > other
    ranks = load64(r + RANKS)
    mine, theirs = load64(ranks + 8 * source), load64(ranks + 8 * (u32(at) >> 2))
    if mine != theirs:
        return mine < theirs
    return _order(value) > _order(load64(at + R_VALUE))


@kernel
def known(r: int, event: int, time: int, source: int, value: int) -> bool:
    """Whether the event has this very report already."""
    address = u32(event + E_REPORTS)
    while address != 0:
        at = where(r, address)
        if time_at(at + R_TIME) == time and u32(at) >> 2 == source and load64(at + R_VALUE) == value:
            return True
        address = u32(at + R_NEXT)
    return False


@kernel
def count(event: int) -> int:
    """How many different reports the event has."""
    return u16(event + E_FLAGS) >> FLAG_BITS


@kernel
def add(r: int, event: int, time: int, source: int, value: int) -> None:
    """Put a report in its place. When there are too many, the one that holds least makes room, or the new one does."""
    before, after = 0, u32(event + E_REPORTS)
    while after != 0 and not holds_more(r, time, source, value, where(r, after)):
        before = after
        after = u32(where(r, after) + R_NEXT)
    if count(event) >= MOST_REPORTS:
        if after == 0:
            return
        last, one_up = after, before
        while u32(where(r, last) + R_NEXT) != 0:
            one_up = last
            last = u32(where(r, last) + R_NEXT)
        address = last
        if one_up == 0:
            store32(event + E_REPORTS, 0)
        else:
            store32(where(r, one_up) + R_NEXT, 0)
        if last == after:
            after = 0
    else:
        address = allot(r, R_SIZE)
        set_u16(event + E_FLAGS, u16(event + E_FLAGS) + (1 << FLAG_BITS))
    at = where(r, address)
    store32(at, source << 2 | REPORT)
    store32(at + R_NEXT, after)
    store64(at + R_VALUE, value)
    set_time(at + R_TIME, time)
    if before == 0:
        store32(event + E_REPORTS, address)
    else:
        store32(where(r, before) + R_NEXT, address)


@kernel
def drop_late(r: int, event: int, last: int) -> int:
    """Take out the reports with a label time after `last`; returns how many. They stand first."""
    gone = 0
    address = u32(event + E_REPORTS)
    while address != 0 and time_at(where(r, address) + R_TIME) > last:
        gone += 1
        address = u32(where(r, address) + R_NEXT)
    store32(event + E_REPORTS, address)
    set_u16(event + E_FLAGS, u16(event + E_FLAGS) - (gone << FLAG_BITS))
    return gone


@kernel
def weigh(r: int, event: int) -> bool:
    """Set the event's flag: do the newest reports of different sources disagree? Returns it."""
    first = u32(event + E_REPORTS)
    disagree = False
    if first != 0:
        value = load64(where(r, first) + R_VALUE)
        address = first
        while address != 0 and not disagree:
            at = where(r, address)
            if load64(at + R_VALUE) != value:
                other = first
                while other != address and u32(where(r, other)) >> 2 != u32(at) >> 2:
                    other = u32(where(r, other) + R_NEXT)
                disagree = other == address  # no newer one of its source
            address = u32(at + R_NEXT)
    flags = u16(event + E_FLAGS)
    set_u16(event + E_FLAGS, flags | CONFLICTING if disagree else flags & ~CONFLICTING)
    return disagree


@kernel
def tell_change(r: int, entries: int, row: int, address: int, time: int, source: int, value: int) -> None:
    """Tell views what changes when this report, not yet among the event's, is added.

    From `time` to the next label time known, it replaces what held at `time`; what held there before is taken back at
    that next time.
    """
    event = where(r, address)
    place, after = u32(event + E_REPORTS), 0
    while place != 0 and time_at(where(r, place) + R_TIME) > time:
        after = place
        place = u32(where(r, place) + R_NEXT)
    if place != 0:
        at = where(r, place)
        if time_at(at + R_TIME) == time and not holds_more(r, time, source, value, at):
            return
    new, former = (1, 0) if place == 0 else (0, load64(where(r, place) + R_VALUE))
    if new == 0 and former == value:
        return
    _entry(r, entries, row, address, time, new, value, former)
    if after != 0:
        _entry(r, entries, row, address, time_at(where(r, after) + R_TIME), -new, former, value)


@kernel
def tell_all(r: int, entries: int, row: int, address: int) -> None:
    """Tell views all that is known of an event's label, for the first time."""
    event = where(r, address)
    place = u32(event + E_REPORTS)
    while place != 0:
        at = where(r, place)
        time = time_at(at + R_TIME)
        below = u32(at + R_NEXT)
        while below != 0 and time_at(where(r, below) + R_TIME) == time:
            below = u32(where(r, below) + R_NEXT)
        new, former = (1, 0) if below == 0 else (0, load64(where(r, below) + R_VALUE))
        if new == 1 or former != load64(at + R_VALUE):
            _entry(r, entries, row, address, time, new, load64(at + R_VALUE), former)
        place = below


@kernel
def _entry(r: int, entries: int, row: int, address: int, known_from: int, new: int, value: int, former: int) -> None:
    told = load64(r + ENTRIES)
    at = entries + 8 * V_FIELDS * told
    store64(at + 8 * V_ROW, row)
    store64(at + 8 * V_EVENT, address)
    store64(at + 8 * V_KNOWN, known_from)
    store64(at + 8 * V_NEW, new)
    store64(at + 8 * V_VALUE, value)
    store64(at + 8 * V_FORMER, former)
    store64(r + ENTRIES, told + 1)
