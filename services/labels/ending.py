"""What time brings: events that mature, and blocks of which nobody can ask any more."""

from __future__ import annotations

from services.kit.avro_memory import load64, store64
from services.kit.compiled import kernel
from services.labels.answering import answer_all, note_grown
from services.labels.clocks import advance, expired
from services.labels.layout import (
    BLOCKS,
    C_MATURED,
    DONE,
    E_FIRST,
    E_REPORTS,
    E_TIME,
    EVENT,
    EVENTS,
    FIRST,
    MATURES,
    MATURITY,
    MOST_MATURED,
    MOST_PREDICTIONS,
    NEED,
    NEED_HEAP,
    NEED_OUTCOMES,
    NEVER,
    NONE,
    ORPHANED,
    OUTCOME_ROOM,
    OUTCOMES,
    P_NEXT,
    PREDICTIONS,
    SLOT_BITS,
    SLOTS,
    START,
    USED,
)
from services.labels.maturing import due_bucket, heap_lacks, open_bucket, pop
from services.labels.records import forget, size_of, time_at, u32, where
from services.labels.reports import count


@kernel
def mature(r: int, cursor: int, row: int, outcomes: int) -> int:
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
            note_grown(r, event)
            if u32(event + E_REPORTS) == 0:
                answer_all(r, row, address, NONE, 0, outcomes)
        if load64(cursor + C_MATURED) >= MOST_MATURED or not expired(r):
            return DONE
        if not advance(r):
            _give_up(r)


@kernel
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
