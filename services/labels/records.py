"""Records in blocks, and the table that finds an event's record by its id."""

from __future__ import annotations

from services.kit.avro_memory import load8, load32, load64, store8, store32, store64
from services.kit.compiled import kernel
from services.labels.layout import (
    BLOCK,
    BLOCKS,
    BUCKET_COUNT,
    BUCKET_FIRST,
    BUCKET_ROOM,
    DONE,
    E_BUCKET,
    E_ENTITIES,
    E_FIRST,
    E_FLAGS,
    E_KEY,
    E_REPORTS,
    E_SIZE,
    E_TIME,
    EVENT,
    EVENTS,
    NEED,
    NEED_BLOCK,
    NEED_BUCKETS,
    NEED_TABLE,
    NEVER,
    R_SIZE,
    REPORT,
    SLOT_BITS,
    START,
    TABLE,
    TABLE_SIZE,
    TAIL,
    TAIL_ROOM,
    UNDATED,
    USED,
)  # fmt: skip  # sorted as the linter sorts

_LOW = 0xFFFF_FFFF
_PLACE = (1 << SLOT_BITS) - 1
_SHORT = 0xFFFF


@kernel
def u32(at: int) -> int:
    """The unsigned 32-bit integer at an address."""
    return load32(at) & _LOW


@kernel
def u16(at: int) -> int:
    """The unsigned 16-bit integer at an address."""
    return load32(at) & _SHORT


@kernel
def set_u16(at: int, value: int) -> None:
    """Store an unsigned 16-bit integer."""
    store8(at, value)
    store8(at + 1, value >> 8)


@kernel
def time_at(at: int) -> int:
    """The time at an address; NEVER for UNDATED."""
    time = (load64(at) << 16) >> 16
    return NEVER if time == UNDATED else time


@kernel
def set_time(at: int, time: int) -> None:
    """Store a time."""
    store32(at, time)
    set_u16(at + 4, time >> 32)


@kernel
def raise_to(at: int, value: int) -> None:
    """Store a value where a smaller one stands."""
    if load64(at) < value:
        store64(at, value)


@kernel
def where(r: int, address: int) -> int:
    """Where a record lies in memory."""
    return load64(load64(r + BLOCKS) + 8 * (address >> SLOT_BITS)) + ((address & _PLACE) << 1)


@kernel
def slot_of(address: int) -> int:
    """The block that a record lies in."""
    return address >> SLOT_BITS


@kernel
def lacking(r: int, size: int) -> bool:
    """Whether the block that is being filled has too little room."""
    slot = load64(r + TAIL)
    return slot < 0 or load64(load64(r + USED) + 8 * slot) + size > load64(r + TAIL_ROOM)


@kernel
def need_of_event(r: int, size: int) -> int:
    """What lacks, of what a new event and so many bytes with it may take; DONE for nothing."""
    if lacking(r, size):
        store64(r + NEED, size)
        return NEED_BLOCK
    if 20 * (load64(r + EVENTS) + 1) > 17 * load64(r + TABLE_SIZE):
        return NEED_TABLE
    if load64(r + BUCKET_FIRST) + load64(r + BUCKET_COUNT) + 1 > load64(r + BUCKET_ROOM):
        return NEED_BUCKETS
    return DONE


@kernel
def allot(r: int, size: int) -> int:
    """The address of so many new bytes; the caller made sure that there is room."""
    slot = load64(r + TAIL)
    used = load64(r + USED) + 8 * slot
    place = load64(used)
    store64(used, place + ((size + 1) & ~1))
    return slot << SLOT_BITS | place >> 1


@kernel
def size_of(at: int) -> int:
    """Bytes that the record at this place takes."""
    head = u32(at)
    return R_SIZE if head & 3 == REPORT else ((head >> 2) + 1) & ~1


@kernel
def copy(source: int, size: int, target: int) -> None:
    """Copy bytes."""
    end = target + size
    while target + 8 <= end:
        store64(target, load64(source))
        source += 8
        target += 8
    while target < end:
        store8(target, load8(source))
        source += 1
        target += 1


@kernel
def tag_of(key: int, size: int) -> int:
    """32 bits of a hash of an id (FNV-1a, finished by a multiplication)."""
    value = -0x340D631B7BDDDCDB
    for place in range(size):
        value = (value ^ load8(key + place)) * 0x100000001B3
    value = (value ^ ((value >> 32) & _LOW)) * -0x61C8864680B583EB
    return (value >> 32) & _LOW


@kernel
def find(r: int, key: int, size: int, tag: int) -> int:
    """The event of an id, or 0. Ids are compared whole: events whose hashes are equal are not one."""
    table, places = load64(r + TABLE), load64(r + TABLE_SIZE)
    place = (tag * places) >> 32
    while True:
        entry = load64(table + 8 * place)
        if entry == 0:
            return 0
        if (entry >> 32) & _LOW == tag:
            address = entry & _LOW
            at = where(r, address)
            if u16(at + E_KEY) == size:
                same = True
                for step in range(size):
                    if load8(at + E_SIZE + step) != load8(key + step):
                        same = False
                        break
                if same:
                    return address
        place += 1
        if place == places:
            place = 0


@kernel
def enter(r: int, address: int, tag: int) -> None:
    """Make an event known; the table must have a free place."""
    table, places = load64(r + TABLE), load64(r + TABLE_SIZE)
    place = (tag * places) >> 32
    while load64(table + 8 * place) != 0:
        place += 1
        if place == places:
            place = 0
    store64(table + 8 * place, tag << 32 | address)


@kernel
def forget(r: int, address: int) -> None:
    """Take an event out of the table, moving up those behind it that were pushed away from their places."""
    at = where(r, address)
    tag = tag_of(at + E_SIZE, u16(at + E_KEY))
    table, places = load64(r + TABLE), load64(r + TABLE_SIZE)
    hole = (tag * places) >> 32
    while load64(table + 8 * hole) & _LOW != address:
        hole += 1
        if hole == places:
            hole = 0
    place = hole
    while True:
        place += 1
        if place == places:
            place = 0
        entry = load64(table + 8 * place)
        if entry == 0:
            break
        home = (((entry >> 32) & _LOW) * places) >> 32
        if (place - home) % places >= (place - hole) % places:
            store64(table + 8 * hole, entry)
            hole = place
    store64(table + 8 * hole, 0)


@kernel
def new_event(r: int, key: int, size: int, tag: int) -> int:
    """A record for an event of which nothing is known but its id."""
    address = allot(r, E_SIZE + size)
    at = where(r, address)
    store32(at, (E_SIZE + size) << 2 | EVENT)
    for field in (E_FIRST, E_REPORTS, E_BUCKET, E_ENTITIES):
        store32(at + field, 0)
    set_time(at + E_TIME, UNDATED)
    set_u16(at + E_FLAGS, 0)
    set_u16(at + E_KEY, size)
    copy(key, size, at + E_SIZE)
    enter(r, address, tag)
    store64(r + EVENTS, load64(r + EVENTS) + 1)
    return address


@kernel("i8 i8 i8 i8")
def rebuild(r: int, first: int, blocks: int, slots: int) -> None:
    """Enter every event of so many blocks, from slot `first` on, into the empty table."""
    used = load64(r + USED)
    for step in range(blocks):
        slot = (first + step) % slots
        place = START
        base = load64(load64(r + BLOCKS) + 8 * slot)
        while place < load64(used + 8 * slot):
            if u32(base + place) & 3 == EVENT:
                tag = tag_of(base + place + E_SIZE, u16(base + place + E_KEY))
                enter(r, slot << SLOT_BITS | place >> 1, tag)
            place += size_of(base + place)


@kernel("i8 i8 i8")
def rehash(r: int, old: int, old_size: int) -> None:
    """Enter all that the old table holds into the new, empty one."""
    for place in range(old_size):
        entry = load64(old + 8 * place)
        if entry != 0:
            enter(r, entry & _LOW, (entry >> 32) & _LOW)


def block_size(need: int) -> int:
    """Bytes of a new block for a record of so many."""
    return max(BLOCK, need + START)
