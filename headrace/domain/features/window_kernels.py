"""Kernels that fold rows into the windows of their entities and answer them; `window_pool` has the order of sums."""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.domain.aggregations.registry import SCANS_STAMP as SCANS_STAMP  # held by the stamps of kernels
from headrace.domain.aggregations.registry import scan_of
from headrace.domain.features.window_pool import (
    BLOCK,
    CAPACITY,
    LARGE,
    LENGTH,
    RANK,
    START,
    TOWER,
    Flags,
    Floats,
    Ints,
    insert,
    run_of,
    run_of_two,
)


@kernel
def after(times: Ints, low: int, high: int, bound: int) -> int:
    """First place in [low, high) whose time is > bound (high if none); quick when it is near `high`."""
    near = max(low, high - 32)
    while high > near and times[high - 1] > bound:
        high -= 1
    if high > near or high == low:
        return high
    while low < high:
        middle = (low + high) >> 1
        if times[middle] > bound:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def piece_below(place: int, low: int, shift: int, large: bool) -> tuple[int, int]:
    """Where the next piece of [low, place) begins that is summed up as one, newest first, and its level.

    A tower (1) or a block (0) whose sums a large region has at hand, or a run of entries within a block (-1). `shift`
    is rank minus place.
    """
    rank = place + shift
    if large and rank & (TOWER - 1) == 0 and place - TOWER >= low:
        return place - TOWER, 1
    if rank & (BLOCK - 1) == 0 and place - BLOCK >= low:
        return place - BLOCK, 0 if large else -1
    return max(low, place - ((rank - 1) & (BLOCK - 1)) - 1), -1


@kernel
def accumulate(
    values: Floats, blocks: Floats, large: bool, column: int, low: int, high: int, shift: int,
    so_far: tuple[float, float, float, float],
) -> tuple[float, float, float, float]:  # fmt: skip  # the state, the range, what there is
    """Add the entries in [low, high) to sum, count, min and max, newest first; `shift` is rank minus place."""
    total, count, least, most = so_far
    extremes = blocks.shape[3] > 2
    place = high
    while place > low:
        edge, level = piece_below(place, low, shift, large)
        if level >= 0:
            total += blocks[edge >> 6, level, column, 0]
            count += blocks[edge >> 6, level, column, 1]
            if extremes:
                least = min(least, blocks[edge >> 6, level, column, 2])
                most = max(most, blocks[edge >> 6, level, column, 3])
        else:
            run = run_of(values, column, edge, place, extremes)
            total += run[0]
            count += run[1]
            least = min(least, run[2])
            most = max(most, run[3])
        place = edge
    return total, count, least, most


@kernel
def accumulate_two(
    values: Floats, blocks: Floats, large: bool, column: int, low: int, high: int, shift: int,
    so_far: tuple[float, float, float, float],
) -> tuple[float, float, float, float]:  # fmt: skip  # the state, the range, what there is
    """The same for sum and count of a column, and of the next one, in one walk: to walk costs more than to add."""
    total, count, other, others = so_far
    place = high
    while place > low:
        edge, level = piece_below(place, low, shift, large)
        if level >= 0:
            total += blocks[edge >> 6, level, column, 0]
            count += blocks[edge >> 6, level, column, 1]
            other += blocks[edge >> 6, level, column + 1, 0]
            others += blocks[edge >> 6, level, column + 1, 1]
        else:
            run = run_of_two(values, column, edge, place)
            total += run[0]
            count += run[1]
            other += run[2]
            others += run[3]
        place = edge
    return total, count, other, others


@kernel
def look(
    times: Ints, values: Floats, blocks: Floats, spans: Ints,
    slot: int, end: int, durations: Ints, limits: Ints, horizon: int,
    row: int, counts: Ints, sums: Floats,
) -> int:  # fmt: skip  # the state, the question, the answer
    """Answer the windows (end - duration, end] of one slot into row `row`; the place at which they end.

    `limits` are the most entries that each window holds, its newest, 0 for all. Those without come first, and their
    durations ascend.

    Entries at or before `horizon` are left out, whether they are still there or not.
    """
    start = spans[slot, START]
    high = after(times, start, start + spans[slot, LENGTH], end)
    low = high
    for window in range(len(durations)):
        limit = limits[window]
        low = after(times, start, low if limit == 0 else high, max(end - durations[window], horizon))
        counts[row, window] = high - low if limit == 0 else min(high - low, limit)
    shift = spans[slot, RANK] - start
    large = spans[slot, CAPACITY] >= LARGE
    columns = values.shape[1]
    paired = columns & ~1 if sums.shape[3] == 2 else 0
    for column in range(0, paired, 2):
        pair = (0.0, 0.0, 0.0, 0.0)
        upper = high
        for window in range(len(durations)):
            lower = high - counts[row, window]
            if limits[window] > 0:
                pair, upper = (0.0, 0.0, 0.0, 0.0), high
            pair = accumulate_two(values, blocks, large, column, lower, upper, shift, pair)
            upper = lower
            sums[row, window, column, 0] = pair[0]
            sums[row, window, column, 1] = pair[1]
            sums[row, window, column + 1, 0] = pair[2]
            sums[row, window, column + 1, 1] = pair[3]
    for column in range(paired, columns):
        result = (0.0, 0.0, np.inf, -np.inf)
        upper = high
        for window in range(len(durations)):
            lower = high - counts[row, window]
            if limits[window] > 0:
                result, upper = (0.0, 0.0, np.inf, -np.inf), high
            result = accumulate(values, blocks, large, column, lower, upper, shift, result)
            upper = lower
            sums[row, window, column, 0] = result[0]
            sums[row, window, column, 1] = result[1]
            if sums.shape[3] > 2:
                sums[row, window, column, 2] = result[2]
                sums[row, window, column, 3] = result[3]
    return high


@kernel(
    "i8[::1] f8[:,::1] f8[:,:,:,::1] i8[:,::1] i8[::1] i8[::1] ~i8[::1] f8[:,::1] b1[::1] i8 "
    "~i8[::1] i8 i8 i8[::1] i8[::1] i8 i8[:,::1] f8[:,:,:,::1]",
)
def fold_and_look(
    times: Ints, values: Floats, blocks: Floats, spans: Ints, cursor: Ints,
    slots: Ints, at: Ints, given: Floats, folded: Flags, begin: int,
    watermarks: Ints, watermark: int, slack: int, durations: Ints, limits: Ints, delay: int,
    counts: Ints, sums: Floats,
) -> tuple[int, int]:  # fmt: skip  # four lines: the state, the rows, the question, the answer
    """Fold row by row and answer each at once; stops before a row for which the pool has no room.

    Returns the next row and the watermark. Entries at or before watermark - slack are evicted.
    """
    for row in range(begin, len(slots)):
        watermark = max(watermark, watermarks[row])
        if folded[row] and not insert(
            times, values, blocks, spans, cursor, slots[row], at[row], given, row, watermark - slack
        ):
            return row, watermark
        look(
            times, values, blocks, spans, slots[row], at[row] - delay, durations, limits, watermark - slack,
            row, counts, sums,
        )  # fmt: skip  # as it has them
    return len(slots), watermark


@kernel(
    "i8[::1] f8[:,::1] f8[:,:,:,::1] i8[:,::1] i8[::1] i8[::1] ~i8[::1] f8[:,::1] b1[::1] i8 "
    "~i8[::1] i8 i8 i8[::1] i8[::1] i8 i8[:,::1] f8[:,:,:,::1] i8[:,::1] f8[::1] f8[:,:,::1]",
)
def fold_and_scan(
    times: Ints, values: Floats, blocks: Floats, spans: Ints, cursor: Ints,
    slots: Ints, at: Ints, given: Floats, folded: Flags, begin: int,
    watermarks: Ints, watermark: int, slack: int, durations: Ints, limits: Ints, delay: int,
    counts: Ints, sums: Floats, scans: Ints, parameters: Floats, scanned: Floats,
) -> tuple[int, int]:  # fmt: skip  # the last line: the scans
    """The same, with functions that walk the entries of each window: `scans` names their kernels by number, and the
    value column of each. Apart, for where they are compiled in, all else is 8% slower.
    """
    for row in range(begin, len(slots)):
        watermark = max(watermark, watermarks[row])
        if folded[row] and not insert(
            times, values, blocks, spans, cursor, slots[row], at[row], given, row, watermark - slack
        ):
            return row, watermark
        high = look(
            times, values, blocks, spans, slots[row], at[row] - delay, durations, limits, watermark - slack,
            row, counts, sums,
        )  # fmt: skip  # as it has them
        for scan in range(len(scans)):
            for window in range(len(durations)):
                scanned[row, window, scan] = scan_of(
                    scans[scan, 0], times, values, scans[scan, 1], high - counts[row, window], high, at[row],
                    parameters[scan],
                )  # fmt: skip  # the scan, what it walks
    return len(slots), watermark


@kernel(
    "i8[::1] f8[:,::1] f8[:,:,:,::1] i8[:,::1] i8[::1] i8[::1] ~i8[::1] f8[:,::1] i8 ~i8[::1]",
)
def fold(
    times: Ints, values: Floats, blocks: Floats, spans: Ints, cursor: Ints,
    slots: Ints, at: Ints, given: Floats, begin: int, horizons: Ints,
) -> int:  # fmt: skip  # the state, the rows
    """Fold rows, answering nothing; returns the next row, less than all when the pool has no room for it.

    Entries at or before a row's horizon are evicted of its slot.
    """
    for row in range(begin, len(slots)):
        if not insert(times, values, blocks, spans, cursor, slots[row], at[row], given, row, horizons[row]):
            return row
    return len(slots)
