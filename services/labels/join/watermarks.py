"""How far the sources are, and what follows: which event times have matured, and which blocks are of no use any more.

Three clocks stand beside one another:
- maturity: what happened up to it has had its predictions and labels read. The least, over the source partitions of
  labels and predictions that are awake, of the largest time seen there; when all are idle, the largest time seen
  anywhere. A time far beyond most of the newest ones is not seen before others confirm it (see `timing`): a label known
  today among those of last year moves nothing. Where it was the very first it is taken back: when a source is told to
  be further back than `expires_after`, time begins anew from what all sources say. An idle source moves nothing on:
  events of a backfill lie years behind the wall clock, and the labels of its last days may be published an hour after
  it. It holds back only what was sent on since it is known to be at its end: of a day that is published at once the
  first partition is read while records of the others, which were idle before, wait. So time goes as far as the awake
  ones say once every idle one is proven complete up to when the newest record was sent on that says so
  (`headrace.streaming.watermarks.proofs`). No mark is waited for that is not repeated anyway.
- the data clocks of labels and of predictions: the least of the largest times seen, whatever the wall clock says. They
  alone decide, while data flows, what is forgotten: somebody may publish a quarter of events in a minute, and their
  labels afterwards.
- the wall clock, as the records tell it: what came `expires_after` ago by it is forgotten in any case.
"""

from __future__ import annotations

from headrace.columnar.jit import kernel
from headrace.columnar.structs import I8, at
from headrace.streaming.watermarks.proofs import ALL, NOTED, PROOF, moves, prove
from services.labels.join.arena import block_at
from services.labels.join.layout import ADDED, NEVER, SOURCE, UNSEEN, Memory, Records, SourceMark

_prove, _moves = kernel(prove), kernel(moves)
_FOREVER = 2**62
EVENTS = 3
"""The kind of records that tell events, see `exchange_batch.KINDS`."""


@kernel
def mark(join: Memory, told: Records, row: int) -> None:
    """Take up what a record says of its source partition."""
    source = _source(join, at(told.partitions, row, I8))
    progress = at(told.progress, row, I8)
    time = at(told.clocks, row, I8)
    kind = at(told.kinds, row, I8)
    source.heard = max(source.heard, time)
    if progress != 0 and progress > UNSEEN:
        before = source.progress
        # What turned out to be no progress is taken back: the first records of a source may have been dated far ahead.
        if kind < 2 and before != NEVER and progress < before - join.expires:
            join.maturity = join.as_of = join.labels_at = join.predictions_at = NEVER
            join.next_maturity = join.next_as_of = join.next_written = NEVER
            source.progress = progress
        elif kind == EVENTS:
            source.progress = progress
        else:
            source.progress = max(before, progress)
    idle = at(told.idle, row, I8) != 0
    source.idle = max(source.idle, time) if idle else NEVER
    if kind < 2:
        _prove(at(join.proofs, at(told.partitions, row, I8), PROOF), idle, time)
        _set_clocks(join)


@kernel
def _source(join: Memory, number: int) -> SourceMark:
    return at(join.sources, number, SOURCE)


@kernel
def _set_clocks(join: Memory) -> None:
    labels, predictions = join.label_sources, join.prediction_sources
    awake, least, most = _reached(join, 0, labels)
    as_of = most if awake == _FOREVER else awake
    join.labels_at = max(join.labels_at, least)
    predicted, least, newest = _reached(join, labels, predictions)
    join.predictions_at = max(join.predictions_at, least)
    all_idle = awake == _FOREVER and predicted == _FOREVER
    maturity = max(most, newest) if all_idle else min(awake, predicted)
    written, proven = _proven(join, labels + predictions)
    join.next_written = min(join.next_written, written)
    what = _moves(join.next_written, written, proven)
    if what == ALL:
        _move(join, maturity, as_of)
        join.next_written = NEVER
    elif what == NOTED:
        # A source that woke up meanwhile may be further back than those that were awake then.
        _move(join, min(join.next_maturity, maturity), min(join.next_as_of, as_of))
        join.next_maturity, join.next_as_of, join.next_written = maturity, as_of, written


@kernel
def _move(join: Memory, maturity: int, as_of: int) -> None:
    join.maturity = max(join.maturity, maturity)
    join.as_of = max(join.as_of, as_of)


@kernel
def _proven(join: Memory, sources: int) -> tuple[int, int]:
    """When the newest record was sent on, and up to when all idle sources are complete: _FOREVER when none is idle."""
    written, proven = NEVER, _FOREVER
    for number in range(sources):
        proof = at(join.proofs, number, PROOF)
        written = max(written, proof.written)
        if _source(join, number).idle != NEVER:
            proven = min(proven, proof.until)
    return written, proven


@kernel
def _reached(join: Memory, first: int, count: int) -> tuple[int, int, int]:
    """Of some sources: the least time that those awake have seen, the least and the largest that any has.

    The first is _FOREVER when all are idle, and NEVER before all were heard of, but for those that were added later;
    those that never had data have no part in the others, which are NEVER without any.
    """
    awake, least, most = _FOREVER, _FOREVER, NEVER
    for number in range(first, first + count):
        source = _source(join, number)
        progress = source.progress
        if source.heard == NEVER:
            return NEVER, NEVER, NEVER
        if source.heard == ADDED:
            continue
        if source.idle == NEVER:
            awake = min(awake, progress)
        if progress != NEVER:
            least, most = min(least, progress), max(most, progress)
    return awake, least if most != NEVER else NEVER, most


@kernel
def expired(join: Memory) -> bool:
    """Whether the oldest block may go: no label may count for its events any more, nor find an event for its labels.

    The block that is being filled stays.
    """
    if join.first == join.tail or join.tail < 0:
        return False
    block = block_at(join, join.first)
    if join.clock - join.expires >= block.newest_arrival:
        return True
    newest = block.newest_event
    if join.labels_at - join.expires < newest or join.maturity - join.matures < newest:
        return False
    return join.predictions_at - join.expires >= block.newest_label


@kernel
def advance(join: Memory) -> bool:
    """Where the wall clock ends a block, maturity moves on past its events first; whether it had to."""
    newest = block_at(join, join.first).newest_event
    if newest == NEVER or join.maturity - join.matures >= newest:
        return False
    join.maturity = newest + join.matures
    return True
