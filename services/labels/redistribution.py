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

from headrace.columnar import packing
from headrace.columnar.jit import kernel
from headrace.columnar.partitioner import partitions_of
from headrace.columnar.structs import I8, Span, array_of, at, bytes_in, copy, i8, kind_of, span_of
from headrace.errors import ContractError
from headrace.streaming.records.rows import binary_of
from services.labels.join.arena import (
    ENTITIES_SIZE,
    PREDICTION_SIZE,
    REPORT_SIZE,
    address_of,
    allot,
    answer_of,
    block_at,
    entities_of,
    event_at,
    extent,
    find,
    head_in,
    id_of,
    need_of_event,
    new_event,
    note_arrival,
    note_event,
    note_label,
    prediction_at,
    report_at,
    shared_of,
    slot_of,
    tag_of,
    time_of,
)
from services.labels.join.label_versions import source_of
from services.labels.join.layout import (
    DONE,
    FLAG_BITS,
    IS_ENTITIES,
    IS_EVENT,
    IS_PREDICTION,
    IS_REPORT,
    MATURED,
    MEMORY,
    NEVER,
    QUEUED,
    START,
    EventRecord,
    Memory,
)  # fmt: skip  # sorted as the linter sorts
from services.labels.join.question import JoinQuestion
from services.labels.join.state import CLOCKS, FATES, WAITING, Join
from services.labels.join.timers import queue
from services.labels.packed_rows import put_in, taken_out

Ints = npt.NDArray[np.int64]
Columns = Mapping[str, packing.Column]
KNOWN_TWICE = -1
"""Beside `layout`'s needs: an event stands in two of the partitions."""
_MARGIN = 64
"""Bytes that the records of an event may take beside what was measured."""


class Carrying:
    """From which block to which join events are carried, and where that stands."""

    slot: i8
    """The block."""
    home: i8
    """The partition of the join that they are carried to."""
    place: i8
    """Byte of the block."""
    number: i8
    """How many events of the block were passed."""
    homes: Span
    """int64: by number of an event, where it belongs."""
    models: Span
    labellers: Span
    """int64: by number in the one join, the number in the other."""


CARRYING = kind_of(Carrying)


def moved_joins(question: JoinQuestion, states: Sequence[Columns], partitions: int) -> list[bytes]:
    """Snapshots of `labels`, from those of the partitions that the exchange had, for so many.

    Raises ContractError when an event is known in two of them: then records were written under another number of
    partitions than they were read under.
    """
    definitions: dict[str, str] = {}
    sources = []
    for state in states:
        columns = dict(state)
        entities, found = taken_out(columns)
        definitions |= found
        sources.append(Join(question))
        sources[-1].load(columns)
    made = [Join(question) for _ in range(partitions)]
    marks = least_marks([join.sources for join in sources])
    for target in made:
        target.sources[:] = marks
        for name in CLOCKS:
            target.put(name, min(join.get(name) for join in sources))
        for name in WAITING:
            of_all = max if name.endswith("written") else min
            target.put(name, of_all(join.get(name) for join in sources))
        proofs = np.stack([join.proofs for join in sources])
        target.proofs[:] = proofs.min(axis=0)
        target.proofs[:, 0] = proofs[:, :, 0].max(axis=0)
    for name in FATES:  # They only ever add up over all partitions.
        made[0].put(name, sum(join.get(name) for join in sources))
    # In the order of arrival, for blocks are given up in that order.
    arrived = [(newest, number, slot) for number, join in enumerate(sources) for slot, newest in join.blocks()]
    for _, number, slot in sorted(arrived, key=lambda block: block[:2]):
        _carry_block(sources[number], slot, made)
    return [packing.pack(put_in(target.columns(), entities, definitions), level=1) for target in made]


def least_marks(marks: Sequence[Ints]) -> Ints:
    """Of every source (rows) the marks of the partition that heard of it least lately."""
    stacked = np.stack(marks)
    heard = np.lexsort((stacked[:, :, 1], stacked[:, :, 0], stacked[:, :, 2]), axis=0)[0]
    found: Ints = stacked[heard, np.arange(stacked.shape[1])]
    return found


def _carry_block(source: Join, slot: int, made: Sequence[Join]) -> None:
    """Copy the events that begin in a block, with all that is known of them, each to the join of its partition."""
    events, size = _measure_ids(source.memory, slot)
    ends, ids = np.zeros(events + 1, np.int32), np.empty(size, np.uint8)
    _gather_ids(source.memory, slot, ends, ids)
    homes = partitions_of(binary_of(ends, ids).view(pa.string()), len(made)).astype(np.int64)
    for home, target in enumerate(made):
        models = target.models.numbers(source.models.identities)
        labellers = target.labellers.numbers(source.labellers.names)
        carrying = array_of(CARRYING, 1)
        carrying["slot"], carrying["home"], carrying["place"] = slot, home, START
        carrying["homes"], carrying["models"] = span_of(homes), span_of(models)
        carrying["labellers"] = span_of(labellers)
        while (need := carry(source.memory, target.memory, carrying[0])) != DONE:
            if need == KNOWN_TWICE:
                raise ContractError(
                    "an event stands in two partitions of the exchange: records were written under another number of "
                    "partitions than they were read under. Nothing was changed"
                )
            target.provide(need)


@kernel("memory i8", memory=MEMORY)
def _measure_ids(join: Memory, slot: int) -> tuple[int, int]:
    """How many events begin in a block, and the bytes of their ids."""
    block, place, events, size = block_at(join, slot), START, 0, 0
    while place < block.used:
        head = head_in(block, place)
        if head & 3 == IS_EVENT:
            events += 1
            size += id_of(join, address_of(slot, place)).size
        place += extent(head)
    return events, size


@kernel("memory i8 i4[::1] u1[::1]", memory=MEMORY)
def _gather_ids(join: Memory, slot: int, ends: npt.NDArray[np.int32], ids: npt.NDArray[np.uint8]) -> None:
    block, place, events, size = block_at(join, slot), START, 0, 0
    while place < block.used:
        head = head_in(block, place)
        if head & 3 == IS_EVENT:
            key = id_of(join, address_of(slot, place))
            copy(key, bytes_in(ids, size, size + key.size))
            size += key.size
            events += 1
            ends[events] = size
        place += extent(head)


@kernel("memory memory carrying", memory=MEMORY, carrying=CARRYING)
def carry(join: Memory, target: Memory, carrying: Carrying) -> int:
    """Copy the events of a block that belong to another join there; returns DONE, or what that needs first."""
    block = block_at(join, carrying.slot)
    while carrying.place < block.used:
        head = head_in(block, carrying.place)
        if head & 3 == IS_EVENT:
            if at(carrying.homes, carrying.number, I8) == carrying.home:
                address = address_of(carrying.slot, carrying.place)
                need = _carry_event(join, address, target, carrying, block.newest_arrival)
                if need != DONE:
                    return need
            carrying.number += 1
        carrying.place += extent(head)
    return DONE


@kernel
def _carry_event(join: Memory, address: int, target: Memory, carrying: Carrying, arrival: int) -> int:
    need = need_of_event(target, _size_with_all(join, address) + _MARGIN)
    if need != DONE:
        return need
    key, event = id_of(join, address), event_at(join, address)
    tag = tag_of(key)
    if find(target, key, tag) != 0:
        return KNOWN_TWICE
    new = new_event(target, key, tag)
    made, block = event_at(target, new), block_at(target, slot_of(new))
    made.time_low, made.time_high = event.time_low, event.time_high
    made.flags = event.flags & ~QUEUED
    if event.entities != 0:
        told = entities_of(join, event.entities)
        made.entities = allot(target, ENTITIES_SIZE + told.size, IS_ENTITIES)
        copy(told, entities_of(target, made.entities))
    _carry_predictions(join, event, target, made, carrying)
    newest = _carry_reports(join, event, target, made, carrying)
    note_arrival(block, arrival)
    if time_of(event) == NEVER:
        note_label(block, newest)
    else:
        note_event(block, time_of(event))
    if made.first != 0 and made.flags & MATURED == 0:
        queue(target, new)
    return DONE


@kernel
def _size_with_all(join: Memory, address: int) -> int:
    """Bytes of an event's record and of all that hang on it."""
    event = event_at(join, address)
    size = extent(event.head)
    if event.entities != 0:
        size += (ENTITIES_SIZE + entities_of(join, event.entities).size + 1) & ~1
    made = event.first
    while made != 0:
        size += extent(prediction_at(join, made).head)
        made = prediction_at(join, made).next
    return size + (event.flags >> FLAG_BITS) * REPORT_SIZE


@kernel
def _carry_predictions(join: Memory, event: EventRecord, target: Memory, made: EventRecord, carrying: Carrying) -> None:
    before, address = 0, event.first
    while address != 0:
        told, shared = prediction_at(join, address), shared_of(join, address)
        new = allot(target, PREDICTION_SIZE + join.answer + shared.size, IS_PREDICTION)
        prediction = prediction_at(target, new)
        prediction.next = 0
        prediction.code = (told.code >> 31) << 31 | at(carrying.models, told.code & 0x7FFF_FFFF, I8)
        prediction.time_low, prediction.time_high = told.time_low, told.time_high
        prediction.revision, prediction.score = told.revision, told.score
        copy(answer_of(join, address), answer_of(target, new))
        copy(shared, shared_of(target, new))
        if before == 0:
            made.first = new
        else:
            prediction_at(target, before).next = new
        target.predictions += 1
        before, address = new, told.next


@kernel
def _carry_reports(join: Memory, event: EventRecord, target: Memory, made: EventRecord, carrying: Carrying) -> int:
    """The newest label time among them; NEVER without any."""
    before, address, newest = 0, event.reports, NEVER
    while address != 0:
        told = report_at(join, address)
        new = allot(target, REPORT_SIZE, IS_REPORT)
        report = report_at(target, new)
        report.head = at(carrying.labellers, source_of(told), I8) << 2 | IS_REPORT
        report.next, report.value = 0, told.value
        report.time_low, report.time_high = told.time_low, told.time_high
        if before == 0:
            made.reports = new
        else:
            report_at(target, before).next = new
        newest = max(newest, time_of(told))
        before, address = new, told.next
    return newest
