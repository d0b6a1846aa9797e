"""The walk over records of the exchange, one after the other: predictions, labels, events, then the record's mark.

It stops where there is no room for the next step, having done nothing of that step, and goes on when called again. So
what it does depends on the records alone and not on how they are cut into batches.
"""

from __future__ import annotations

from services.kit.avro_memory import load32, load64, store64
from services.kit.compiled import kernel
from services.labels.clocks import mark
from services.labels.ending import mature
from services.labels.layout import (
    C_EVENT,
    C_LABEL,
    C_MARKED,
    C_MATURED,
    C_PREDICTION,
    C_RECORD,
    CLOCK,
    DONE,
    G_CLOCKS,
    GL_ENDS,
    GN_ENDS,
    GP_ENDS,
)
from services.labels.records import raise_to
from services.labels.steps import take_event, take_label, take_prediction


@kernel("i8 i8 i8 i8 i8 i8")
def walk(r: int, given: int, cursor: int, end: int, outcomes: int, entries: int) -> int:
    """Fold the records up to row `end`; returns DONE, or what is needed before it can go on."""
    while load64(cursor + C_RECORD) < end:
        row = load64(cursor + C_RECORD)
        raise_to(r + CLOCK, load64(load64(given + G_CLOCKS) + 8 * row))
        need = _walk_lists(r, given, cursor, row, outcomes, entries)
        if need != DONE:
            return need
        if load64(cursor + C_MARKED) == 0:
            mark(r, given, row)
            store64(cursor + C_MARKED, 1)
        need = mature(r, cursor, row, outcomes)
        if need != DONE:
            return need
        store64(cursor + C_RECORD, row + 1)
        store64(cursor + C_MATURED, 0)
        store64(cursor + C_MARKED, 0)
    return DONE


@kernel
def _walk_lists(r: int, given: int, cursor: int, row: int, outcomes: int, entries: int) -> int:
    stop = load32(load64(given + GP_ENDS) + 4 * (row + 1))
    while load64(cursor + C_PREDICTION) < stop:
        need = take_prediction(r, given, row, load64(cursor + C_PREDICTION), outcomes)
        if need != DONE:
            return need
        store64(cursor + C_PREDICTION, load64(cursor + C_PREDICTION) + 1)
    stop = load32(load64(given + GL_ENDS) + 4 * (row + 1))
    while load64(cursor + C_LABEL) < stop:
        need = take_label(r, given, row, load64(cursor + C_LABEL), outcomes, entries)
        if need != DONE:
            return need
        store64(cursor + C_LABEL, load64(cursor + C_LABEL) + 1)
    stop = load32(load64(given + GN_ENDS) + 4 * (row + 1))
    while load64(cursor + C_EVENT) < stop:
        need = take_event(r, given, row, load64(cursor + C_EVENT), entries)
        if need != DONE:
            return need
        store64(cursor + C_EVENT, load64(cursor + C_EVENT) + 1)
    return DONE
