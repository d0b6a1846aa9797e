"""What becomes of a prediction, as the fold tells it."""

from __future__ import annotations

from headrace.columnar.jit import kernel
from headrace.columnar.structs import at
from services.labels.join.arena import event_at, prediction_at, report_at, time_of
from services.labels.join.label_versions import count
from services.labels.join.layout import (
    AGAIN,
    CONFLICTING,
    LABELLED,
    MATURED,
    MOST_REVISIONS,
    NEVER,
    NONE,
    OUTCOME,
    PRESUMED,
    UNKNOWN,
    UNSEEN,
    EventRecord,
    Memory,
    Outcome,
)


@kernel
def unlabelled(join: Memory) -> int:
    """The state of an outcome for which no label came."""
    return PRESUMED if join.presumes else UNKNOWN


@kernel
def note_grown(join: Memory, event: EventRecord) -> None:
    """Note that an event with a prediction has matured."""
    event.flags |= MATURED
    join.grown += 1
    if event.reports != 0:
        join.grown_labelled += 1


@kernel
def outcomes_lack(join: Memory, more: int) -> bool:
    """Whether there is too little room to tell so many more."""
    return join.told_outcomes + more > join.outcomes.length


@kernel
def _next_outcome(join: Memory) -> Outcome:
    join.told_outcomes += 1
    return at(join.outcomes, join.told_outcomes - 1, OUTCOME)


@kernel
def answered(join: Memory) -> int:
    """Before which time all events were answered, while none is due."""
    return UNSEEN if join.maturity == NEVER else max(join.maturity - join.matures + 1, UNSEEN)


@kernel
def answer_all(join: Memory, row: int, address: int, former: int, former_value: float, before: int) -> None:
    """Tell an outcome of each of an event's predictions; `before`: all that happened before this was answered."""
    made = event_at(join, address).first
    while made != 0:
        answer(join, row, address, made, former, former_value, before)
        made = prediction_at(join, made).next


@kernel
def tell_again(join: Memory, row: int, item: int) -> None:
    """Tell of a prediction that it was there before."""
    told = _next_outcome(join)
    told.row, told.event, told.prediction, told.revision, told.state = row, 0, item, 0, AGAIN
    told.value, told.time, told.source, told.reports, told.conflicting = 0.0, 0, 0, 0, 0
    told.former, told.former_value, told.as_of, told.before = NONE, 0.0, join.as_of, answered(join)


@kernel
def answer(join: Memory, row: int, address: int, made: int, former: int, former_value: float, before: int) -> None:
    """Tell an outcome of a prediction; what it was before matters only if it had one. `before`: see `answer_all`."""
    event, prediction = event_at(join, address), prediction_at(join, made)
    if prediction.revision == MOST_REVISIONS:
        return
    told = _next_outcome(join)
    told.row, told.event, told.prediction, told.revision = row, address, made, prediction.revision
    told.former, told.former_value = former if prediction.revision else NONE, former_value
    prediction.revision += 1
    if event.reports != 0:
        held = report_at(join, event.reports)
        told.state, told.value, told.time, told.source = LABELLED, held.value, time_of(held), held.head >> 2
    else:
        told.state, told.value, told.time, told.source = unlabelled(join), join.unlabelled, 0, 0
    told.reports, told.conflicting = count(event), event.flags & CONFLICTING
    told.as_of, told.before = join.as_of, before
