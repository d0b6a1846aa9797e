"""How far the sources are, and what follows: which event times have matured, and which blocks are of no use any more.

Three clocks stand beside one another:
- maturity: what happened up to it has had its predictions and labels read. The least, over all source partitions of
  labels and predictions, of the largest time seen there; of an idle one, of when it was last seen at its end.
- the data clocks of labels and of predictions: the least of the largest times seen, whatever the wall clock says. They
  alone decide, while data flows, what is forgotten: somebody may publish a quarter of events in a minute, and their
  labels afterwards.
- the wall clock, as the records tell it: what came `expires_after` ago by it is forgotten in any case.
"""

from __future__ import annotations

from services.kit.avro_memory import compiled, load64, store64
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
)
from services.labels.records import raise_to

_FOREVER = 2**62


@compiled
def mark(r: int, given: int, row: int) -> None:
    """Take up what a record says of its source partition."""
    source = load64(r + SOURCES) + S_SIZE * load64(load64(given + G_PARTITION) + 8 * row)
    progress = load64(load64(given + G_PROGRESS) + 8 * row)
    time = load64(load64(given + G_CLOCKS) + 8 * row)
    raise_to(source + S_HEARD, time)
    if progress > 0:  # 0: no record was seen there yet.
        raise_to(source + S_PROGRESS, progress)
    if load64(load64(given + G_IDLE) + 8 * row):
        raise_to(source + S_IDLE, time)
    else:
        store64(source + S_IDLE, NEVER)
    if load64(load64(given + G_KIND) + 8 * row) < 2:
        _set_clocks(r)


@compiled
def _set_clocks(r: int) -> None:
    labels = load64(r + LABEL_SOURCES)
    reached, at = _reached(r, 0, labels)
    raise_to(r + AS_OF, reached)
    raise_to(r + LABELS_AT, at)
    predicted, at = _reached(r, labels, load64(r + PREDICTION_SOURCES))
    raise_to(r + PREDICTIONS_AT, at)
    raise_to(r + MATURITY, min(reached, predicted))


@compiled
def _reached(r: int, first: int, count: int) -> tuple[int, int]:
    """Of some sources: the time that all have passed, and that their data has (those that never had any left out)."""
    reached, data, some = _FOREVER, _FOREVER, False
    for number in range(first, first + count):
        source = load64(r + SOURCES) + S_SIZE * number
        progress = load64(source + S_PROGRESS)
        if load64(source + S_HEARD) == NEVER:
            return NEVER, NEVER
        reached = min(reached, max(progress, load64(source + S_IDLE)))
        if progress != NEVER:
            some = True
            data = min(data, progress)
    return reached, data if some else NEVER


@compiled
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


@compiled
def advance(r: int) -> bool:
    """Where the wall clock ends a block, maturity moves on past its events first; whether it had to."""
    newest = load64(load64(r + TIMES) + 8 * load64(r + FIRST))
    if newest == NEVER or load64(r + MATURITY) - load64(r + MATURES) >= newest:
        return False
    store64(r + MATURITY, newest + load64(r + MATURES))
    return True
