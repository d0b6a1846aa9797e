"""What time brings: events that mature, and blocks of which nobody can ask any more."""

from __future__ import annotations

from headrace.columnar.jit import kernel
from services.labels.join.arena import (
    address_of,
    block_at,
    event_at,
    extent,
    forget,
    head_in,
    prediction_at,
    time_of,
)
from services.labels.join.emission import answer_all, note_grown, outcomes_lack
from services.labels.join.label_versions import count
from services.labels.join.layout import (
    DONE,
    IS_EVENT,
    MOST_MATURED,
    MOST_PREDICTIONS,
    NEED_HEAP,
    NEED_OUTCOMES,
    NEVER,
    NONE,
    SLOTS,
    START,
    UNSEEN,
    Cursor,
    Memory,
)
from services.labels.join.timers import due_bucket, heap_lacks, open_bucket, pop
from services.labels.join.watermarks import advance, expired


@kernel
def mature(join: Memory, cursor: Cursor, row: int) -> int:
    """Answer events whose time has passed, then give up blocks that nobody can ask for any more."""
    while True:
        limit = join.maturity - join.matures
        coming = due_bucket(join, limit)
        while coming > 0:
            if heap_lacks(join, coming):
                join.need = coming
                return NEED_HEAP
            open_bucket(join)
            coming = due_bucket(join, limit)
        while cursor.matured < MOST_MATURED:
            if outcomes_lack(join, MOST_PREDICTIONS):
                return NEED_OUTCOMES
            address = pop(join, limit)
            if address == 0:
                break
            cursor.matured += 1
            event = event_at(join, address)
            note_grown(join, event)
            if event.reports == 0:
                answer_all(join, row, address, NONE, 0.0, max(time_of(event), UNSEEN))
        if cursor.matured >= MOST_MATURED or not expired(join):
            return DONE
        if not advance(join):
            _give_up(join)


@kernel
def _give_up(join: Memory) -> None:
    """Forget the oldest block with the events that begin in it."""
    block, place = block_at(join, join.first), START
    while place < block.used:
        head = head_in(block, place)
        if head & 3 == IS_EVENT:
            _give_up_event(join, address_of(join.first, place))
        place += extent(head)
    join.first = (join.first + 1) % SLOTS


@kernel
def _give_up_event(join: Memory, address: int) -> None:
    event = event_at(join, address)
    forget(join, address)
    join.events -= 1
    if time_of(event) == NEVER:
        join.orphaned += count(event)
    made = event.first
    while made != 0:
        join.predictions -= 1
        made = prediction_at(join, made).next
