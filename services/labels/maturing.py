"""Which events mature when: buckets of event time, and a heap of those whose bucket has come.

Most events wait for days, and come in nearly in the order of their times: a list for each short span of time costs four
bytes an event and no sorting. Only events of the span in which time stands now are sorted, in a binary heap.
"""

from __future__ import annotations

from services.kit.avro_memory import load64, store32, store64
from services.kit.compiled import kernel
from services.labels.layout import (
    BUCKET_COUNT,
    BUCKET_FIRST,
    BUCKETS,
    E_BUCKET,
    E_FLAGS,
    E_TIME,
    HEAP,
    HEAP_COUNT,
    HEAP_ROOM,
    QUEUED,
    WIDTH,
)
from services.labels.records import set_u16, time_at, u16, u32, where

_LOW = 0xFFFF_FFFF


@kernel
def queue(r: int, address: int) -> None:
    """Put an event into the bucket of its time; the caller made sure that there is room for one more bucket."""
    at = where(r, address)
    number = time_at(at + E_TIME) // load64(r + WIDTH)
    buckets = load64(r + BUCKETS)
    first = load64(r + BUCKET_FIRST)
    end = first + load64(r + BUCKET_COUNT)
    low, high = first, end
    while low < high:
        middle = (low + high) >> 1
        if load64(buckets + 16 * middle) < number:
            low = middle + 1
        else:
            high = middle
    if low == end or load64(buckets + 16 * low) != number:
        place = end
        while place > low:
            store64(buckets + 16 * place, load64(buckets + 16 * place - 16))
            store64(buckets + 16 * place + 8, load64(buckets + 16 * place - 8))
            place -= 1
        store64(buckets + 16 * low, number)
        store64(buckets + 16 * low + 8, 0)
        store64(r + BUCKET_COUNT, load64(r + BUCKET_COUNT) + 1)
    head = load64(buckets + 16 * low + 8)
    store32(at + E_BUCKET, head & _LOW)
    set_u16(at + E_FLAGS, u16(at + E_FLAGS) | QUEUED)
    store64(buckets + 16 * low + 8, (head & ~_LOW) + (1 << 32) | address)


@kernel
def due_bucket(r: int, limit: int) -> int:
    """How many events the oldest bucket holds if its time has come; 0 otherwise."""
    if load64(r + BUCKET_COUNT) == 0:
        return 0
    bucket = load64(r + BUCKETS) + 16 * load64(r + BUCKET_FIRST)
    if load64(bucket) * load64(r + WIDTH) > limit:
        return 0
    return load64(bucket + 8) >> 32


@kernel
def open_bucket(r: int) -> None:
    """Move the oldest bucket into the heap, which has room for it."""
    bucket = load64(r + BUCKETS) + 16 * load64(r + BUCKET_FIRST)
    address = load64(bucket + 8) & _LOW
    while address != 0:
        at = where(r, address)
        _push(r, time_at(at + E_TIME), address)
        address = u32(at + E_BUCKET)
    store64(r + BUCKET_FIRST, load64(r + BUCKET_FIRST) + 1)
    store64(r + BUCKET_COUNT, load64(r + BUCKET_COUNT) - 1)


@kernel
def heap_lacks(r: int, events: int) -> bool:
    """Whether the heap is too small for so many more."""
    return load64(r + HEAP_COUNT) + events > load64(r + HEAP_ROOM)


@kernel
def _push(r: int, time: int, address: int) -> None:
    heap, place = load64(r + HEAP), load64(r + HEAP_COUNT)
    store64(r + HEAP_COUNT, place + 1)
    while place > 0:
        above = (place - 1) >> 1
        if _first(load64(heap + 16 * above), load64(heap + 16 * above + 8), time, address):
            break
        store64(heap + 16 * place, load64(heap + 16 * above))
        store64(heap + 16 * place + 8, load64(heap + 16 * above + 8))
        place = above
    store64(heap + 16 * place, time)
    store64(heap + 16 * place + 8, address)


@kernel
def _first(time: int, address: int, other_time: int, other: int) -> bool:
    return time < other_time or (time == other_time and address <= other)


@kernel
def pop(r: int, limit: int) -> int:
    """The oldest event of the heap if its time is at or before the limit, taken out; else 0."""
    heap, count = load64(r + HEAP), load64(r + HEAP_COUNT)
    if count == 0 or load64(heap) > limit:
        return 0
    found = load64(heap + 8)
    count -= 1
    store64(r + HEAP_COUNT, count)
    time, address = load64(heap + 16 * count), load64(heap + 16 * count + 8)
    place = 0
    while True:
        below = 2 * place + 1
        if below >= count:
            break
        other = below + 1
        if other < count and _first(
            load64(heap + 16 * other), load64(heap + 16 * other + 8), load64(heap + 16 * below),
            load64(heap + 16 * below + 8),
        ):  # fmt: skip  # the younger of two
            below = other
        if _first(time, address, load64(heap + 16 * below), load64(heap + 16 * below + 8)):
            break
        store64(heap + 16 * place, load64(heap + 16 * below))
        store64(heap + 16 * place + 8, load64(heap + 16 * below + 8))
        place = below
    store64(heap + 16 * place, time)
    store64(heap + 16 * place + 8, address)
    return found
