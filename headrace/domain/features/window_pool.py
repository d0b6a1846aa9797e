"""Where the sorted entries of many entities stand, in one pool, with the sums of their blocks.

Every entity owns a contiguous region of the pool; its live entries stand in it by (time, arrival). Sums are taken in
an order that depends on an entry's *rank* alone (how many entries of its entity stand before it, since the entity was
last empty): whole blocks of 64 ranks are summed upwards, 64 such blocks make a tower, and a window adds entries, blocks
and towers from its newest to its oldest end. So an answer has the same bits whatever the region's place, whatever was
evicted meanwhile, and whether block sums came from the pool or were taken on the spot; and nothing is ever subtracted,
so a huge value that left the window leaves no residue.

Small regions keep no block sums. Large ones start at a multiple of 64 and are shifted by the rank, so that a block of
ranks is a block of the pool.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BLOCK = 64
TOWER = 64 * BLOCK
LARGE = 8 * BLOCK
"""Regions of at least so many places keep block sums."""

ORIGIN, CAPACITY, START, LENGTH, RANK = range(5)
"""Columns of spans: a slot's region, its live entries in it, and the rank of the first of them."""
FIELDS = 5


class Pool(NamedTuple):
    """Entries of all entities, and where each slot's are.

    Kernels take the arrays one by one: taking them out of a tuple counts references, which would cost more than the
    work.

    Attributes:
        times: int64 (places,), milliseconds.
        values: float64 (places, columns), NaN for null.
        blocks: float64 (places / 64, 2, columns, 2 or 4): of the block that starts there, and of the tower that does,
            sum, count and with extremes min and max.
        spans: int64 (slots, 5), see ORIGIN and the rest.
    """

    times: Ints
    values: Floats
    blocks: Floats
    spans: Ints


@kernel
def run_of(values: Floats, column: int, low: int, high: int, extremes: bool) -> tuple[float, float, float, float]:
    """Sum, count, min and max of the entries in [low, high), nulls left out.

    Four lanes, each fourth entry from `low`: additions need not wait for one another, and the order is fixed.
    """
    a, b, c, d, known = 0.0, 0.0, 0.0, 0.0, 0
    place = low
    while place + 4 <= high:
        p, q = values[place, column], values[place + 1, column]
        r, s = values[place + 2, column], values[place + 3, column]
        a += p if p == p else 0.0
        b += q if q == q else 0.0
        c += r if r == r else 0.0
        d += s if s == s else 0.0
        known += (p == p) + (q == q) + (r == r) + (s == s)
        place += 4
    while place < high:
        p = values[place, column]
        a += p if p == p else 0.0
        known += p == p
        place += 1
    least, most = np.inf, -np.inf
    if extremes:
        for place in range(low, high):
            p = values[place, column]
            least = p if p < least else least
            most = p if p > most else most
    return (a + b) + (c + d), float(known), least, most


@kernel
def run_of_two(values: Floats, column: int, low: int, high: int) -> tuple[float, float, float, float]:
    """Sum and count of the entries in [low, high) of a column and of the next one, each as `run_of` has them."""
    a, b, c, d, known = 0.0, 0.0, 0.0, 0.0, 0
    e, f, g, h, others = 0.0, 0.0, 0.0, 0.0, 0
    place = low
    while place + 4 <= high:
        p, q = values[place, column], values[place + 1, column]
        r, s = values[place + 2, column], values[place + 3, column]
        t, u = values[place, column + 1], values[place + 1, column + 1]
        v, w = values[place + 2, column + 1], values[place + 3, column + 1]
        a += p if p == p else 0.0
        b += q if q == q else 0.0
        c += r if r == r else 0.0
        d += s if s == s else 0.0
        e += t if t == t else 0.0
        f += u if u == u else 0.0
        g += v if v == v else 0.0
        h += w if w == w else 0.0
        known += (p == p) + (q == q) + (r == r) + (s == s)
        others += (t == t) + (u == u) + (v == v) + (w == w)
        place += 4
    while place < high:
        p, t = values[place, column], values[place, column + 1]
        a += p if p == p else 0.0
        e += t if t == t else 0.0
        known += p == p
        others += t == t
        place += 1
    return (a + b) + (c + d), float(known), (e + f) + (g + h), float(others)


@kernel
def refresh(values: Floats, blocks: Floats, start: int, end: int, rank: int, changed: int) -> None:
    """Take block and tower sums of a large region again, from the entry at `changed` upwards."""
    columns, kinds = blocks.shape[2], blocks.shape[3]
    shift = rank - start
    block = max(changed & ~(BLOCK - 1), (start + BLOCK - 1) & ~(BLOCK - 1))
    while block + BLOCK <= end:
        for column in range(columns):
            total, count, least, most = run_of(values, column, block, block + BLOCK, kinds > 2)
            blocks[block >> 6, 0, column, 0] = total
            blocks[block >> 6, 0, column, 1] = count
            if kinds > 2:
                blocks[block >> 6, 0, column, 2] = least
                blocks[block >> 6, 0, column, 3] = most
        block += BLOCK
    tower = ((changed + shift) & ~(TOWER - 1)) - shift
    while tower < start:
        tower += TOWER
    while tower + TOWER <= end:
        first = tower >> 6
        for column in range(columns):
            total, count, least, most = 0.0, 0.0, np.inf, -np.inf
            for at in range(first, first + TOWER // BLOCK):
                total += blocks[at, 0, column, 0]
                count += blocks[at, 0, column, 1]
                if kinds > 2:
                    least = min(least, blocks[at, 0, column, 2])
                    most = max(most, blocks[at, 0, column, 3])
            blocks[first, 1, column, 0] = total
            blocks[first, 1, column, 1] = count
            if kinds > 2:
                blocks[first, 1, column, 2] = least
                blocks[first, 1, column, 3] = most
        tower += TOWER


@kernel
def move(times: Ints, values: Floats, source: int, target: int, length: int) -> None:
    """Move entries downwards, or to a place that does not overlap."""
    for step in range(length):
        times[target + step] = times[source + step]
    for step in range(length):
        for column in range(values.shape[1]):
            values[target + step, column] = values[source + step, column]


@kernel
def room(length: int, rank: int) -> int:
    """Places to give a region that holds `length` entries: an eighth more, whole blocks when large."""
    places = length + (length >> 3) + 1
    if places < LARGE:
        return places
    return ((rank & (BLOCK - 1)) + places + BLOCK - 1) & ~(BLOCK - 1)


@kernel
def evict(times: Ints, spans: Ints, slot: int, horizon: int) -> None:
    """Forget the slot's entries at or before `horizon`. An entity without entries starts over with rank 0."""
    start, length = spans[slot, START], spans[slot, LENGTH]
    if length == 0:
        return
    if times[start + length - 1] <= horizon:
        spans[slot, START] = spans[slot, ORIGIN]
        spans[slot, LENGTH] = 0
        spans[slot, RANK] = 0
        return
    gone = 0
    while times[start + gone] <= horizon:
        gone += 1
    spans[slot, START] = start + gone
    spans[slot, LENGTH] = length - gone
    spans[slot, RANK] += gone


@kernel
def make_room(times: Ints, values: Floats, blocks: Floats, spans: Ints, cursor: Ints, slot: int) -> bool:
    """See that the slot's region has a free place at its end; False when the pool has none to give."""
    origin, start, length, rank = spans[slot, ORIGIN], spans[slot, START], spans[slot, LENGTH], spans[slot, RANK]
    if start + length < origin + spans[slot, CAPACITY]:
        return True
    gap = start - origin
    if spans[slot, CAPACITY] >= LARGE:
        gap &= ~(BLOCK - 1)
    if gap > length >> 4:
        move(times, values, start, start - gap, length)
        spans[slot, START] = start - gap
    else:
        places = room(length + 1, rank)
        target = cursor[0]
        lead = 0
        if places >= LARGE:
            target = (target + BLOCK - 1) & ~(BLOCK - 1)
            lead = rank & (BLOCK - 1)
        if target + places > len(times):
            return False
        move(times, values, start, target + lead, length)
        spans[slot, ORIGIN] = target
        spans[slot, CAPACITY] = places
        spans[slot, START] = target + lead
        cursor[0] = target + places
    if spans[slot, CAPACITY] >= LARGE:
        start = spans[slot, START]
        refresh(values, blocks, start, start + length, rank, start)
    return True


@kernel
def insert(
    times: Ints, values: Floats, blocks: Floats, spans: Ints, cursor: Ints,
    slot: int, time: int, given: Floats, row: int, horizon: int,
) -> bool:  # fmt: skip  # the state, the row
    """Put one entry in its place, behind those of the same time; False (entry not taken) when the pool is full."""
    evict(times, spans, slot, horizon)
    if not make_room(times, values, blocks, spans, cursor, slot):
        return False
    start = spans[slot, START]
    end = start + spans[slot, LENGTH]
    place = end
    while place > start and times[place - 1] > time:
        times[place] = times[place - 1]
        for column in range(values.shape[1]):
            values[place, column] = values[place - 1, column]
        place -= 1
    times[place] = time
    for column in range(values.shape[1]):
        values[place, column] = given[row, column]
    spans[slot, LENGTH] += 1
    if spans[slot, CAPACITY] >= LARGE:
        refresh(values, blocks, start, end + 1, spans[slot, RANK], place)
    return True


@kernel("i8[::1] i8[:,::1] i8 i8")
def evict_all(times: Ints, spans: Ints, used: int, horizon: int) -> int:
    """Evict in every slot; returns the number of live entries."""
    live = 0
    for slot in range(used):
        evict(times, spans, slot, horizon)
        live += spans[slot, LENGTH]
    return live


@kernel("i8[:,::1] i8 i8[:,::1]")
def lay_out(spans: Ints, used: int, planned: Ints) -> int:
    """Plan a pool without gaps: the spans that slots will have; returns the places taken."""
    cursor = 0
    for slot in range(used):
        length, rank = spans[slot, LENGTH], spans[slot, RANK]
        planned[slot, :] = 0
        if length == 0:
            continue
        places = room(length, rank)
        lead = 0
        if places >= LARGE:
            cursor = (cursor + BLOCK - 1) & ~(BLOCK - 1)
            lead = rank & (BLOCK - 1)
        planned[slot, ORIGIN] = cursor
        planned[slot, CAPACITY] = places
        planned[slot, START] = cursor + lead
        planned[slot, LENGTH] = length
        planned[slot, RANK] = rank
        cursor += places
    return cursor


@kernel("i8[::1] i8[::1] i8[::1] i8[::1] i8[::1]", "i8[::1] i8[::1] i8[:] i8[:] i8[:]")
def copy_times(source: Ints, target: Ints, old: Ints, new: Ints, length: Ints) -> None:
    """Copy runs of times from their old starts to their new ones in another array."""
    for run in range(len(length)):
        for step in range(length[run]):
            target[new[run] + step] = source[old[run] + step]


@kernel("f8[:,::1] f8[:,::1] i8[::1] i8[::1] i8[::1]", "f8[:,::1] f8[:,::1] i8[:] i8[:] i8[:]")
def copy_values(source: Floats, target: Floats, old: Ints, new: Ints, length: Ints) -> None:
    """Copy runs of values from their old starts to their new ones in another array."""
    for run in range(len(length)):
        for step in range(length[run]):
            for column in range(source.shape[1]):
                target[new[run] + step, column] = source[old[run] + step, column]


@kernel("f8[:,::1] f8[:,:,:,::1] i8[:,::1] i8")
def refresh_all(values: Floats, blocks: Floats, spans: Ints, used: int) -> None:
    """Take the block sums of every large region again."""
    for slot in range(used):
        if spans[slot, CAPACITY] >= LARGE:
            start = spans[slot, START]
            refresh(values, blocks, start, start + spans[slot, LENGTH], spans[slot, RANK], start)
