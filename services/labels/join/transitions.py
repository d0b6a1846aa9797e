"""What a prediction, a label and an event do to a join.

Each step finds out first what it may need, and does nothing where that lacks.
"""

from __future__ import annotations

from headrace.columnar.jit import kernel
from headrace.columnar.structs import F8, I4, I8, Bytes, at, copy, part
from services.labels.join.arena import (
    ENTITIES_SIZE,
    PREDICTION_SIZE,
    allot,
    answer_of,
    block_at,
    entities_of,
    event_at,
    find,
    need_of_event,
    new_event,
    note_arrival,
    note_event,
    note_label,
    prediction_at,
    report_at,
    set_time,
    shared_of,
    slot_of,
    tag_of,
    time_of,
)
from services.labels.join.emission import (
    answer,
    answer_all,
    answered,
    note_grown,
    outcomes_lack,
    tell_again,
    unlabelled,
)
from services.labels.join.label_versions import add, changes_lack, drop_late, known, tell_all, tell_change, weigh
from services.labels.join.layout import (
    CONFLICTING,
    DONE,
    HEADER,
    IS_ENTITIES,
    IS_PREDICTION,
    LABELLED,
    MATURED,
    MOST_PREDICTIONS,
    MOST_REPORTS,
    NEED_CHANGES,
    NEED_OUTCOMES,
    NEVER,
    NONE,
    EventRecord,
    EventRows,
    LabelRows,
    Memory,
    PredictionRows,
    Texts,
)
from services.labels.join.timers import queue

_THERE, _FULL = -1, -2
_MARGIN = 256
"""Bytes that a step takes beside ids and what it copies, at most."""


@kernel
def _text(column: Texts, item: int, skipped: int) -> Bytes:
    """An item of a column, without so many bytes at its beginning."""
    return part(column.data, at(column.ends, item, I4) + skipped, at(column.ends, item + 1, I4))


@kernel
def _need(join: Memory, size: int) -> int:
    """What a step lacks that copies so many bytes."""
    need = need_of_event(join, size + _MARGIN)
    if need != DONE:
        return need
    if outcomes_lack(join, MOST_PREDICTIONS):
        return NEED_OUTCOMES
    if changes_lack(join, MOST_REPORTS + 2):
        return NEED_CHANGES
    return DONE


@kernel
def take_prediction(join: Memory, told: PredictionRows, row: int, item: int) -> int:
    """Keep a prediction, unless it came before, and answer it if its label or its time has come."""
    key, shared = _text(told.ids, item, 0), _text(told.shared, item, HEADER)
    need = _need(join, key.size + join.answer + shared.size)
    if need != DONE:
        return need
    tag = tag_of(key)
    address = find(join, key, tag)
    if address == 0:
        address = new_event(join, key, tag)
    event = event_at(join, address)
    _date(join, address, at(told.times, item, I8))
    code = at(told.codes, item, I8)
    last = _last_but_this(join, event, code)
    if last < 0:
        join.repeated += 1
        if last == _THERE:
            tell_again(join, row, item)
        return DONE
    made = allot(join, PREDICTION_SIZE + join.answer + (shared.size if last == 0 else 0), IS_PREDICTION)
    prediction = prediction_at(join, made)
    prediction.next = 0
    prediction.code = code
    prediction.revision = 0
    set_time(prediction, at(told.made, item, I8))
    prediction.score = at(told.scores, item, F8)
    if join.answer > 0:
        copy(part(told.answers, item * join.answer, (item + 1) * join.answer), answer_of(join, made))
    join.predictions += 1
    if last == 0:
        copy(shared, shared_of(join, made))
        event.first = made
        if time_of(event) <= join.maturity - join.matures:
            note_grown(join, event)
        else:
            queue(join, address)
    else:
        prediction_at(join, last).next = made
    if event.reports != 0 or event.flags & MATURED:
        answer(join, row, address, made, NONE, 0.0, answered(join))
    return DONE


@kernel
def _last_but_this(join: Memory, event: EventRecord, code: int) -> int:
    """The event's last prediction (0: none); _THERE when it has this one already, _FULL when it has too many."""
    mine = _suffix(join, code)
    last, address, many = 0, event.first, 0
    while address != 0:
        prediction = prediction_at(join, address)
        many += 1
        if _suffix(join, prediction.code) == mine:
            return _THERE
        if many == MOST_PREDICTIONS:
            return _FULL
        last = address
        address = prediction.next
    return last


@kernel
def _suffix(join: Memory, code: int) -> int:
    """What a prediction's id ends with, as a number."""
    return at(join.suffixes, code & 0x7FFF_FFFF, I8)


@kernel
def _date(join: Memory, address: int, time: int) -> None:
    """Note when an event happened, the first time that it is said; reports that came too late are forgotten."""
    event = event_at(join, address)
    if time_of(event) != NEVER:
        return
    set_time(event, time)
    block = block_at(join, slot_of(address))
    note_event(block, time)
    note_arrival(block, join.clock)
    if event.reports != 0:
        join.late += drop_late(join, event, time + join.expires)
        weigh(join, event)


@kernel
def take_label(join: Memory, told: LabelRows, row: int, item: int) -> int:
    """Keep a label that is news, and answer its event's predictions (again) if it changes what holds."""
    key = _text(told.ids, item, 0)
    need = _need(join, key.size)
    if need != DONE:
        return need
    time, source, value = at(told.times, item, I8), at(told.sources, item, I8), at(told.values, item, F8)
    tag = tag_of(key)
    address = find(join, key, tag)
    if address == 0:
        address = new_event(join, key, tag)
        note_arrival(block_at(join, slot_of(address)), join.clock)
    event = event_at(join, address)
    happened = time_of(event)
    if happened != NEVER and time > happened + join.expires:
        join.late += 1
        return DONE
    if known(join, event, time, source, value):
        join.duplicate += 1
        return DONE
    if happened == NEVER:
        note_label(block_at(join, slot_of(address)), time)
    if event.entities != 0:
        tell_change(join, row, address, time, source, value)
    former = event.reports
    former_value = report_at(join, former).value if former != 0 else 0.0
    conflicted = event.flags & CONFLICTING
    add(join, event, time, source, value)
    weigh(join, event)
    _count(join, event, former, conflicted)
    if event.first != 0 and (event.reports != former or event.flags & CONFLICTING != conflicted):
        if former != 0:
            answer_all(join, row, address, LABELLED, former_value, answered(join))
        else:
            answer_all(join, row, address, unlabelled(join), join.unlabelled, answered(join))
    return DONE


@kernel
def _count(join: Memory, event: EventRecord, former: int, conflicted: int) -> None:
    """Count what became of a label: `former` is the report that held before, `conflicted` whether reports disagreed."""
    if former == 0:
        if event.first == 0:
            join.early += 1
        else:
            join.matched += 1
            if event.flags & MATURED:
                join.grown_labelled += 1
    elif event.flags & CONFLICTING and not conflicted:
        join.conflict += 1
    elif event.reports != former:
        join.correcting += 1
    else:
        join.outdated += 1


@kernel
def take_event(join: Memory, told: EventRows, row: int, item: int) -> int:
    """Keep whom an event belongs to, and tell views what is known of its label already."""
    key, entities = _text(told.ids, item, 0), _text(told.entities, item, HEADER)
    need = _need(join, key.size + entities.size)
    if need != DONE:
        return need
    tag = tag_of(key)
    address = find(join, key, tag)
    if address == 0:
        address = new_event(join, key, tag)
    event = event_at(join, address)
    _date(join, address, at(told.times, item, I8))
    if event.entities == 0:
        kept = allot(join, ENTITIES_SIZE + entities.size, IS_ENTITIES)
        copy(entities, entities_of(join, kept))
        event.entities = kept
        tell_all(join, row, address)
    return DONE
