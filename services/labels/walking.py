"""The walk over records of the exchange, one after the other: predictions, labels, events, then the record's mark.

It stops where there is no room for the next step, having done nothing of that step, and goes on when called again. So
what it does depends on the records alone and not on how they are cut into batches.
"""

from __future__ import annotations

from services.kit.avro_memory import compiled, load32, load64, store32, store64
from services.labels.clocks import advance, expired, mark
from services.labels.layout import (
    ARRIVALS,
    AS_OF,
    BLOCKS,
    BUCKET_COUNT,
    BUCKET_FIRST,
    BUCKET_ROOM,
    CLOCK,
    CONFLICT,
    CONFLICTING,
    CORRECTING,
    DONE,
    DUPLICATE,
    E_ENTITIES,
    E_FIRST,
    E_FLAGS,
    E_REPORTS,
    E_TIME,
    EARLY,
    ENTITIES,
    ENTRIES,
    ENTRY_ROOM,
    EVENT,
    EVENTS,
    EXPIRES,
    FIRST,
    G_CLOCKS,
    GL_ENDS,
    GL_KEY_DATA,
    GL_KEYS,
    GL_SOURCES,
    GL_TIMES,
    GL_VALUES,
    GN_ENDS,
    GN_ENTITIES,
    GN_ENTITY_DATA,
    GN_KEY_DATA,
    GN_KEYS,
    GN_TIMES,
    GP_CODES,
    GP_ENDS,
    GP_KEY_DATA,
    GP_KEYS,
    GP_MADE,
    GP_SCORES,
    GP_SHARED,
    GP_SHARED_DATA,
    GP_TIMES,
    GROWN,
    GROWN_LABELLED,
    HEADER,
    LABEL_TIMES,
    LABELLED,
    LATE,
    MATCHED,
    MATURED,
    MATURES,
    MATURITY,
    MOST_MATURED,
    MOST_PREDICTIONS,
    MOST_REPORTS,
    MOST_REVISIONS,
    NEED,
    NEED_BLOCK,
    NEED_BUCKETS,
    NEED_ENTRIES,
    NEED_HEAP,
    NEED_OUTCOMES,
    NEED_TABLE,
    NEVER,
    NONE,
    O_AS_OF,
    O_EVENT,
    O_FIELDS,
    O_FORMER,
    O_FORMER_VALUE,
    O_PREDICTION,
    O_REPORTS,
    O_REVISION,
    O_ROW,
    O_SOURCE,
    O_STATE,
    O_TIME,
    O_VALUE,
    ORPHANED,
    OUTCOME_ROOM,
    OUTCOMES,
    OUTDATED,
    P_CODE,
    P_NEXT,
    P_REVISION,
    P_SCORE,
    P_SIZE,
    P_TIME,
    PREDICTION,
    PREDICTIONS,
    PRESUMED,
    PRESUMES,
    R_TIME,
    R_VALUE,
    REPEATED,
    SLOT_BITS,
    SLOTS,
    START,
    SUFFIXES,
    TABLE_SIZE,
    TIMES,
    UNKNOWN,
    UNLABELLED,
    USED,
)  # fmt: skip  # one name a line would fill two pages
from services.labels.maturing import due_bucket, heap_lacks, open_bucket, pop, queue
from services.labels.records import (
    allot,
    copy,
    find,
    forget,
    lacking,
    new_event,
    set_time,
    set_u16,
    size_of,
    slot_of,
    tag_of,
    time_at,
    u16,
    u32,
    where,
)
from services.labels.reports import add, count, drop_late, known, tell_all, tell_change, weigh

C_RECORD, C_PREDICTION, C_LABEL, C_EVENT, C_MATURED, C_MARKED = range(0, 48, 8)
"""Where the walk stands: next record, and next of each list (over all records); events that matured by this record."""
C_FIELDS = 6
_MARGIN = 256
"""Bytes that a step takes beside ids and what it copies, at most."""


@compiled
def walk(r: int, given: int, cursor: int, end: int, outcomes: int, entries: int) -> int:
    """Fold the records up to row `end`; returns DONE, or what is needed before it can go on."""
    while load64(cursor + C_RECORD) < end:
        row = load64(cursor + C_RECORD)
        _raise(r + CLOCK, load64(load64(given + G_CLOCKS) + 8 * row))
        need = _walk_lists(r, given, cursor, row, outcomes, entries)
        if need != DONE:
            return need
        if load64(cursor + C_MARKED) == 0:
            mark(r, given, row)
            store64(cursor + C_MARKED, 1)
        need = _mature(r, cursor, row, outcomes)
        if need != DONE:
            return need
        store64(cursor + C_RECORD, row + 1)
        store64(cursor + C_MATURED, 0)
        store64(cursor + C_MARKED, 0)
    return DONE


@compiled
def _walk_lists(r: int, given: int, cursor: int, row: int, outcomes: int, entries: int) -> int:
    stop = load32(load64(given + GP_ENDS) + 4 * (row + 1))
    while load64(cursor + C_PREDICTION) < stop:
        need = _prediction(r, given, row, load64(cursor + C_PREDICTION), outcomes)
        if need != DONE:
            return need
        store64(cursor + C_PREDICTION, load64(cursor + C_PREDICTION) + 1)
    stop = load32(load64(given + GL_ENDS) + 4 * (row + 1))
    while load64(cursor + C_LABEL) < stop:
        need = _label(r, given, row, load64(cursor + C_LABEL), outcomes, entries)
        if need != DONE:
            return need
        store64(cursor + C_LABEL, load64(cursor + C_LABEL) + 1)
    stop = load32(load64(given + GN_ENDS) + 4 * (row + 1))
    while load64(cursor + C_EVENT) < stop:
        need = _event(r, given, row, load64(cursor + C_EVENT), entries)
        if need != DONE:
            return need
        store64(cursor + C_EVENT, load64(cursor + C_EVENT) + 1)
    return DONE


@compiled
def _need(r: int, size: int) -> int:
    """What a step lacks that copies so many bytes."""
    if lacking(r, size + _MARGIN):
        store64(r + NEED, size + _MARGIN)
        return NEED_BLOCK
    if 20 * (load64(r + EVENTS) + 1) > 17 * load64(r + TABLE_SIZE):
        return NEED_TABLE
    if load64(r + BUCKET_FIRST) + load64(r + BUCKET_COUNT) + 1 > load64(r + BUCKET_ROOM):
        return NEED_BUCKETS
    if load64(r + OUTCOMES) + MOST_PREDICTIONS > load64(r + OUTCOME_ROOM):
        return NEED_OUTCOMES
    if load64(r + ENTRIES) + MOST_REPORTS + 2 > load64(r + ENTRY_ROOM):
        return NEED_ENTRIES
    return DONE


@compiled
def _prediction(r: int, given: int, row: int, item: int, outcomes: int) -> int:
    offsets = load64(given + GP_KEYS) + 4 * item
    key, size = load64(given + GP_KEY_DATA) + load32(offsets), load32(offsets + 4) - load32(offsets)
    offsets = load64(given + GP_SHARED) + 4 * item
    shared = load64(given + GP_SHARED_DATA) + load32(offsets) + HEADER
    length = load32(offsets + 4) - load32(offsets) - HEADER
    need = _need(r, size + length)
    if need != DONE:
        return need
    tag = tag_of(key, size)
    address = find(r, key, size, tag)
    if address == 0:
        address = new_event(r, key, size, tag)
    event = where(r, address)
    _date(r, address, load64(load64(given + GP_TIMES) + 8 * item))
    code = load64(load64(given + GP_CODES) + 8 * item)
    last = _last_but_this(r, event, code)
    if last < 0:
        store64(r + REPEATED, load64(r + REPEATED) + 1)
        return DONE
    first = last == 0
    made = allot(r, P_SIZE + (length if first else 0))
    at = where(r, made)
    store32(at, (P_SIZE + (length if first else 0)) << 2 | PREDICTION)
    store32(at + P_NEXT, 0)
    store32(at + P_CODE, code)
    set_u16(at + P_REVISION, 0)
    set_time(at + P_TIME, load64(load64(given + GP_MADE) + 8 * item))
    store64(at + P_SCORE, load64(load64(given + GP_SCORES) + 8 * item))
    store64(r + PREDICTIONS, load64(r + PREDICTIONS) + 1)
    if first:
        copy(shared, length, at + P_SIZE)
        store32(event + E_FIRST, made)
        if time_at(event + E_TIME) <= load64(r + MATURITY) - load64(r + MATURES):
            _grown(r, event)
        else:
            queue(r, address)
    else:
        store32(where(r, last) + P_NEXT, made)
    if u32(event + E_REPORTS) != 0 or u16(event + E_FLAGS) & MATURED:
        _answer(r, row, address, made, NONE, 0, outcomes)
    return DONE


@compiled
def _last_but_this(r: int, event: int, code: int) -> int:
    """The event's last prediction (0: none); -1 when it has this one already, or too many."""
    suffixes = load64(r + SUFFIXES)
    mine = load64(suffixes + 8 * (code & 0x7FFF_FFFF))
    last, address, many = 0, u32(event + E_FIRST), 0
    while address != 0:
        at = where(r, address)
        many += 1
        if load64(suffixes + 8 * (u32(at + P_CODE) & 0x7FFF_FFFF)) == mine or many == MOST_PREDICTIONS:
            return -1
        last = address
        address = u32(at + P_NEXT)
    return last


@compiled
def _date(r: int, address: int, time: int) -> None:
    """Note when an event happened, the first time that it is said; reports that came too late are forgotten."""
    event = where(r, address)
    if time_at(event + E_TIME) != NEVER:
        return
    set_time(event + E_TIME, time)
    slot = slot_of(address)
    _raise(load64(r + TIMES) + 8 * slot, time)
    _raise(load64(r + ARRIVALS) + 8 * slot, load64(r + CLOCK))
    if u32(event + E_REPORTS) != 0:
        late = drop_late(r, event, time + load64(r + EXPIRES))
        store64(r + LATE, load64(r + LATE) + late)
        weigh(r, event)


@compiled
def _raise(at: int, value: int) -> None:
    if load64(at) < value:
        store64(at, value)


@compiled
def _label(r: int, given: int, row: int, item: int, outcomes: int, entries: int) -> int:
    offsets = load64(given + GL_KEYS) + 4 * item
    key, size = load64(given + GL_KEY_DATA) + load32(offsets), load32(offsets + 4) - load32(offsets)
    need = _need(r, size)
    if need != DONE:
        return need
    time = load64(load64(given + GL_TIMES) + 8 * item)
    source = load64(load64(given + GL_SOURCES) + 8 * item)
    value = load64(load64(given + GL_VALUES) + 8 * item)
    tag = tag_of(key, size)
    address = find(r, key, size, tag)
    if address == 0:
        address = new_event(r, key, size, tag)
        slot = slot_of(address)
        _raise(load64(r + ARRIVALS) + 8 * slot, load64(r + CLOCK))
    event = where(r, address)
    happened = time_at(event + E_TIME)
    if happened != NEVER and time > happened + load64(r + EXPIRES):
        store64(r + LATE, load64(r + LATE) + 1)
        return DONE
    if known(r, event, time, source, value):
        store64(r + DUPLICATE, load64(r + DUPLICATE) + 1)
        return DONE
    if happened == NEVER:
        _raise(load64(r + LABEL_TIMES) + 8 * slot_of(address), time)
    if u32(event + E_ENTITIES) != 0:
        tell_change(r, entries, row, address, time, source, value)
    former = u32(event + E_REPORTS)
    former_value = load64(where(r, former) + R_VALUE) if former != 0 else 0
    conflicted = u16(event + E_FLAGS) & CONFLICTING
    add(r, event, time, source, value)
    weigh(r, event)
    answered = u32(event + E_FIRST) != 0
    if former == 0:
        fate = MATCHED if answered else EARLY
        if answered and u16(event + E_FLAGS) & MATURED:
            store64(r + GROWN_LABELLED, load64(r + GROWN_LABELLED) + 1)
    elif u16(event + E_FLAGS) & CONFLICTING and not conflicted:
        fate = CONFLICT
    elif u32(event + E_REPORTS) != former:
        fate = CORRECTING
    else:
        fate = OUTDATED
    store64(r + fate, load64(r + fate) + 1)
    if answered and (u32(event + E_REPORTS) != former or u16(event + E_FLAGS) & CONFLICTING != conflicted):
        state, before = LABELLED, former_value
        if former == 0:
            state, before = _unlabelled(r), load64(r + UNLABELLED)
        _answer_all(r, row, address, state, before, outcomes)
    return DONE


@compiled
def _event(r: int, given: int, row: int, item: int, entries: int) -> int:
    offsets = load64(given + GN_KEYS) + 4 * item
    key, size = load64(given + GN_KEY_DATA) + load32(offsets), load32(offsets + 4) - load32(offsets)
    offsets = load64(given + GN_ENTITIES) + 4 * item
    entities = load64(given + GN_ENTITY_DATA) + load32(offsets) + HEADER
    length = load32(offsets + 4) - load32(offsets) - HEADER
    need = _need(r, size + length)
    if need != DONE:
        return need
    tag = tag_of(key, size)
    address = find(r, key, size, tag)
    if address == 0:
        address = new_event(r, key, size, tag)
    event = where(r, address)
    _date(r, address, load64(load64(given + GN_TIMES) + 8 * item))
    if u32(event + E_ENTITIES) == 0:
        told = allot(r, 4 + length)
        at = where(r, told)
        store32(at, (4 + length) << 2 | ENTITIES)
        copy(entities, length, at + 4)
        store32(event + E_ENTITIES, told)
        tell_all(r, entries, row, address)
    return DONE


@compiled
def _unlabelled(r: int) -> int:
    return PRESUMED if load64(r + PRESUMES) else UNKNOWN


@compiled
def _grown(r: int, event: int) -> None:
    """Note that an event with a prediction has matured."""
    set_u16(event + E_FLAGS, u16(event + E_FLAGS) | MATURED)
    store64(r + GROWN, load64(r + GROWN) + 1)
    if u32(event + E_REPORTS) != 0:
        store64(r + GROWN_LABELLED, load64(r + GROWN_LABELLED) + 1)


@compiled
def _answer_all(r: int, row: int, address: int, former: int, former_value: int, outcomes: int) -> None:
    made = u32(where(r, address) + E_FIRST)
    while made != 0:
        _answer(r, row, address, made, former, former_value, outcomes)
        made = u32(where(r, made) + P_NEXT)


@compiled
def _answer(r: int, row: int, address: int, made: int, former: int, former_value: int, outcomes: int) -> None:
    """Tell an outcome of a prediction; what it was before matters only if it had one."""
    event, prediction = where(r, address), where(r, made)
    told = load64(r + OUTCOMES)
    at = outcomes + 8 * O_FIELDS * told
    revision = u16(prediction + P_REVISION)
    if revision == MOST_REVISIONS:
        return
    set_u16(prediction + P_REVISION, revision + 1)
    store64(at + 8 * O_ROW, row)
    store64(at + 8 * O_EVENT, address)
    store64(at + 8 * O_PREDICTION, made)
    store64(at + 8 * O_REVISION, revision)
    report = u32(event + E_REPORTS)
    if report != 0:
        held = where(r, report)
        store64(at + 8 * O_STATE, LABELLED)
        store64(at + 8 * O_VALUE, load64(held + R_VALUE))
        store64(at + 8 * O_TIME, time_at(held + R_TIME))
        store64(at + 8 * O_SOURCE, u32(held) >> 2)
    else:
        store64(at + 8 * O_STATE, _unlabelled(r))
        store64(at + 8 * O_VALUE, load64(r + UNLABELLED))
        store64(at + 8 * O_TIME, 0)
        store64(at + 8 * O_SOURCE, 0)
    store64(at + 8 * O_REPORTS, count(event) << 1 | (1 if u16(event + E_FLAGS) & CONFLICTING else 0))
    store64(at + 8 * O_FORMER, former if revision else NONE)
    store64(at + 8 * O_FORMER_VALUE, former_value)
    store64(at + 8 * O_AS_OF, load64(r + AS_OF))
    store64(r + OUTCOMES, told + 1)


@compiled
def _mature(r: int, cursor: int, row: int, outcomes: int) -> int:
    """Answer events whose time has passed, then give up blocks that nobody can ask for any more."""
    while True:
        limit = load64(r + MATURITY) - load64(r + MATURES)
        coming = due_bucket(r, limit)
        while coming > 0:
            if heap_lacks(r, coming):
                store64(r + NEED, coming)
                return NEED_HEAP
            open_bucket(r)
            coming = due_bucket(r, limit)
        while load64(cursor + C_MATURED) < MOST_MATURED:
            if load64(r + OUTCOMES) + MOST_PREDICTIONS > load64(r + OUTCOME_ROOM):
                return NEED_OUTCOMES
            address = pop(r, limit)
            if address == 0:
                break
            store64(cursor + C_MATURED, load64(cursor + C_MATURED) + 1)
            event = where(r, address)
            _grown(r, event)
            if u32(event + E_REPORTS) == 0:
                _answer_all(r, row, address, NONE, 0, outcomes)
        if load64(cursor + C_MATURED) >= MOST_MATURED or not expired(r):
            return DONE
        if not advance(r):
            _give_up(r)


@compiled
def _give_up(r: int) -> None:
    """Forget the oldest block with the events that begin in it."""
    slot = load64(r + FIRST)
    base, end = load64(load64(r + BLOCKS) + 8 * slot), load64(load64(r + USED) + 8 * slot)
    place = START
    while place < end:
        at = base + place
        if u32(at) & 3 == EVENT:
            forget(r, slot << SLOT_BITS | place >> 1)
            store64(r + EVENTS, load64(r + EVENTS) - 1)
            if time_at(at + E_TIME) == NEVER:
                store64(r + ORPHANED, load64(r + ORPHANED) + count(at))
            made = u32(at + E_FIRST)
            while made != 0:
                store64(r + PREDICTIONS, load64(r + PREDICTIONS) - 1)
                made = u32(where(r, made) + P_NEXT)
        place += size_of(at)
    store64(r + FIRST, (slot + 1) % SLOTS)
