"""The steps of the walk: a prediction, a label, an event.

Each does all of its work, or nothing where there is no room for it, and says what is needed.
"""

from __future__ import annotations

from services.kit.avro_memory import load32, load64, store32, store64
from services.kit.compiled import kernel
from services.labels.answering import answer, answer_all, note_grown, tell_again, unlabelled
from services.labels.layout import (
    ARRIVALS,
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
    EXPIRES,
    GL_KEY_DATA,
    GL_KEYS,
    GL_SOURCES,
    GL_TIMES,
    GL_VALUES,
    GN_ENTITIES,
    GN_ENTITY_DATA,
    GN_KEY_DATA,
    GN_KEYS,
    GN_TIMES,
    GP_CODES,
    GP_KEY_DATA,
    GP_KEYS,
    GP_MADE,
    GP_SCORES,
    GP_SHARED,
    GP_SHARED_DATA,
    GP_TIMES,
    GROWN_LABELLED,
    HEADER,
    LABEL_TIMES,
    LABELLED,
    LATE,
    MATCHED,
    MATURED,
    MATURES,
    MATURITY,
    MOST_PREDICTIONS,
    MOST_REPORTS,
    NEED_ENTRIES,
    NEED_OUTCOMES,
    NEVER,
    NONE,
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
    R_VALUE,
    REPEATED,
    SUFFIXES,
    TIMES,
    UNLABELLED,
)
from services.labels.maturing import queue
from services.labels.records import (
    allot,
    copy,
    find,
    need_of_event,
    new_event,
    raise_to,
    set_time,
    set_u16,
    slot_of,
    tag_of,
    time_at,
    u16,
    u32,
    where,
)
from services.labels.reports import add, drop_late, known, tell_all, tell_change, weigh

_THERE, _FULL = -1, -2
_MARGIN = 256
"""Bytes that a step takes beside ids and what it copies, at most."""


@kernel
def _need(r: int, size: int) -> int:
    """What a step lacks that copies so many bytes."""
    need = need_of_event(r, size + _MARGIN)
    if need != DONE:
        return need
    if load64(r + OUTCOMES) + MOST_PREDICTIONS > load64(r + OUTCOME_ROOM):
        return NEED_OUTCOMES
    if load64(r + ENTRIES) + MOST_REPORTS + 2 > load64(r + ENTRY_ROOM):
        return NEED_ENTRIES
    return DONE


@kernel
def take_prediction(r: int, given: int, row: int, item: int, outcomes: int) -> int:
    """Keep a prediction, unless it came before, and answer it if its label or its time has come."""
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
        if last == _THERE:
            tell_again(r, row, item, outcomes)
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
            note_grown(r, event)
        else:
            queue(r, address)
    else:
        store32(where(r, last) + P_NEXT, made)
    if u32(event + E_REPORTS) != 0 or u16(event + E_FLAGS) & MATURED:
        answer(r, row, address, made, NONE, 0, outcomes)
    return DONE


@kernel
def _last_but_this(r: int, event: int, code: int) -> int:
    """The event's last prediction (0: none); _THERE when it has this one already, _FULL when it has too many."""
    suffixes = load64(r + SUFFIXES)
    mine = load64(suffixes + 8 * (code & 0x7FFF_FFFF))
    last, address, many = 0, u32(event + E_FIRST), 0
    while address != 0:
        at = where(r, address)
        many += 1
        if load64(suffixes + 8 * (u32(at + P_CODE) & 0x7FFF_FFFF)) == mine:
            return _THERE
        if many == MOST_PREDICTIONS:
            return _FULL
        last = address
        address = u32(at + P_NEXT)
    return last


@kernel
def _date(r: int, address: int, time: int) -> None:
    """Note when an event happened, the first time that it is said; reports that came too late are forgotten."""
    event = where(r, address)
    if time_at(event + E_TIME) != NEVER:
        return
    set_time(event + E_TIME, time)
    slot = slot_of(address)
    raise_to(load64(r + TIMES) + 8 * slot, time)
    raise_to(load64(r + ARRIVALS) + 8 * slot, load64(r + CLOCK))
    if u32(event + E_REPORTS) != 0:
        late = drop_late(r, event, time + load64(r + EXPIRES))
        store64(r + LATE, load64(r + LATE) + late)
        weigh(r, event)


@kernel
def take_label(r: int, given: int, row: int, item: int, outcomes: int, entries: int) -> int:
    """Keep a label that is news, and answer its event's predictions (again) if it changes what holds."""
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
        raise_to(load64(r + ARRIVALS) + 8 * slot, load64(r + CLOCK))
    event = where(r, address)
    happened = time_at(event + E_TIME)
    if happened != NEVER and time > happened + load64(r + EXPIRES):
        store64(r + LATE, load64(r + LATE) + 1)
        return DONE
    if known(r, event, time, source, value):
        store64(r + DUPLICATE, load64(r + DUPLICATE) + 1)
        return DONE
    if happened == NEVER:
        raise_to(load64(r + LABEL_TIMES) + 8 * slot_of(address), time)
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
            state, before = unlabelled(r), load64(r + UNLABELLED)
        answer_all(r, row, address, state, before, outcomes)
    return DONE


@kernel
def take_event(r: int, given: int, row: int, item: int, entries: int) -> int:
    """Keep whom an event belongs to, and tell views what is known of its label already."""
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
