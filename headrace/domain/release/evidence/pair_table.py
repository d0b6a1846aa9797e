"""Events whose halves are waited for: rows in their order in, pairs that are known and pairs that are mature out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.columnar import packing
from headrace.domain.release.evidence import pair_kernels as kernels
from headrace.domain.release.evidence.outcome_rows import Floats, Ints, OutcomeRows
from headrace.streaming.watermarks.event_time import NEVER

PAIRS = 32
"""Pairs of models at once."""
_ROOM, _LOOKS = 65_536, 1_024
"""Rows and looks of what is told at once; more take another call."""
_LEAST = 16_384
"""Slots at the beginning."""
_WALK: Any = kernels.walk


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What rows lead to, in order.

    Attributes:
        pair: int64: number of the pair, or `pair_kernels.LOOK`.
        time: int64, event time; of a look that which stream time reached, milliseconds.
        candidate, baseline: float64, scores.
        label: float64; NaN: the pair is known and its label is not told yet.
        looks: int64, which of these are looks.
        tallies: int64 [looks, pairs, what is counted], as they were then.
        offsets: int64 [looks, partitions], after the newest row that had its turn; 0 of none.
    """

    pair: Ints
    time: Ints
    candidate: Floats
    baseline: Floats
    label: Floats
    looks: Ints
    tallies: Ints
    offsets: Ints


SAVED = [
    kernels.REACHED, kernels.BOUNDARY, kernels.TWICE, kernels.DISAGREED, kernels.CROWDED, kernels.LOOKS_BEGUN,
]  # fmt: skip  # a row of names
"""Places of the numbers that are state; the others follow from the rows."""


class PairTable:
    """Pairs rows of two models of the same event; a fold of rows in their order, however they are cut.

    Two rows are of the same event where key, event time and partition are the same. A key is 64 bits of a hash, so of
    events of one partition and millisecond two are taken for one with a chance of 2**-64.

    Args:
        every: milliseconds of stream time from one look to the next.
        patience: milliseconds of stream time for which the other half of a mature event is waited for.
        most: events at once; rows of further ones are left out and counted.
        chances: whether scores are chances; a pair with one that is none is left out and counted.
    """

    def __init__(self, every: int, patience: int, most: int, chances: bool) -> None:
        self._every, self._patience, self._most, self._chances = every, patience, most, chances
        self._pairs = np.full((PAIRS, 3), -1, np.int64)
        self._begins = np.zeros((PAIRS, 1), np.int64)
        self.tallies = np.zeros((PAIRS, kernels.TALLIES), np.int64)
        self._numbers = np.zeros(kernels.NUMBERS, np.int64)
        self._numbers[kernels.REACHED] = NEVER
        self._slots = np.zeros((0, kernels.FIELDS), np.int64)
        self._scores, self._labels = np.empty((0, 1)), np.empty(0)
        self._heap, self._ring, self._spare = (np.empty(0, np.int64) for _ in range(3))
        self._table = np.empty((0, 2), np.int64)
        self._offsets = np.zeros(1, np.int64)
        self._ops, self._values = np.empty((_ROOM, 2), np.int64), np.empty((_ROOM, 3))
        self._resize(min(_LEAST, most))

    def __len__(self) -> int:
        """Events at hand."""
        return int(self._numbers[kernels.HEAP] + self._numbers[kernels.RING])

    @property
    def reached(self) -> int:
        """Stream time: all that happened before it is mature, milliseconds; NEVER at the beginning."""
        return int(self._numbers[kernels.REACHED])

    @property
    def counts(self) -> dict[str, int]:
        """Rows of a model that was there, rows whose label is not their event's first, rows that found no room."""
        places = {"repeated": kernels.TWICE, "disagreed": kernels.DISAGREED, "crowded": kernels.CROWDED}
        return {name: int(self._numbers[place]) for name, place in places.items()}

    def watch(self, pair: int, candidate: int, baseline: int, begins: Ints, since: int) -> None:
        """From now on there is a pair of two models, by their numbers.

        Args:
            pair: below `PAIRS`, of none that is watched.
            begins: int64 by partition of outcomes, the offset from which rows count for it.
            since: event time from which events count, milliseconds.
        """
        self._widen(max(candidate, baseline) + 1, len(begins))
        self._slots[:, kernels.CANDIDATES : kernels.TAKEN + 1] &= ~np.int64(1 << pair)
        self._pairs[pair] = candidate, baseline, since
        self._begins[pair] = 0
        self._begins[pair, : len(begins)] = begins
        self.tallies[pair] = 0

    def unwatch(self, pair: int) -> None:
        """It is no more."""
        self._pairs[pair] = -1

    def forget(self, model: int) -> None:
        """No pair is of this model any more, and its number may become another's."""
        if model < self._scores.shape[1]:
            self._scores[:, model] = np.nan

    def take(self, rows: OutcomeRows, order: Ints, bound: int) -> Iterator[Steps]:
        """Take rows in, in an order, then let stream time go on to `bound`; what follows, in order.

        Args:
            rows: of models that were named to `watch`; scores finite.
            order: int64, of each turn the row.
        """
        self._widen(0, int(rows.source.max(initial=-1)) + 1)
        self._make_room(len(rows))
        given: Any = [np.ascontiguousarray(column) for column in rows.columns().values()]
        self._numbers[kernels.ROW] = 0
        used = int(np.flatnonzero(self._pairs[:, kernels.CANDIDATE] >= 0).max(initial=-1)) + 1
        pairs, begins, tallies = self._pairs[:used], self._begins[:used], self.tallies[:used]
        look_tallies = np.empty((_LOOKS, used, kernels.TALLIES), np.int64)
        look_offsets = np.empty((_LOOKS, len(self._offsets)), np.int64)
        done, walk = False, _WALK
        while not done:
            self._numbers[[kernels.OPS, kernels.LOOKS]] = 0
            done = walk(
                pairs, begins, tallies, self._table, self._slots, self._scores, self._labels, self._heap, self._ring,
                self._spare, self._numbers, self._offsets, self._ops, self._values, look_tallies, look_offsets, *given,
                order, bound, self._every, self._patience, self._chances,
            )  # fmt: skip  # the pairs, the table, what is told, the rows, the question
            count = int(self._numbers[kernels.OPS])
            if count:
                told, looks = self._ops[:count, kernels.OP_PAIR].copy(), int(self._numbers[kernels.LOOKS])
                at = np.flatnonzero(told == kernels.LOOK)
                candidate, baseline, label = np.ascontiguousarray(self._values[:count].T)
                times = self._ops[:count, kernels.OP_TIME].copy()
                then = look_tallies[:looks].copy(), look_offsets[:looks].copy()
                yield Steps(told, times, candidate, baseline, label, at, *then)

    # ---- room ----------------------------------------------------------------------------------------------------

    def _widen(self, models: int, sources: int) -> None:
        further = models - self._scores.shape[1]
        if further > 0:
            self._scores = np.hstack([self._scores, np.full((len(self._scores), further), np.nan)])
        further = sources - self._begins.shape[1]
        if further > 0:
            self._offsets = np.append(self._offsets, np.zeros(further, np.int64))
            self._begins = np.hstack([self._begins, np.zeros((PAIRS, further), np.int64)])

    def _make_room(self, rows: int) -> None:
        wanted = min(len(self) + rows, self._most)
        if wanted > len(self._slots):
            self._resize(min(max(2 * len(self._slots), wanted), self._most))

    def _resize(self, count: int) -> None:
        """So many slots; those that there are keep their numbers."""
        before = len(self._slots)
        mature = self._in_ring()
        self._slots = np.vstack([self._slots, np.zeros((count - before, kernels.FIELDS), np.int64)])
        self._scores = np.vstack([self._scores, np.full((count - before, self._scores.shape[1]), np.nan)])
        self._labels = np.append(self._labels, np.zeros(count - before))
        self._heap, self._spare = (
            np.append(each, np.zeros(count - before, np.int64)) for each in (self._heap, self._spare)
        )
        spare = int(self._numbers[kernels.SPARE])
        self._spare[spare : spare + count - before] = np.arange(before, count)
        self._numbers[kernels.SPARE] = spare + count - before
        self._ring = np.zeros(count, np.int64)
        self._ring[: len(mature)] = mature
        self._numbers[kernels.RING_AT] = 0
        self._table = np.full((1 << int(2 * count - 1).bit_length(), 2), kernels.FREE, np.int64)
        kernels.place_all(self._table, self._slots, np.append(mature, self._in_heap()))

    def _in_ring(self) -> Ints:
        """Slots of mature events, in the order in which they became so."""
        first, count = self._numbers[kernels.RING_AT], self._numbers[kernels.RING]
        found: Ints = self._ring[(first + np.arange(count)) % max(len(self._ring), 1)]
        return found

    def _in_heap(self) -> Ints:
        return self._heap[: self._numbers[kernels.HEAP]].copy()

    # ---- state ---------------------------------------------------------------------------------------------------

    def columns(self) -> dict[str, packing.Column]:
        """The state as columns; the same for the same rows, however they were cut."""
        mature, waiting = self._in_ring(), self._in_heap()
        fields = self._slots[waiting]
        order = np.lexsort((fields[:, kernels.KEY], fields[:, kernels.SOURCE], fields[:, kernels.TIME]))
        live = np.append(mature, waiting[order])
        found: dict[str, packing.Column] = {
            "numbers": np.append(self._numbers[SAVED], len(mature)),
            "pairs": self._pairs.ravel(),
            "begins": self._begins.ravel(),
            "tallies": self.tallies.ravel(),
            "labels": self._labels[live],
            "offsets": self._offsets,
        }
        found |= {f"slots.{at}": self._slots[live, at] for at in range(kernels.FIELDS)}
        found |= {f"scores.{at}": self._scores[live, at] for at in range(self._scores.shape[1])}
        return found

    def load(self, columns: Mapping[str, packing.Column]) -> None:
        """Take over what `columns` gave, in a table that has taken nothing yet."""
        *numbers, mature = columns["numbers"].astype(np.int64)
        self._numbers[SAVED] = numbers
        self._pairs = columns["pairs"].astype(np.int64).reshape(PAIRS, -1)
        self._begins = columns["begins"].astype(np.int64).reshape(PAIRS, -1)
        self.tallies = columns["tallies"].astype(np.int64).reshape(PAIRS, -1)
        self._offsets = columns["offsets"].astype(np.int64)
        count = len(columns["labels"])
        self._widen(sum(name.startswith("scores.") for name in columns), 0)
        if count > len(self._slots):
            self._resize(count)
        for at in range(kernels.FIELDS):
            self._slots[:count, at] = columns[f"slots.{at}"]
        for at in range(self._scores.shape[1]):
            self._scores[:count, at] = columns[f"scores.{at}"]
        self._labels[:count] = columns["labels"]
        self._spare = np.append(np.arange(count, len(self._slots))[::-1], np.zeros(count, np.int64))
        self._numbers[kernels.SPARE] = len(self._slots) - count
        self._ring[:mature] = np.arange(mature)
        self._numbers[[kernels.RING_AT, kernels.RING]] = 0, mature
        kernels.place_all(self._table, self._slots, np.arange(count))
        kernels.push_all(self._heap, self._numbers, self._slots, np.arange(mature, count))
