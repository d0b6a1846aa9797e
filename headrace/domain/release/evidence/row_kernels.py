"""Kernels of rows that wait: which are of ours, and which of all partitions is next."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.columnar.jit import kernel
from headrace.columnar.structs import at
from headrace.domain.release.evidence.pair_layout import (
    LANE,
    LAST,
    NOWHERE,
    PART,
    ROW,
    EventTable,
    RowLane,
    RowPart,
)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[Any]


@kernel("~i8[::1] ~i8[::1] ~i8[::1] ~i8[::1] ~i8[::1] ~i8[::1] ~f8[::1] ~f8[::1] ~i8[::1] i8 row[::1]", row=ROW)
def collect(
    progress: Ints, source: Ints, offset: Ints, model: Ints, key: Ints, time: Ints, score: Floats, label: Floats,
    numbers: Ints, known: int, found: Rows,
) -> int:  # fmt: skip  # the rows, the question, the answer
    """Rows from the offset `known` on of models that have a number of ours, with that; how many they are."""
    count = 0
    for row in range(len(offset)):
        number = numbers[model[row]]
        if number < 0 or offset[row] < known:
            continue
        one = found[count]
        one.progress, one.offset, one.key, one.time = progress[row], offset[row], key[row], time[row]
        one.score, one.label, one.source, one.model = score[row], label[row], source[row], number
        count += 1
    return count


@kernel
def part_at(table: EventTable, number: int) -> RowPart:
    """A part of the rows that wait."""
    return at(table.parts, number, PART)


@kernel
def lane_at(table: EventTable, number: int) -> RowLane:
    """Where a partition stands, by its number among those that have rows."""
    return at(table.lanes, number, LANE)


@kernel
def stand(table: EventTable, lane: RowLane, bound: int) -> None:
    """Bring a lane to its next row, which may be in a later part."""
    part = part_at(table, lane.part)
    while part.at == part.rows.length:
        further = lane.part + 1
        if further == table.parts.length or part_at(table, further).source != part.source:
            lane.progress = LAST
            return
        lane.part = further
        part = part_at(table, further)
    progress = at(part.rows, part.at, ROW).progress
    lane.progress = progress if progress < bound else LAST


@kernel
def open_lanes(table: EventTable, bound: int) -> None:
    """A lane for each partition, in their order."""
    table.lane_count = 0
    for number in range(table.parts.length):
        if number == 0 or part_at(table, number - 1).source != part_at(table, number).source:
            lane = lane_at(table, table.lane_count)
            lane.part = number
            stand(table, lane, bound)
            table.lane_count += 1


@kernel
def choose(table: EventTable) -> None:
    """The lane whose row is next, and the one whose row would be, were there no further ones in the former."""
    first, second = NOWHERE, NOWHERE
    least, rival = LAST, LAST
    for number in range(table.lane_count):
        progress = lane_at(table, number).progress
        if progress < least:
            rival, second = least, first
            least, first = progress, number
        elif progress < rival:
            rival, second = progress, number
    table.lane, table.rival, table.rival_progress = first, second, rival
