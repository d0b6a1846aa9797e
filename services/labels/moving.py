"""Open predictions and early labels moved to where their event ids belong after the exchange has grown.

What is known of an event is copied as it is: its predictions with the numbers of their next outcomes, its reports in
their order, whom it belongs to. So nothing is answered again, and what comes finds what it would have found. Clocks and
marks are those of the partition that was least far: nothing matures, and nothing is forgotten, before its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.kit import packing
from services.kit.avro_memory import load64, store32, store64
from services.kit.compiled import kernel
from services.kit.errors import ContractError
from services.kit.partitioning import partitions_of
from services.labels.joining import Join, Question
from services.labels.layout import (
    ARRIVALS,
    BLOCKS,
    DONE,
    E_ENTITIES,
    E_FIRST,
    E_FLAGS,
    E_KEY,
    E_REPORTS,
    E_SIZE,
    E_TIME,
    EVENT,
    FATES,
    LABEL_TIMES,
    MATURED,
    NEVER,
    P_CODE,
    P_NEXT,
    PREDICTIONS,
    QUEUED,
    R_NEXT,
    R_SIZE,
    R_TIME,
    REGISTERS,
    REPORT,
    START,
    TIMES,
    USED,
)  # fmt: skip  # sorted as the linter sorts
from services.labels.maturing import queue
from services.labels.packed import binary_of
from services.labels.records import (
    allot,
    copy,
    find,
    need_of_event,
    new_event,
    raise_to,
    set_u16,
    size_of,
    slot_of,
    tag_of,
    time_at,
    u16,
    u32,
    where,
)

Ints = npt.NDArray[np.int64]
Columns = Mapping[str, packing.Column]
CLOCKS = ("CLOCK", "MATURITY", "AS_OF", "LABELS_AT", "PREDICTIONS_AT")
KNOWN_TWICE = -1
"""Beside `layout`'s needs: an event stands in two of the partitions."""
_PLACE, _EVENT, _TARGET, _CURSOR = range(4)
"""Where the walk over a block stands: byte, number of the event, and which join it needs something for."""
_MARGIN = 64


def moved_joins(question: Question, states: Sequence[Columns], partitions: int) -> list[bytes]:
    """Snapshots of `labels`, from those of the partitions that the exchange had, for so many.

    Raises ContractError when an event is known in two of them: then records were written under another number of
    partitions than they were read under.
    """
    sources = [_loaded(question, state) for state in states]
    made = [Join(question) for _ in range(partitions)]
    marks = least_marks([join.sources for join in sources])
    for target in made:
        target.sources[:] = marks
        for name in CLOCKS:
            target.put(name, min(join.get(name) for join in sources))
    for name in REGISTERS[FATES]:  # They only ever add up over all partitions.
        made[0].put(name, sum(join.get(name) for join in sources))
    # In the order of arrival, for blocks are given up in that order.
    arrived = [(newest, number, slot) for number, join in enumerate(sources) for slot, newest in join.blocks()]
    for _, number, slot in sorted(arrived, key=lambda block: block[:2]):
        _carry_block(sources[number], slot, made)
    form = states[0]["shared"]
    return [packing.pack({**target.columns(), "shared": form}, level=1) for target in made]


def least_marks(marks: Sequence[Ints]) -> Ints:
    """Of every source (rows) the marks of the partition that heard of it least lately."""
    stacked = np.stack(marks)
    heard = np.lexsort((stacked[:, :, 1], stacked[:, :, 0], stacked[:, :, 2]), axis=0)[0]
    found: Ints = stacked[heard, np.arange(stacked.shape[1])]
    return found


def _loaded(question: Question, state: Columns) -> Join:
    join = Join(question)
    join.load({name: column for name, column in state.items() if name != "shared"})
    return join


def _carry_block(source: Join, slot: int, made: Sequence[Join]) -> None:
    """Copy the events that begin in a block, with all that is known of them, each to the join of its partition."""
    r = source.registers.ctypes.data
    counts = np.zeros(2, np.int64)
    _measure_ids(r, slot, counts.ctypes.data)
    ends, ids = np.zeros(int(counts[0]) + 1, np.int32), np.empty(int(counts[1]), np.uint8)
    _gather_ids(r, slot, ends.ctypes.data, ids.ctypes.data)
    homes = partitions_of(binary_of(ends, ids).view(pa.string()), len(made)).astype(np.int64)
    models = np.array([join.models.numbers(source.models.identities) for join in made], np.int64)
    labellers = np.array([join.labellers.numbers(source.labellers.names) for join in made], np.int64)
    targets = np.array([join.registers.ctypes.data for join in made], np.int64)
    cursor = np.zeros(_CURSOR, np.int64)
    cursor[_PLACE] = START
    while True:
        need = carry(
            r, slot, homes.ctypes.data, targets.ctypes.data, models.ctypes.data, models.shape[1],
            labellers.ctypes.data, labellers.shape[1], cursor.ctypes.data,
        )  # fmt: skip  # from where, to where, how numbers change
        if need == DONE:
            return
        if need == KNOWN_TWICE:
            raise ContractError(
                "an event stands in two partitions of the exchange: records were written under another number of "
                "partitions than they were read under. Nothing was changed"
            )
        made[int(cursor[_TARGET])].provide(need)


@kernel("i8 i8 i8")
def _measure_ids(r: int, slot: int, counts: int) -> None:
    base, end = load64(load64(r + BLOCKS) + 8 * slot), load64(load64(r + USED) + 8 * slot)
    place, events, size = START, 0, 0
    while place < end:
        at = base + place
        if u32(at) & 3 == EVENT:
            events += 1
            size += u16(at + E_KEY)
        place += size_of(at)
    store64(counts, events)
    store64(counts + 8, size)


@kernel("i8 i8 i8 i8")
def _gather_ids(r: int, slot: int, ends: int, ids: int) -> None:
    base, end = load64(load64(r + BLOCKS) + 8 * slot), load64(load64(r + USED) + 8 * slot)
    place, events, size = START, 0, 0
    while place < end:
        at = base + place
        if u32(at) & 3 == EVENT:
            copy(at + E_SIZE, u16(at + E_KEY), ids + size)
            size += u16(at + E_KEY)
            events += 1
            store32(ends + 4 * events, size)
        place += size_of(at)


@kernel("i8 i8 i8 i8 i8 i8 i8 i8 i8")
def carry(
    r: int, slot: int, homes: int, targets: int, models: int, model_count: int, labellers: int, labeller_count: int,
    cursor: int,
) -> int:  # fmt: skip  # from where, to where, how numbers change
    """Copy the events of a block to other joins; returns DONE, or what the join `_TARGET` needs first."""
    base, end = load64(load64(r + BLOCKS) + 8 * slot), load64(load64(r + USED) + 8 * slot)
    arrival = load64(load64(r + ARRIVALS) + 8 * slot)
    while load64(cursor + 8 * _PLACE) < end:
        at = base + load64(cursor + 8 * _PLACE)
        if u32(at) & 3 == EVENT:
            home = load64(homes + 8 * load64(cursor + 8 * _EVENT))
            store64(cursor + 8 * _TARGET, home)
            t = load64(targets + 8 * home)
            need = _carry_event(
                r, at, t, models + 8 * model_count * home, labellers + 8 * labeller_count * home, arrival
            )
            if need != DONE:
                return need
            store64(cursor + 8 * _EVENT, load64(cursor + 8 * _EVENT) + 1)
        store64(cursor + 8 * _PLACE, load64(cursor + 8 * _PLACE) + size_of(at))
    return DONE


@kernel
def _carry_event(r: int, event: int, t: int, models: int, labellers: int, arrival: int) -> int:
    size = u16(event + E_KEY)
    whole = _size_with_all(r, event)
    need = need_of_event(t, whole + _MARGIN)
    if need != DONE:
        return need
    tag = tag_of(event + E_SIZE, size)
    if find(t, event + E_SIZE, size, tag) != 0:
        return KNOWN_TWICE
    address = new_event(t, event + E_SIZE, size, tag)
    made = where(t, address)
    copy(event + E_TIME, 6, made + E_TIME)
    flags = u16(event + E_FLAGS) & ~QUEUED
    set_u16(made + E_FLAGS, flags)
    _carry_entities(r, event, t, made)
    _carry_predictions(r, event, t, made, models)
    newest = _carry_reports(r, event, t, made, labellers)
    time, slot = time_at(event + E_TIME), slot_of(address)
    raise_to(load64(t + ARRIVALS) + 8 * slot, arrival)
    if time == NEVER:
        raise_to(load64(t + LABEL_TIMES) + 8 * slot, newest)
    else:
        raise_to(load64(t + TIMES) + 8 * slot, time)
    if u32(made + E_FIRST) != 0 and flags & MATURED == 0:
        queue(t, address)
    return DONE


@kernel
def _size_with_all(r: int, event: int) -> int:
    """Bytes of an event's record and of all that hang on it."""
    size = size_of(event)
    if u32(event + E_ENTITIES) != 0:
        size += size_of(where(r, u32(event + E_ENTITIES)))
    address = u32(event + E_FIRST)
    while address != 0:
        size += size_of(where(r, address))
        address = u32(where(r, address) + P_NEXT)
    address = u32(event + E_REPORTS)
    while address != 0:
        size += R_SIZE
        address = u32(where(r, address) + R_NEXT)
    return size


@kernel
def _carry_entities(r: int, event: int, t: int, made: int) -> None:
    if u32(event + E_ENTITIES) != 0:
        told = where(r, u32(event + E_ENTITIES))
        size = u32(told) >> 2
        address = allot(t, size)
        copy(told, size, where(t, address))
        store32(made + E_ENTITIES, address)


@kernel
def _carry_predictions(r: int, event: int, t: int, made: int, models: int) -> None:
    link, address = made + E_FIRST, u32(event + E_FIRST)
    while address != 0:
        told = where(r, address)
        size = u32(told) >> 2
        new = allot(t, size)
        at = where(t, new)
        copy(told, size, at)
        code = u32(told + P_CODE)
        model = load64(models + 8 * (code & 0x7FFF_FFFF))
        store32(at + P_CODE, (code >> 31) << 31 | model)
        store32(at + P_NEXT, 0)
        store32(link, new)
        store64(t + PREDICTIONS, load64(t + PREDICTIONS) + 1)
        link, address = at + P_NEXT, u32(told + P_NEXT)


@kernel
def _carry_reports(r: int, event: int, t: int, made: int, labellers: int) -> int:
    """The newest label time among them; NEVER without any."""
    link, address, newest = made + E_REPORTS, u32(event + E_REPORTS), NEVER
    while address != 0:
        told = where(r, address)
        new = allot(t, R_SIZE)
        at = where(t, new)
        copy(told, R_SIZE, at)
        store32(at, load64(labellers + 8 * (u32(told) >> 2)) << 2 | REPORT)
        store32(at + R_NEXT, 0)
        store32(link, new)
        newest = max(newest, time_at(told + R_TIME))
        link, address = at + R_NEXT, u32(told + R_NEXT)
    return newest
