"""Which events mature when: buckets of event time, and a heap of those whose bucket has come.

Most events wait for days, and come in nearly in the order of their times: a list for each short span of time costs four
bytes an event and no sorting. Only events of the span in which time stands now are sorted, in a binary heap.
"""

from __future__ import annotations

from headrace.columnar.jit import kernel
from headrace.columnar.structs import at
from services.labels.join.arena import event_at, time_of
from services.labels.join.layout import BUCKET, DUE, QUEUED, Bucket, Due, Memory


@kernel
def _bucket(join: Memory, place: int) -> Bucket:
    return at(join.buckets, place, BUCKET)


@kernel
def queue(join: Memory, address: int) -> None:
    """Put an event into the bucket of its time; the caller made sure that there is room for one more bucket."""
    event = event_at(join, address)
    number = time_of(event) // join.width
    end = join.bucket_first + join.bucket_count
    low, high = join.bucket_first, end
    while low < high:
        middle = (low + high) >> 1
        if _bucket(join, middle).number < number:
            low = middle + 1
        else:
            high = middle
    if low == end or _bucket(join, low).number != number:
        for place in range(end, low, -1):
            before = _bucket(join, place - 1)
            _set_bucket(_bucket(join, place), before.number, before.event, before.events)
        _set_bucket(_bucket(join, low), number, 0, 0)
        join.bucket_count += 1
    bucket = _bucket(join, low)
    event.next = bucket.event
    event.flags |= QUEUED
    _set_bucket(bucket, number, address, bucket.events + 1)


@kernel
def _set_bucket(bucket: Bucket, number: int, event: int, events: int) -> None:
    bucket.number, bucket.event, bucket.events = number, event, events


@kernel
def due_bucket(join: Memory, limit: int) -> int:
    """How many events the oldest bucket holds if its time has come; 0 otherwise."""
    if join.bucket_count == 0:
        return 0
    bucket = _bucket(join, join.bucket_first)
    return bucket.events if bucket.number * join.width <= limit else 0


@kernel
def open_bucket(join: Memory) -> None:
    """Move the oldest bucket into the heap, which has room for it."""
    address = _bucket(join, join.bucket_first).event
    while address != 0:
        event = event_at(join, address)
        _push(join, time_of(event), address)
        address = event.next
    join.bucket_first += 1
    join.bucket_count -= 1


@kernel
def heap_lacks(join: Memory, events: int) -> bool:
    """Whether the heap is too small for so many more."""
    return join.heap_count + events > join.heap.length


@kernel
def _due(join: Memory, place: int) -> Due:
    return at(join.heap, place, DUE)


@kernel
def _set_due(due: Due, time: int, event: int) -> None:
    due.time, due.event = time, event


@kernel
def _before(time: int, event: int, other_time: int, other: int) -> bool:
    """Whether an event comes out before another one, or is it: the older one does, then the one that came first."""
    return time < other_time or (time == other_time and event <= other)


@kernel
def _push(join: Memory, time: int, event: int) -> None:
    place = join.heap_count
    join.heap_count += 1
    while place > 0:
        above = (place - 1) >> 1
        parent = _due(join, above)
        if _before(parent.time, parent.event, time, event):
            break
        _set_due(_due(join, place), parent.time, parent.event)
        place = above
    _set_due(_due(join, place), time, event)


@kernel
def pop(join: Memory, limit: int) -> int:
    """The oldest event of the heap if its time is at or before the limit, taken out; else 0."""
    if join.heap_count == 0 or _due(join, 0).time > limit:
        return 0
    found = _due(join, 0).event
    count = join.heap_count - 1
    join.heap_count = count
    last = _due(join, count)
    time, event = last.time, last.event
    place = 0
    while 2 * place + 1 < count:
        below = 2 * place + 1
        child = _due(join, below)
        if below + 1 < count:
            other = _due(join, below + 1)
            if _before(other.time, other.event, child.time, child.event):
                below, child = below + 1, other
        if _before(time, event, child.time, child.event):
            break
        _set_due(_due(join, place), child.time, child.event)
        place = below
    _set_due(_due(join, place), time, event)
    return found
