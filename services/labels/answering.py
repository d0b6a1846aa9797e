"""What becomes of a prediction, as the walk tells it."""

from __future__ import annotations

from services.kit.avro_memory import load64, store64
from services.kit.compiled import kernel
from services.labels.layout import (
    AGAIN,
    AS_OF,
    CONFLICTING,
    E_FIRST,
    E_FLAGS,
    E_REPORTS,
    GROWN,
    GROWN_LABELLED,
    LABELLED,
    MATURED,
    MOST_REVISIONS,
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
    OUTCOMES,
    P_NEXT,
    P_REVISION,
    PRESUMED,
    PRESUMES,
    R_TIME,
    R_VALUE,
    UNKNOWN,
    UNLABELLED,
)
from services.labels.records import set_u16, time_at, u16, u32, where
from services.labels.reports import count


@kernel
def unlabelled(r: int) -> int:
    """The state of an outcome for which no label came."""
    return PRESUMED if load64(r + PRESUMES) else UNKNOWN


@kernel
def note_grown(r: int, event: int) -> None:
    """Note that an event with a prediction has matured."""
    set_u16(event + E_FLAGS, u16(event + E_FLAGS) | MATURED)
    store64(r + GROWN, load64(r + GROWN) + 1)
    if u32(event + E_REPORTS) != 0:
        store64(r + GROWN_LABELLED, load64(r + GROWN_LABELLED) + 1)


@kernel
def answer_all(r: int, row: int, address: int, former: int, former_value: int, outcomes: int) -> None:
    """Tell an outcome of each of an event's predictions."""
    made = u32(where(r, address) + E_FIRST)
    while made != 0:
        answer(r, row, address, made, former, former_value, outcomes)
        made = u32(where(r, made) + P_NEXT)


@kernel
def tell_again(r: int, row: int, item: int, outcomes: int) -> None:
    """Tell of a prediction that it was there before."""
    told = load64(r + OUTCOMES)
    at = outcomes + 8 * O_FIELDS * told
    for field in range(O_FIELDS):
        store64(at + 8 * field, 0)
    store64(at + 8 * O_ROW, row)
    store64(at + 8 * O_PREDICTION, item)
    store64(at + 8 * O_STATE, AGAIN)
    store64(at + 8 * O_AS_OF, load64(r + AS_OF))
    store64(r + OUTCOMES, told + 1)


@kernel
def answer(r: int, row: int, address: int, made: int, former: int, former_value: int, outcomes: int) -> None:
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
        store64(at + 8 * O_STATE, unlabelled(r))
        store64(at + 8 * O_VALUE, load64(r + UNLABELLED))
        store64(at + 8 * O_TIME, 0)
        store64(at + 8 * O_SOURCE, 0)
    store64(at + 8 * O_REPORTS, count(event) << 1 | (1 if u16(event + E_FLAGS) & CONFLICTING else 0))
    store64(at + 8 * O_FORMER, former if revision else NONE)
    store64(at + 8 * O_FORMER_VALUE, former_value)
    store64(at + 8 * O_AS_OF, load64(r + AS_OF))
    store64(r + OUTCOMES, told + 1)
