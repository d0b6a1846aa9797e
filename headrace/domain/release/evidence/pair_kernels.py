"""Kernels of the table of events that wait: rows come in their order, pairs meet, mature, and are given up.

Events stand in slots, found by (key, time, source) in an open-addressing table (linear probing, deletion by shifting
back: Knuth, The Art of Computer Programming 3, 6.4, algorithm R). Those that are not mature are in a binary heap by
(time, source, key); those that are, in a ring, until nobody waits for their other half any more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FREE = -1
SLOT, CODE = range(2)
"""Columns of the table: an event's slot, FREE for none, and its hash."""
HEAP, RING_AT, RING, SPARE, REACHED, BOUNDARY, ROW, OPS, LOOKS, TWICE, DISAGREED, CROWDED, LOOKS_BEGUN, EXPIRES = range(
    14
)
"""Numbers of the table: sizes of heap, ring and spare slots; stream time and the next look; where a call stands; counts
of rows of a model that was there, of rows whose label is not the event's first, of rows that found no room."""
NUMBERS = 14
KEY, TIME, SOURCE, CANDIDATES, BASELINES, TAKEN, MATURE = range(7)
"""Columns of a slot; three of them have a bit a pair: whether a row of its candidate, of its baseline, came that counts
for it, and whether it was taken, or can never be."""
FIELDS = 7
CANDIDATE, BASELINE, SINCE = range(3)
"""Columns of a pair: the numbers of its models, and the event time from which it counts; -1, -1 where there is none."""
LATE, UNLABELLED, ALONE, BASELINE_ALONE, UNUSABLE = range(5)
"""What is counted of a pair."""
TALLIES = 5
LOOK = -1
"""In the place of a pair: stream time reached a look."""
STEPS = 64
"""Of `patience`, in which events are given up."""
MOST_LOOKS = 100_000
"""A step of stream time over more looks than this is taken at once."""
OP_PAIR, OP_TIME = range(2)
OP_CANDIDATE, OP_BASELINE, OP_LABEL = range(3)

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_HIGH = np.uint64(32)


@kernel
def _code(key: int, time: int, source: int) -> int:
    """32 bits of a hash of an event, above 0: where it is looked for first, and told from others without its slot."""
    value = (np.uint64(key) ^ (np.uint64(time) * _MULTIPLIER) ^ np.uint64(source)) * _MULTIPLIER
    return int(np.int64(value >> _HIGH)) | 1


@kernel
def _find(table: Ints, slots: Ints, code: int, key: int, time: int, source: int) -> int:
    """Where in the table an event is, or would be."""
    mask = len(table) - 1
    at = (code >> 1) & mask
    while table[at, SLOT] != FREE:
        if table[at, CODE] == code:
            slot = table[at, SLOT]
            if slots[slot, KEY] == key and slots[slot, TIME] == time and slots[slot, SOURCE] == source:
                return at
        at = (at + 1) & mask
    return at


@kernel
def _remove(table: Ints, slots: Ints, slot: int) -> None:
    mask = len(table) - 1
    key, time, source = slots[slot, KEY], slots[slot, TIME], slots[slot, SOURCE]
    gap = _find(table, slots, _code(key, time, source), key, time, source)
    at = (gap + 1) & mask
    while table[at, SLOT] != FREE:
        home = (table[at, CODE] >> 1) & mask
        if ((at - home) & mask) >= ((at - gap) & mask):
            table[gap, SLOT], table[gap, CODE] = table[at, SLOT], table[at, CODE]
            gap = at
        at = (at + 1) & mask
    table[gap, SLOT] = FREE


@kernel
def _before(slots: Ints, first: int, second: int) -> bool:
    if slots[first, TIME] != slots[second, TIME]:
        return bool(slots[first, TIME] < slots[second, TIME])
    if slots[first, SOURCE] != slots[second, SOURCE]:
        return bool(slots[first, SOURCE] < slots[second, SOURCE])
    return bool(slots[first, KEY] < slots[second, KEY])


@kernel
def _push(heap: Ints, numbers: Ints, slots: Ints, slot: int) -> None:
    at = numbers[HEAP]
    numbers[HEAP] += 1
    while at > 0:
        above = (at - 1) >> 1
        if not _before(slots, slot, heap[above]):
            break
        heap[at] = heap[above]
        at = above
    heap[at] = slot


@kernel
def _pop(heap: Ints, numbers: Ints, slots: Ints) -> int:
    found: int = heap[0]
    numbers[HEAP] -= 1
    count = numbers[HEAP]
    last, at = heap[count], 0
    while 2 * at + 1 < count:
        below = 2 * at + 1
        if below + 1 < count and _before(slots, heap[below + 1], heap[below]):
            below += 1
        if not _before(slots, heap[below], last):
            break
        heap[at] = heap[below]
        at = below
    heap[at] = last
    return found


@kernel
def _tell(ops: Ints, values: Floats, numbers: Ints, pair: int, time: int, c: float, b: float, label: float) -> None:
    at = numbers[OPS]
    ops[at, OP_PAIR], ops[at, OP_TIME] = pair, time
    values[at, OP_CANDIDATE], values[at, OP_BASELINE], values[at, OP_LABEL] = c, b, label
    numbers[OPS] += 1


@kernel
def _take(
    pairs: Ints, tallies: Ints, slots: Ints, scores: Floats, labels: Floats, ops: Ints, values: Floats, numbers: Ints,
    slot: int, pair: int,
) -> None:  # fmt: skip  # the pairs, the table, what is told, which
    slots[slot, TAKEN] |= 1 << pair
    if np.isnan(labels[slot]):
        tallies[pair, UNLABELLED] += 1
        return
    c, b = scores[slot, pairs[pair, CANDIDATE]], scores[slot, pairs[pair, BASELINE]]
    _tell(ops, values, numbers, pair, slots[slot, TIME], c, b, labels[slot])


@kernel
def _ripen(slots: Ints, ring: Ints, numbers: Ints, slot: int) -> None:
    """An event is mature: from now on it waits for its other half alone."""
    slots[slot, MATURE] = 1
    at = numbers[RING_AT] + numbers[RING]
    ring[at if at < len(ring) else at - len(ring)] = slot
    numbers[RING] += 1


@kernel
def _expire(
    pairs: Ints, tallies: Ints, table: Ints, slots: Ints, ring: Ints, spare: Ints, numbers: Ints, patience: int
) -> None:
    """Give up events that happened `patience` before stream time, which counts in steps here: many at once."""
    step = max(patience // STEPS, 1)
    limit = numbers[REACHED] // step * step - patience
    numbers[EXPIRES] = limit + patience + step
    while numbers[RING] > 0:
        slot = ring[numbers[RING_AT]]
        if slots[slot, TIME] >= limit:
            return
        numbers[RING_AT] = numbers[RING_AT] + 1 if numbers[RING_AT] + 1 < len(ring) else 0
        numbers[RING] -= 1
        alone = (slots[slot, CANDIDATES] ^ slots[slot, BASELINES]) & ~slots[slot, TAKEN]
        pair = 0
        while alone != 0:
            if alone & 1:
                side = ALONE if slots[slot, CANDIDATES] >> pair & 1 else BASELINE_ALONE
                tallies[pair, side] += 1
            alone >>= 1
            pair += 1
        _remove(table, slots, slot)
        spare[numbers[SPARE]] = slot
        numbers[SPARE] += 1


@kernel(
    "i8[:,::1] i8[:,::1] i8[:,::1] i8[:,::1] i8[:,::1] f8[:,::1] f8[::1] i8[::1] i8[::1] i8[::1] i8[::1] i8[::1] "
    "i8[:,::1] f8[:,::1] i8[:,:,::1] i8[:,::1] i8[::1] i8[::1] i8[::1] i8[::1] i8[::1] i8[::1] f8[::1] f8[::1] "
    "i8[::1] i8 i8 i8 b1"
)
def walk(
    pairs: Ints, begins: Ints, tallies: Ints,
    table: Ints, slots: Ints, scores: Floats, labels: Floats, heap: Ints, ring: Ints, spare: Ints, numbers: Ints,
    offsets: Ints, ops: Ints, values: Floats, look_tallies: Ints, look_offsets: Ints,
    progress: Ints, source: Ints, offset: Ints, model: Ints, key: Ints, time: Ints, score: Floats, label: Floats,
    order: Ints, bound: int, every: int, patience: int, chances: bool,
) -> bool:  # fmt: skip  # the pairs, the table, what is told, the rows, the question
    """Take rows in, in an order, from `numbers[ROW]` on, then let stream time go on to `bound`: events before it are
    mature. False where what is told has no room: take it and call again. With each look stand the counts of pairs, and
    the offsets after the rows that were taken in.
    """
    # One loop without kernels of its own for its parts: each call would hand over all arrays, which costs as much.
    while True:
        done = numbers[ROW] == len(order)
        row = 0 if done else order[numbers[ROW]]
        until = bound if done else progress[row]
        while until > numbers[REACHED]:
            limit = min(until, numbers[BOUNDARY]) if numbers[LOOKS_BEGUN] else until
            if numbers[HEAP] > 0 and slots[heap[0], TIME] < limit:
                if numbers[OPS] + len(pairs) > len(ops):
                    return False
                slot = _pop(heap, numbers, slots)
                there = slots[slot, CANDIDATES] & slots[slot, BASELINES] & ~slots[slot, TAKEN]
                pair = 0
                while there != 0:
                    if there & 1:
                        _take(pairs, tallies, slots, scores, labels, ops, values, numbers, slot, pair)
                    there >>= 1
                    pair += 1
                _ripen(slots, ring, numbers, slot)
            elif numbers[LOOKS_BEGUN] and numbers[BOUNDARY] <= until:
                if numbers[OPS] == len(ops) or numbers[LOOKS] == len(look_tallies):
                    return False
                numbers[REACHED] = numbers[BOUNDARY]
                _expire(pairs, tallies, table, slots, ring, spare, numbers, patience)
                at = numbers[LOOKS]
                look_tallies[at, :, :] = tallies
                look_offsets[at, :] = offsets
                numbers[LOOKS] += 1
                _tell(ops, values, numbers, LOOK, numbers[BOUNDARY], 0.0, 0.0, 0.0)
                numbers[BOUNDARY] += every
                if until - numbers[BOUNDARY] > MOST_LOOKS * every:
                    numbers[BOUNDARY] = until // every * every
            else:
                numbers[REACHED] = until
                if until >= numbers[EXPIRES]:
                    _expire(pairs, tallies, table, slots, ring, spare, numbers, patience)
        if done:
            return True
        if numbers[OPS] + 2 * len(pairs) > len(ops):
            return False
        if not numbers[LOOKS_BEGUN]:
            numbers[LOOKS_BEGUN], numbers[BOUNDARY] = 1, (time[row] // every + 1) * every
        numbers[ROW] += 1
        offsets[source[row]] = offset[row] + 1
        code = _code(key[row], time[row], source[row])
        at = _find(table, slots, code, key[row], time[row], source[row])
        slot = table[at, SLOT]
        if slot == FREE:
            if numbers[SPARE] == 0:
                numbers[CROWDED] += 1
                continue
            numbers[SPARE] -= 1
            slot = spare[numbers[SPARE]]
            table[at, SLOT], table[at, CODE] = slot, code
            slots[slot, KEY], slots[slot, TIME], slots[slot, SOURCE] = key[row], time[row], source[row]
            for field in range(CANDIDATES, FIELDS):
                slots[slot, field] = 0
            for number in range(scores.shape[1]):
                scores[slot, number] = np.nan
            labels[slot] = label[row]
            if time[row] < numbers[REACHED]:
                _ripen(slots, ring, numbers, slot)
            else:
                _push(heap, numbers, slots, slot)
        elif labels[slot] != label[row] and not (np.isnan(labels[slot]) and np.isnan(label[row])):
            numbers[DISAGREED] += 1
        if not np.isnan(scores[slot, model[row]]):
            numbers[TWICE] += 1
            continue
        scores[slot, model[row]] = score[row]
        for pair in range(len(pairs)):
            if pairs[pair, CANDIDATE] != model[row] and pairs[pair, BASELINE] != model[row]:
                continue
            if offset[row] < begins[pair, source[row]] or time[row] < pairs[pair, SINCE]:
                continue
            slots[slot, CANDIDATES if pairs[pair, CANDIDATE] == model[row] else BASELINES] |= 1 << pair
            if not slots[slot, CANDIDATES] & slots[slot, BASELINES] & ~slots[slot, TAKEN] & 1 << pair:
                continue
            c, b = scores[slot, pairs[pair, CANDIDATE]], scores[slot, pairs[pair, BASELINE]]
            if chances and not (0.0 <= c <= 1.0 and 0.0 <= b <= 1.0):
                tallies[pair, UNUSABLE] += 1
                slots[slot, TAKEN] |= 1 << pair
                continue
            _tell(ops, values, numbers, pair, time[row], c, b, np.nan)
            if slots[slot, MATURE]:
                tallies[pair, LATE] += 1
                _take(pairs, tallies, slots, scores, labels, ops, values, numbers, slot, pair)


@kernel("i8[:,::1] i8[:,::1] i8[::1]")
def place_all(table: Ints, slots: Ints, live: Ints) -> None:
    """Put the events of slots into an empty table."""
    for each in range(len(live)):
        slot = live[each]
        key, time, source = slots[slot, KEY], slots[slot, TIME], slots[slot, SOURCE]
        code = _code(key, time, source)
        at = _find(table, slots, code, key, time, source)
        table[at, SLOT], table[at, CODE] = slot, code


@kernel("i8[::1] i8[::1] i8[:,::1] i8[::1]")
def push_all(heap: Ints, numbers: Ints, slots: Ints, live: Ints) -> None:
    """Put slots into the heap."""
    for at in range(len(live)):
        _push(heap, numbers, slots, live[at])
