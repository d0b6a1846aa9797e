"""Kernels of the table of events that wait: rows come in their order, pairs meet, mature, and are given up."""

from __future__ import annotations

import numpy as np

from headrace.columnar.jit import kernel
from headrace.columnar.structs import F8, I8, at
from headrace.domain.release.evidence.event_kernels import (
    code_of,
    due_at,
    event_at,
    find,
    place_at,
    pop,
    push,
    remove,
    ripen,
)
from headrace.domain.release.evidence.pair_layout import (
    CROWDED,
    DONE,
    FULL,
    LOOK,
    MOST_LOOKS,
    NOWHERE,
    PAIR,
    PAIR_STEP,
    REAL,
    ROW,
    STEPS,
    TABLE,
    TALLY,
    WHOLE,
    EventTable,
    ModelPair,
    OutcomeRow,
    PairTally,
    RowPart,
)
from headrace.domain.release.evidence.row_kernels import choose, lane_at, open_lanes, part_at, stand


@kernel
def _pair(table: EventTable, number: int) -> ModelPair:
    return at(table.pairs, number, PAIR)


@kernel
def _tally(table: EventTable, number: int) -> PairTally:
    return at(table.tallies, number, TALLY)


_SUM = 1e-3
"""Chances of all classes add up to 1 but for so much: models compute in 32 bits."""


@kernel
def _score(table: EventTable, slot: int, model: int) -> float:
    """The score, or the chance of the first class."""
    return at(table.scores, (slot * table.models + model) * table.width, F8)


@kernel
def _are_chances(table: EventTable, slot: int, model: int) -> bool:
    """Whether each is from 0 to 1, and those of several classes add up to 1."""
    start, total = (slot * table.models + model) * table.width, 0.0
    for place in range(start, start + table.width):
        chance = at(table.scores, place, F8)
        if not 0.0 <= chance <= 1.0:
            return False
        total += chance
    return table.width == 1 or abs(total - 1.0) <= _SUM


@kernel
def _tell(table: EventTable, pair: int, time: int, candidate: float, champion: float, label: float) -> None:
    step = at(table.steps, table.told, PAIR_STEP)
    step.pair, step.time, step.candidate, step.champion, step.label = pair, time, candidate, champion, label
    table.told += 1


@kernel
def _tell_pair(table: EventTable, slot: int, number: int, time: int, label: float) -> None:
    """Tell the scores of both models of a pair."""
    pair = _pair(table, number)
    if table.width > 1:
        told = 2 * table.width * table.told
        one = (slot * table.models + pair.candidate) * table.width
        other = (slot * table.models + pair.baseline) * table.width
        for place in range(table.width):
            at(table.answers, told + place, REAL).value = at(table.scores, one + place, F8)
            at(table.answers, told + table.width + place, REAL).value = at(table.scores, other + place, F8)
    _tell(table, number, time, _score(table, slot, pair.candidate), _score(table, slot, pair.baseline), label)


@kernel
def _take(table: EventTable, slot: int, number: int) -> None:
    """The event of a pair is taken in."""
    event = event_at(table, slot)
    event.taken |= 1 << number
    if np.isnan(event.label):
        _tally(table, number).unlabelled += 1
        return
    _tell_pair(table, slot, number, event.time, event.label)


@kernel
def _expire(table: EventTable) -> None:
    """Give up events that happened `patience` before stream time, which counts in steps here: many at once."""
    step = max(table.patience // STEPS, 1)
    limit = table.reached // step * step - table.patience
    table.expires = limit + table.patience + step
    table.recent = NOWHERE
    while table.ring_count > 0:
        slot = at(table.ring, table.ring_at, I8)
        event = event_at(table, slot)
        if event.time >= limit:
            return
        table.ring_at = table.ring_at + 1 if table.ring_at + 1 < table.ring.length else 0
        table.ring_count -= 1
        alone, number = (event.candidates ^ event.baselines) & ~event.taken, 0
        while alone != 0:
            if alone & 1:
                if event.candidates >> number & 1:
                    _tally(table, number).alone += 1
                else:
                    _tally(table, number).baseline_alone += 1
            alone >>= 1
            number += 1
        remove(table, slot)
        at(table.spare, table.spare_count, WHOLE).value = slot
        table.spare_count += 1


@kernel
def _look(table: EventTable) -> None:
    """Stream time is at a look."""
    table.reached = table.boundary
    _expire(table)
    look = table.looks
    for number in range(table.used):
        then, now = at(table.tallies_then, look * table.used + number, TALLY), _tally(table, number)
        then.late, then.unlabelled, then.alone = now.late, now.unlabelled, now.alone
        then.baseline_alone, then.unusable = now.baseline_alone, now.unusable
    sources = table.offsets.length
    for source in range(sources):
        at(table.offsets_then, look * sources + source, WHOLE).value = at(table.offsets, source, I8)
    at(table.looks_at, look, WHOLE).value = table.told
    table.looks += 1
    _tell(table, LOOK, table.boundary, 0.0, 0.0, 0.0)


@kernel
def _pass(table: EventTable, until: int) -> int:
    """Let stream time go on: events before it are mature."""
    while until > table.reached:
        limit = min(until, table.boundary) if table.begun else until
        if table.heap_count > 0 and due_at(table, 0).time < limit:
            if table.told + table.used > table.steps.length:
                return FULL
            slot = pop(table)
            event = event_at(table, slot)
            there, number = event.candidates & event.baselines & ~event.taken, 0
            while there != 0:
                if there & 1:
                    _take(table, slot, number)
                there >>= 1
                number += 1
            ripen(table, slot)
        elif table.begun and table.boundary <= until:
            if table.told == table.steps.length or table.looks == table.looks_at.length:
                return FULL
            _look(table)
            table.boundary += table.every
            if until - table.boundary > MOST_LOOKS * table.every:
                table.boundary = until // table.every * table.every
        else:
            table.reached = until
            if until >= table.expires:
                _expire(table)
    return DONE


# ---- rows -----------------------------------------------------------------------------------------------------------


@kernel
def _enter(table: EventTable, row: OutcomeRow) -> int:
    """The slot of the event of a row; NOWHERE where there is no room for a further one."""
    slot = table.recent
    if slot != NOWHERE:
        event = event_at(table, slot)
        if event.key == row.key and event.time == row.time and event.source == row.source:
            return slot
    code = code_of(row.key, row.time, row.source)
    place = place_at(table, find(table, code, row.key, row.time, row.source))
    if place.slot != NOWHERE:
        return place.slot
    if table.spare_count == 0:
        return NOWHERE
    table.spare_count -= 1
    slot = at(table.spare, table.spare_count, I8)
    place.slot, place.code = slot, code
    event = event_at(table, slot)
    event.key, event.time, event.source, event.label, event.code = row.key, row.time, row.source, row.label, code
    event.candidates = event.baselines = event.taken = event.mature = 0
    numbers = table.models * table.width
    for number in range(numbers):
        at(table.scores, slot * numbers + number, REAL).value = np.nan
    if row.time < table.reached:
        ripen(table, slot)
    else:
        push(table, slot)
    return slot


@kernel
def _meet(table: EventTable, row: OutcomeRow, slot: int, number: int) -> None:
    """A row of one of the two models of a pair came."""
    pair, event, bit = _pair(table, number), event_at(table, slot), 1 << number
    if row.time < pair.since or row.offset < at(table.begins, number * table.offsets.length + row.source, I8):
        return
    if pair.candidate == row.model:
        event.candidates |= bit
    else:
        event.baselines |= bit
    if event.candidates & event.baselines & ~event.taken & bit == 0:
        return
    if table.chances and not (_are_chances(table, slot, pair.candidate) and _are_chances(table, slot, pair.baseline)):
        _tally(table, number).unusable += 1
        event.taken |= bit
        return
    _tell_pair(table, slot, number, row.time, np.nan)
    if event.mature:
        _tally(table, number).late += 1
        _take(table, slot, number)


@kernel
def _insert(table: EventTable, row: OutcomeRow, part: RowPart) -> int:
    """Take a row in, the next one of its part."""
    if table.told + 2 * table.used > table.steps.length:
        return FULL
    slot = _enter(table, row)
    if slot == NOWHERE and table.slots.length < table.most:
        return CROWDED
    if not table.begun:
        table.begun, table.boundary = 1, (row.time // table.every + 1) * table.every
    at(table.offsets, row.source, WHOLE).value = row.offset + 1
    if slot == NOWHERE:
        table.crowded += 1
        return DONE
    label = event_at(table, slot).label
    if label != row.label and not (np.isnan(label) and np.isnan(row.label)):
        table.disagreed += 1
    table.recent = slot
    start = (slot * table.models + row.model) * table.width
    score = at(table.scores, start, REAL)
    if not np.isnan(score.value):
        table.twice += 1
        return DONE
    score.value = row.score
    if table.width > 1:
        for place in range(table.width):
            at(table.scores, start + place, REAL).value = at(part.answers, part.at * table.width + place, F8)
    for number in range(table.used):
        pair = _pair(table, number)
        if pair.candidate == row.model or pair.baseline == row.model:
            _meet(table, row, slot, number)
    return DONE


@kernel("table i8 i8", table=TABLE)
def walk(table: EventTable, bound: int, until: int) -> int:
    """Take rows in whose partition had come less far than `bound` before them, by that, partition and offset; then let
    stream time go on to `until`: events before it are mature.

    DONE, or what is needed first: FULL, and what is told is to be taken, or CROWDED, and there are to be more slots.
    Nothing is done of the next step then. With each look stand the counts of pairs, and the offsets after the rows that
    were taken in.
    """
    table.told = table.looks = 0
    table.recent = NOWHERE
    open_lanes(table, bound)
    while True:
        choose(table)
        if table.lane == NOWHERE:
            return _pass(table, until)
        lane = lane_at(table, table.lane)
        while lane.progress < table.rival_progress or (
            lane.progress == table.rival_progress and table.lane < table.rival
        ):
            part = part_at(table, lane.part)
            row = at(part.rows, part.at, ROW)
            need = _pass(table, row.progress)
            if need == DONE:
                need = _insert(table, row, part)
            if need != DONE:
                return need
            part.at += 1
            stand(table, lane, bound)
