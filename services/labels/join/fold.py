"""The fold of records of the exchange, one after the other: predictions, labels, events, then the record's mark.

It stops where there is no room for the next step, having done nothing of that step, and goes on when called again. So
what it does depends on the records alone and not on how they are cut into batches.
"""

from __future__ import annotations

from headrace.columnar.jit import kernel
from headrace.columnar.structs import I4, I8, at
from services.labels.join.expiry import mature
from services.labels.join.layout import CURSOR, DONE, MEMORY, RECORDS, Cursor, Memory, Records
from services.labels.join.transitions import take_event, take_label, take_prediction
from services.labels.join.watermarks import mark


@kernel("memory records cursor i8", memory=MEMORY, records=RECORDS, cursor=CURSOR)
def walk(join: Memory, told: Records, cursor: Cursor, end: int) -> int:
    """Fold the records up to row `end`; returns DONE, or what is needed before it can go on."""
    while cursor.record < end:
        row = cursor.record
        join.clock = max(join.clock, at(told.clocks, row, I8))
        need = _walk_lists(join, told, cursor, row)
        if need != DONE:
            return need
        if not cursor.marked:
            mark(join, told, row)
            cursor.marked = 1
        need = mature(join, cursor, row)
        if need != DONE:
            return need
        cursor.record = row + 1
        cursor.matured = cursor.marked = 0
    return DONE


@kernel
def _walk_lists(join: Memory, told: Records, cursor: Cursor, row: int) -> int:
    stop = at(told.predictions.ends, row + 1, I4)
    while cursor.prediction < stop:
        need = take_prediction(join, told.predictions, row, cursor.prediction)
        if need != DONE:
            return need
        cursor.prediction += 1
    stop = at(told.labels.ends, row + 1, I4)
    while cursor.label < stop:
        need = take_label(join, told.labels, row, cursor.label)
        if need != DONE:
            return need
        cursor.label += 1
    stop = at(told.events.ends, row + 1, I4)
    while cursor.event < stop:
        need = take_event(join, told.events, row, cursor.event)
        if need != DONE:
            return need
        cursor.event += 1
    return DONE
