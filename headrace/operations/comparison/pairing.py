"""Where two models met: the events that both scored, and what is known to be true of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.scorecards.partial_aggregate import UNREAD
from headrace.operations.comparison.prediction_table import Flags, Floats, Ints, PredictionColumns, Truths


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What is known of some rows; one entry a row.

    Attributes:
        labels: float64; NaN where none holds, or not yet.
        mature: bool: old enough for all its labels to be there, and its outcome is; and it counts.
        fitted: bool: it would be, but one of the two models was fitted on it.
        told: float64, the newest label, mature or not; NaN for none.
        waiting: bool: not old enough yet.
        missing: bool: old enough, and without an outcome.
    """

    labels: Floats
    mature: Flags
    fitted: Flags
    told: Floats
    waiting: Flags
    missing: Flags


@dataclass(frozen=True, slots=True, eq=False)
class Meeting:
    """Rows by event.

    Attributes:
        rows_a, rows_b: int64, row by row the same event.
        own_a, own_b: int64, each event that a model scored, once; of repeats the first.
        horizon: events up to this time are old enough to be judged, milliseconds; None without outcomes, or
            while no labels were read.
        both, first, second: what is known of `rows_a`, `own_a` and `own_b`.
    """

    rows_a: Ints
    rows_b: Ints
    own_a: Ints
    own_b: Ints
    horizon: int | None
    both: Judged
    first: Judged
    second: Judged

    @property
    def paired(self) -> bool:
        """Whether the two scored the same events: most of what the one with fewer scored."""
        return 2 * len(self.rows_a) > min(len(self.own_a), len(self.own_b))


def meet(
    a: PredictionColumns,
    b: PredictionColumns,
    truths: Truths,
    matures_after: int,
    saw: Callable[[Ints], Flags] = lambda times: np.zeros(len(times), np.bool_),
    counts: bool = False,
) -> Meeting:
    """Join by event id.

    Args:
        a, b: what two models answered.
        truths: outcomes.
        matures_after: milliseconds.
        saw: which event times lie within what one of the two was fitted on.
        counts: whether such events count all the same.

    Of several revisions of an event's outcome the newest holds: the one with the latest `as_of`, of those the highest.
    An event is judged once it is `matures_after` older than the labels that were read: before, those that somebody
    complained about would be there alone.
    """
    codes, events = _codes([a.event_ids, b.event_ids, truths.event_ids])
    first_a, first_b = _first(codes[0], events), _first(codes[1], events)
    common = (first_a >= 0) & (first_b >= 0)
    order = np.lexsort((truths.revisions, truths.as_of))
    label, known = np.full(events, np.nan), np.zeros(events, np.bool_)
    label[codes[2][order]] = truths.labels[order]  # of an event's revisions the last one stays
    known[codes[2]] = True
    read = int(truths.as_of.max(initial=UNREAD))
    horizon = read - matures_after if read > UNREAD else None

    def judged(which: Ints, times: Ints) -> Judged:
        old = np.zeros(len(which), np.bool_) if horizon is None else times <= horizon
        there = old & known[which]
        fitted = there & saw(times)
        mature = there if counts else there & ~fitted
        told = label[which]
        return Judged(np.where(mature, told, np.nan), mature, fitted, told, ~old, old & ~there)

    own_a, own_b = first_a[first_a >= 0], first_b[first_b >= 0]
    return Meeting(
        first_a[common],
        first_b[common],
        own_a,
        own_b,
        horizon,
        judged(np.flatnonzero(common), a.times[first_a[common]]),
        judged(np.flatnonzero(first_a >= 0), a.times[own_a]),
        judged(np.flatnonzero(first_b >= 0), b.times[own_b]),
    )


def _codes(columns: list[Any]) -> tuple[list[Ints], int]:
    """(for each column numbers that are equal where strings are, how many different strings there are)."""
    encoded = pa.chunked_array(columns, pa.string()).dictionary_encode().unify_dictionaries()
    parts = [chunk.indices.to_numpy().astype(np.int64) for chunk in encoded.chunks]
    numbers = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    split = np.cumsum([len(column) for column in columns])[:-1]
    return np.split(numbers, split), len(encoded.chunks[0].dictionary) if parts else 0


def _first(codes: Ints, events: int) -> Ints:
    """For each event its first row; -1 for none."""
    found = np.full(events, -1, np.int64)
    found[codes[::-1]] = np.arange(len(codes))[::-1]
    return found
