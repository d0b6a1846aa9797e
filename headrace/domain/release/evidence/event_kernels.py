"""Kernels of events that wait: where each is, and which matures next.

They stand in slots, found by (key, time, source) in an open-addressing table (linear probing, deletion by shifting
back: Knuth, The Art of Computer Programming 3, 6.4, algorithm R). Those that are not mature are in a binary heap by
(time, source, key); those that are, in a ring, until nobody waits for their other half any more.
"""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.columnar.structs import I8, at
from headrace.domain.release.evidence.pair_layout import (
    DUE,
    EVENT,
    NOWHERE,
    PLACE,
    TABLE,
    WHOLE,
    EventDue,
    EventPlace,
    EventTable,
    WaitingEvent,
)

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_HIGH = np.uint64(32)


@kernel
def event_at(table: EventTable, slot: int) -> WaitingEvent:
    """The event in a slot."""
    return at(table.slots, slot, EVENT)


@kernel
def place_at(table: EventTable, number: int) -> EventPlace:
    """A place of the table by hash."""
    return at(table.places, number, PLACE)


@kernel
def code_of(key: int, time: int, source: int) -> int:
    """32 bits of a hash of an event: where it is looked for first, and told from others without its slot."""
    value = (np.uint64(key) ^ (np.uint64(time) * _MULTIPLIER) ^ np.uint64(source)) * _MULTIPLIER
    return np.int64(value >> _HIGH)  # type: ignore[return-value]  # an int to numba


@kernel
def find(table: EventTable, code: int, key: int, time: int, source: int) -> int:
    """Where in the table an event is, or would be."""
    mask = table.places.length - 1
    number = code & mask
    while True:
        place = place_at(table, number)
        if place.slot == NOWHERE:
            return number
        if place.code == code:
            event = event_at(table, place.slot)
            if event.key == key and event.time == time and event.source == source:
                return number
        number = (number + 1) & mask


@kernel
def remove(table: EventTable, slot: int) -> None:
    """Find the event in a slot no more."""
    mask = table.places.length - 1
    gap = event_at(table, slot).code & mask
    while place_at(table, gap).slot != slot:
        gap = (gap + 1) & mask
    number = (gap + 1) & mask
    while True:
        place = place_at(table, number)
        if place.slot == NOWHERE:
            break
        if ((number - (place.code & mask)) & mask) >= ((number - gap) & mask):
            to = place_at(table, gap)
            to.slot, to.code = place.slot, place.code
            gap = number
        number = (number + 1) & mask
    place_at(table, gap).slot = NOWHERE


@kernel
def due_at(table: EventTable, number: int) -> EventDue:
    """A place of the heap; that of the event which is first is 0."""
    return at(table.heap, number, DUE)


@kernel
def _before(table: EventTable, one: int, other: int) -> bool:
    """Whether the event of a slot is ahead of that of another one, which was at the same time."""
    first, second = event_at(table, one), event_at(table, other)
    if first.source != second.source:
        return first.source < second.source
    return first.key < second.key


@kernel
def _rise(table: EventTable, number: int, time: int, slot: int) -> None:
    """Put an event where it belongs between a place of the heap that is free and the top."""
    while number > 0:
        above = due_at(table, (number - 1) >> 1)
        if time > above.time or (time == above.time and not _before(table, slot, above.slot)):
            break
        here = due_at(table, number)
        here.time, here.slot = above.time, above.slot
        number = (number - 1) >> 1
    here = due_at(table, number)
    here.time, here.slot = time, slot


@kernel
def push(table: EventTable, slot: int) -> None:
    """An event waits to be mature."""
    table.heap_count += 1
    _rise(table, table.heap_count - 1, event_at(table, slot).time, slot)


@kernel
def pop(table: EventTable) -> int:
    """The slot of the event that is first. The gap sinks to the bottom, where the last one is mostly at home."""
    found = due_at(table, 0).slot
    count = table.heap_count - 1
    table.heap_count = count
    gap = 0
    while 2 * gap + 2 < count:
        below = 2 * gap + 1
        left, right = due_at(table, below), due_at(table, below + 1)
        if right.time == left.time:
            below += 1 if _before(table, right.slot, left.slot) else 0
        else:
            below += right.time < left.time
        here, child = due_at(table, gap), due_at(table, below)
        here.time, here.slot = child.time, child.slot
        gap = below
    if 2 * gap + 2 == count:
        here, child = due_at(table, gap), due_at(table, count - 1)
        here.time, here.slot = child.time, child.slot
        gap = count - 1
    last = due_at(table, count)
    _rise(table, gap, last.time, last.slot)
    return found


@kernel
def ripen(table: EventTable, slot: int) -> None:
    """An event is mature: from now on it waits for its other half alone."""
    event_at(table, slot).mature = 1
    end = table.ring_at + table.ring_count
    room = table.ring.length
    at(table.ring, end if end < room else end - room, WHOLE).value = slot
    table.ring_count += 1


@kernel("table", table=TABLE)
def place_all(table: EventTable) -> None:
    """Find the events in the ring and in the heap by hash."""
    for number in range(table.ring_count + table.heap_count):
        if number < table.ring_count:
            end = table.ring_at + number
            slot = at(table.ring, end if end < table.ring.length else end - table.ring.length, I8)
        else:
            slot = due_at(table, number - table.ring_count).slot
        event = event_at(table, slot)
        event.code = code_of(event.key, event.time, event.source)
        place = place_at(table, find(table, event.code, event.key, event.time, event.source))
        place.slot, place.code = slot, event.code


@kernel("table i8 i8", table=TABLE)
def push_all(table: EventTable, low: int, high: int) -> None:
    """Put slots into the heap."""
    for slot in range(low, high):
        push(table, slot)
