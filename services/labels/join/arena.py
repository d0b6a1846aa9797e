"""Records in blocks, and the table that finds an event's record by its id."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from headrace.columnar.jit import CHECKED, kernel
from headrace.columnar.structs import U1, Bytes, Kind, T, at, copy, record_at, same, size_of
from services.labels.join.layout import (
    BLOCK,
    BLOCK_BYTES,
    DONE,
    ENTITIES,
    ENTRY,
    EVENT,
    HEAD,
    IS_ENTITIES,
    IS_EVENT,
    IS_PREDICTION,
    IS_REPORT,
    MEMORY,
    NEED_BLOCK,
    NEED_BUCKETS,
    NEED_TABLE,
    NEVER,
    PREDICTION,
    REPORT,
    SLOT_BITS,
    START,
    UNDATED,
    Block,
    EventRecord,
    Memory,
    Prediction,
    Report,
    Timed,
)  # fmt: skip  # sorted as the linter sorts

_LOW = 0xFFFF_FFFF
_PLACE = (1 << SLOT_BITS) - 1
EVENT_SIZE, PREDICTION_SIZE, REPORT_SIZE = EVENT.itemsize, PREDICTION.itemsize, REPORT.itemsize
"""Bytes of their fields."""
ENTITIES_SIZE = ENTITIES.itemsize


# ---- where a record is ----------------------------------------------------------------------------------------------


@kernel
def slot_of(address: int) -> int:
    """The block that a record lies in."""
    return address >> SLOT_BITS


@kernel
def block_at(join: Memory, slot: int) -> Block:
    """The block in a slot."""
    return at(join.blocks, slot, BLOCK)


@kernel
def address_of(slot: int, place: int) -> int:
    """The address of the record that begins at this byte of a block."""
    return slot << SLOT_BITS | place >> 1


@kernel
def _record(join: Memory, address: int, is_a: int, kind: Kind[T]) -> T:
    """The record at an address, which must be one of its kind."""
    block = block_at(join, slot_of(address))
    place = (address & _PLACE) << 1
    if CHECKED:
        if place < START or place + size_of(kind) > block.used:
            raise IndexError("a record outside its block")
        if record_at(block.place + place, HEAD).head & 3 != is_a:
            raise IndexError("a record of another kind")
    return record_at(block.place + place, kind)


@kernel
def event_at(join: Memory, address: int) -> EventRecord:
    """An event."""
    return _record(join, address, IS_EVENT, EVENT)


@kernel
def prediction_at(join: Memory, address: int) -> Prediction:
    """A prediction."""
    return _record(join, address, IS_PREDICTION, PREDICTION)


@kernel
def report_at(join: Memory, address: int) -> Report:
    """A report."""
    return _record(join, address, IS_REPORT, REPORT)


@kernel
def _behind(join: Memory, address: int, head: int, fields: int) -> Bytes:
    """The bytes that follow a record's fields, up to its end."""
    block = block_at(join, slot_of(address))
    start, size = ((address & _PLACE) << 1) + fields, (head >> 2) - fields
    if CHECKED and (size < 0 or start + size > block.used):
        raise IndexError("a record that ends outside its block")
    return Bytes(block.place + start, size)


@kernel
def id_of(join: Memory, address: int) -> Bytes:
    """The id of an event."""
    return _behind(join, address, event_at(join, address).head, EVENT_SIZE)


@kernel
def answer_of(join: Memory, address: int) -> Bytes:
    """The chances of classes behind a prediction, and the place of the one decided on; nothing without classes."""
    return Bytes(_behind(join, address, prediction_at(join, address).head, PREDICTION_SIZE).place, join.answer)


@kernel
def shared_of(join: Memory, address: int) -> Bytes:
    """What the predictions of an event share, behind its first one."""
    return _behind(join, address, prediction_at(join, address).head, PREDICTION_SIZE + join.answer)


@kernel
def entities_of(join: Memory, address: int) -> Bytes:
    """Whom an event belongs to."""
    return _behind(join, address, _record(join, address, IS_ENTITIES, ENTITIES).head, ENTITIES_SIZE)


@kernel
def head_in(block: Block, place: int) -> int:
    """The head of the record that begins at this byte of a block."""
    if CHECKED and (place < START or place + 4 > block.used):
        raise IndexError("a record outside its block")
    return record_at(block.place + place, HEAD).head


@kernel
def extent(head: int) -> int:
    """Bytes that the record with this head takes."""
    return REPORT_SIZE if head & 3 == IS_REPORT else ((head >> 2) + 1) & ~1


# ---- fields ---------------------------------------------------------------------------------------------------------


@kernel
def time_of(record: Timed) -> int:
    """The time of a record; NEVER for UNDATED."""
    time = record.time_high << 32 | record.time_low
    return NEVER if time == UNDATED else time


@kernel
def set_time(record: Timed, time: int) -> None:
    """Set the time of a record."""
    record.time_low = time & _LOW
    record.time_high = time >> 32


@kernel
def note_event(block: Block, time: int) -> None:
    """Note that an event of this time lies in a block."""
    block.newest_event = max(block.newest_event, time)


@kernel
def note_label(block: Block, time: int) -> None:
    """Note that a label of this time, without an event, lies in a block."""
    block.newest_label = max(block.newest_label, time)


@kernel
def note_arrival(block: Block, time: int) -> None:
    """Note that something in a block came at this time."""
    block.newest_arrival = max(block.newest_arrival, time)


# ---- room -----------------------------------------------------------------------------------------------------------


def block_size(need: int) -> int:
    """Bytes of a new block for a record of so many."""
    return max(BLOCK_BYTES, need + START)


@kernel
def lacking(join: Memory, size: int) -> bool:
    """Whether the block that is being filled has too little room."""
    return join.tail < 0 or block_at(join, join.tail).used + size > join.tail_room


@kernel
def need_of_event(join: Memory, size: int) -> int:
    """What lacks, of what a new event and so many bytes with it may take; DONE for nothing."""
    if lacking(join, size):
        join.need = size
        return NEED_BLOCK
    if 20 * (join.events + 1) > 17 * join.table.length:
        return NEED_TABLE
    if join.bucket_first + join.bucket_count + 1 > join.buckets.length:
        return NEED_BUCKETS
    return DONE


@kernel
def allot(join: Memory, size: int, is_a: int) -> int:
    """The address of a new record of so many bytes; the caller made sure that there is room."""
    block = block_at(join, join.tail)
    place = block.used
    block.used = place + ((size + 1) & ~1)
    if CHECKED and block.used > join.tail_room:
        raise IndexError("a record that its block has no room for")
    record_at(block.place + place, HEAD).head = size << 2 | is_a
    return address_of(join.tail, place)


@kernel
def new_event(join: Memory, key: Bytes, tag: int) -> int:
    """A record for an event of which nothing is known but its id."""
    address = allot(join, EVENT_SIZE + key.size, IS_EVENT)
    event = event_at(join, address)
    event.first = event.reports = event.next = event.entities = 0
    set_time(event, UNDATED)
    event.flags = 0
    event.id_size = key.size
    copy(key, id_of(join, address))
    enter(join, address, tag)
    join.events += 1
    return address


# ---- the table ------------------------------------------------------------------------------------------------------


@kernel
def tag_of(key: Bytes) -> int:
    """32 bits of a hash of an id (FNV-1a, finished by a multiplication)."""
    value = -0x340D631B7BDDDCDB
    for step in range(key.size):
        value = (value ^ record_at(key.place + step, U1)) * 0x100000001B3
    value = (value ^ ((value >> 32) & _LOW)) * -0x61C8864680B583EB
    return (value >> 32) & _LOW


@kernel
def find(join: Memory, key: Bytes, tag: int) -> int:
    """The event of an id, or 0. Ids are compared whole: events whose hashes are equal are not one."""
    place = _home(join, tag)
    while True:
        entry = at(join.table, place, ENTRY)
        if entry.event == 0:
            return 0
        if entry.tag == tag and same(id_of(join, entry.event), key):
            return entry.event
        place = _after(join, place)


@kernel
def enter(join: Memory, address: int, tag: int) -> None:
    """Make an event known; the table must have a free place."""
    place = _home(join, tag)
    while at(join.table, place, ENTRY).event != 0:
        place = _after(join, place)
    entry = at(join.table, place, ENTRY)
    entry.event, entry.tag = address, tag


@kernel
def forget(join: Memory, address: int) -> None:
    """Take an event out of the table, moving up those behind it that were pushed away from their places."""
    places = join.table.length
    hole = _home(join, tag_of(id_of(join, address)))
    while at(join.table, hole, ENTRY).event != address:
        hole = _after(join, hole)
    place = hole
    while True:
        place = _after(join, place)
        entry = at(join.table, place, ENTRY)
        if entry.event == 0:
            break
        home = _home(join, entry.tag)
        if (place - home) % places >= (place - hole) % places:
            free = at(join.table, hole, ENTRY)
            free.event, free.tag = entry.event, entry.tag
            hole = place
    free = at(join.table, hole, ENTRY)
    free.event = free.tag = 0


@kernel
def _home(join: Memory, tag: int) -> int:
    """The place of the table at which the search for a tag begins."""
    return (tag * join.table.length) >> 32


@kernel
def _after(join: Memory, place: int) -> int:
    return 0 if place + 1 == join.table.length else place + 1


@kernel("memory i8 i8 i8", memory=MEMORY)
def rebuild(join: Memory, first: int, blocks: int, slots: int) -> None:
    """Enter every event of so many blocks, from slot `first` on, into the empty table."""
    for step in range(blocks):
        slot = (first + step) % slots
        block, place = block_at(join, slot), START
        while place < block.used:
            head = head_in(block, place)
            if head & 3 == IS_EVENT:
                address = address_of(slot, place)
                enter(join, address, tag_of(id_of(join, address)))
            place += extent(head)


@kernel("memory entries[::1]", memory=MEMORY, entries=ENTRY)
def rehash(join: Memory, old: npt.NDArray[Any]) -> None:
    """Enter all that the old table holds into the new, empty one."""
    for place in range(len(old)):
        if old[place].event != 0:
            enter(join, old[place].event, old[place].tag)
