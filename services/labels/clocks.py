"""How far the sources are, and what follows: which event times have matured, and which blocks are of no use any more.

Three clocks stand beside one another:
- maturity: what happened up to it has had its predictions and labels read. The least, over the source partitions of
  labels and predictions that are awake, of the largest time seen there; when all are idle, the largest time seen
  anywhere. A time far beyond most of the newest ones is not seen before others confirm it (see `timing`): a label known
  today among those of last year moves nothing. Where it was the very first it is taken back: when a source is told to
  be further back than `expires_after`, time begins anew from what all sources say. An idle source holds nothing back,
  and it moves nothing on: events of a backfill lie years behind the wall clock, and the labels of its last days may be
  published an hour after it.
- the data clocks of labels and of predictions: the least of the largest times seen, whatever the wall clock says. They
  alone decide, while data flows, what is forgotten: somebody may publish a quarter of events in a minute, and their
  labels afterwards.
- the wall clock, as the records tell it: what came `expires_after` ago by it is forgotten in any case.
"""

from __future__ import annotations

from services.kit.avro_memory import load64, store64
from services.kit.compiled import kernel
from services.labels.layout import (
    ARRIVALS,
    AS_OF,
    CLOCK,
    EXPIRES,
    FIRST,
    G_CLOCKS,
    G_IDLE,
    G_KIND,
    G_PARTITION,
    G_PROGRESS,
    LABEL_SOURCES,
    LABEL_TIMES,
    LABELS_AT,
    MATURES,
    MATURITY,
    NEVER,
    PREDICTION_SOURCES,
    PREDICTIONS_AT,
    S_HEARD,
    S_IDLE,
    S_PROGRESS,
    S_SIZE,
    SOURCES,
    TAIL,
    TIMES,
    UNSEEN,
)
from services.labels.records import raise_to

_FOREVER = 2**62
EVENTS = 3
"""The kind of records that tell events, see `told.KINDS`."""


@kernel
def mark(r: int, given: int, row: int) -> None:
    """Take up what a record says of its source partition."""
    source = load64(r + SOURCES) + S_SIZE * load64(load64(given + G_PARTITION) + 8 * row)
    progress = load64(load64(given + G_PROGRESS) + 8 * row)
    time = load64(load64(given + G_CLOCKS) + 8 * row)
    raise_to(source + S_HEARD, time)
    if progress != 0 and progress > UNSEEN:
        kind, before = load64(load64(given + G_KIND) + 8 * row), load64(source + S_PROGRESS)
        # What turned out to be no progress is taken back: the first records of a source may have been dated far ahead.
        if kind < 2 and before != NEVER and progress < before - load64(r + EXPIRES):
            for clock in (MATURITY, AS_OF, LABELS_AT, PREDICTIONS_AT):
                store64(r + clock, NEVER)
            store64(source + S_PROGRESS, progress)
        elif kind == EVENTS:
            store64(source + S_PROGRESS, progress)
        else:
            raise_to(source + S_PROGRESS, progress)
    if load64(load64(given + G_IDLE) + 8 * row):
        raise_to(source + S_IDLE, time)
    else:
        store64(source + S_IDLE, NEVER)
    if load64(load64(given + G_KIND) + 8 * row) < 2:
        _set_clocks(r)


@kernel
def _set_clocks(r: int) -> None:
    labels, predictions = load64(r + LABEL_SOURCES), load64(r + PREDICTION_SOURCES)
    awake, least, most = _reached(r, 0, labels)
    raise_to(r + AS_OF, most if awake == _FOREVER else awake)
    raise_to(r + LABELS_AT, least)
    predicted, least, newest = _reached(r, labels, predictions)
    raise_to(r + PREDICTIONS_AT, least)
    all_idle = awake == _FOREVER and predicted == _FOREVER
    raise_to(r + MATURITY, max(most, newest) if all_idle else min(awake, predicted))


@kernel
def _reached(r: int, first: int, count: int) -> tuple[int, int, int]:
    """Of some sources: the least time that those awake have seen, the least and the largest that any has.

    The first is _FOREVER when all are idle, and NEVER before all were heard of; those that never had data have no part
    in the others, which are NEVER without any.
    """
    awake, least, most = _FOREVER, _FOREVER, NEVER
    for number in range(first, first + count):
        source = load64(r + SOURCES) + S_SIZE * number
        progress = load64(source + S_PROGRESS)
        if load64(source + S_HEARD) == NEVER:
            return NEVER, NEVER, NEVER
        if load64(source + S_IDLE) == NEVER:
            awake = min(awake, progress)
        if progress != NEVER:
            least, most = min(least, progress), max(most, progress)
    return awake, least if most != NEVER else NEVER, most


@kernel
def expired(r: int) -> bool:
    """Whether the oldest block may go: no label may count for its events any more, nor find an event for its labels.

    The block that is being filled stays.
    """
    slot = load64(r + FIRST)
    if slot == load64(r + TAIL) or load64(r + TAIL) < 0:
        return False
    expires = load64(r + EXPIRES)
    if load64(r + CLOCK) - expires >= load64(load64(r + ARRIVALS) + 8 * slot):
        return True
    newest = load64(load64(r + TIMES) + 8 * slot)
    if load64(r + LABELS_AT) - expires < newest or load64(r + MATURITY) - load64(r + MATURES) < newest:
        return False
    return load64(r + PREDICTIONS_AT) - expires >= load64(load64(r + LABEL_TIMES) + 8 * slot)


@kernel
def advance(r: int) -> bool:
    """Where the wall clock ends a block, maturity moves on past its events first; whether it had to."""
    newest = load64(load64(r + TIMES) + 8 * load64(r + FIRST))
    if newest == NEVER or load64(r + MATURITY) - load64(r + MATURES) >= newest:
        return False
    store64(r + MATURITY, newest + load64(r + MATURES))
    return True
