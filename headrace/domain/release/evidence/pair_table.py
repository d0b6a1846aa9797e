"""Events whose halves are waited for: rows in their order in, pairs that are known and pairs that are mature out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.columnar.structs import array_of, names_of, span_of
from headrace.domain.release.evidence.event_kernels import place_all, push_all
from headrace.domain.release.evidence.outcome_rows import Ints
from headrace.domain.release.evidence.pair_kernels import walk
from headrace.domain.release.evidence.pair_layout import (
    CROWDED,
    DONE,
    DUE,
    EVENT,
    LANE,
    NOWHERE,
    PAIR,
    PAIR_STEP,
    PLACE,
    TABLE,
    TALLY,
)  # fmt: skip  # sorted as the linter sorts
from headrace.streaming.watermarks.event_time import NEVER

PAIRS = 32
"""Pairs of models at once."""
_ROOM, _LOOKS = 65_536, 1_024
"""Rows and looks of what is told at once; more take another call."""
_LEAST_ROOM = 4_096
_LEAST = 16_384
"""Slots at the beginning."""
_FIELDS = "key", "time", "source", "candidates", "baselines", "taken", "mature"
"""Of an event, in the order of the columns of the state; its label is a column of its own."""
_SAVED = "reached", "boundary", "twice", "disagreed", "crowded", "begun"
"""Numbers that are state; the others follow from the rows."""
_TALLIES = len(names_of(TALLY))
Structs = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What rows lead to, in order.

    Attributes:
        rows: records `pair_layout.PairStep`; until the next ones are asked for.
        answers: float64 [rows, 2 * classes], chances of the candidate and of the champion; none without classes.
        looks: int64, which of these are looks.
        tallies: int64 [looks, pairs, what is counted], as they were then.
        offsets: int64 [looks, partitions], after the newest row that had its turn; 0 of none.
    """

    rows: Structs
    answers: Floats
    looks: Ints
    tallies: Ints
    offsets: Ints


class PairTable:
    """Pairs rows of two models of the same event; a fold of rows in their order, however they are cut.

    Two rows are of the same event where key, event time and partition are the same. A key is 64 bits of a hash, so of
    events of one partition and millisecond two are taken for one with a chance of 2**-64.

    Args:
        every: milliseconds of stream time from one look to the next.
        patience: milliseconds of stream time for which the other half of a mature event is waited for.
        most: events at once; rows of further ones are left out and counted.
        chances: whether scores are chances; a pair with one that is none is left out and counted.
        classes: of the models; 0 where scores are single numbers.
    """

    def __init__(self, every: int, patience: int, most: int, chances: bool, classes: int = 0) -> None:
        self._most = most
        self._width = width = max(classes, 1)
        self._pairs = array_of(PAIR, PAIRS)
        self._pairs["candidate"] = self._pairs["baseline"] = self._pairs["since"] = -1
        self._begins = np.zeros((PAIRS, 1), np.int64)
        self._tallies = array_of(TALLY, PAIRS)
        self._slots = array_of(EVENT, 0)
        self._scores = np.empty((0, width))
        self._heap = array_of(DUE, 0)
        self._ring, self._spare = np.empty(0, np.int64), np.empty(0, np.int64)
        self._places = array_of(PLACE, 0)
        self._offsets = np.zeros(1, np.int64)
        room = max(_ROOM // width, _LEAST_ROOM)
        self._steps, self._lanes = array_of(PAIR_STEP, room), array_of(LANE, 1)
        self._answers = np.zeros((room, 2 * classes) if classes else (0, 0))
        self._looks_at = np.zeros(_LOOKS, np.int64)
        self._tallies_then, self._offsets_then = array_of(TALLY, _LOOKS * PAIRS), np.zeros(_LOOKS, np.int64)
        self._table = array_of(TABLE, 1)
        self._put(every=every, patience=patience, most=most, chances=chances, reached=NEVER, width=width)
        self._resize(min(_LEAST, most))

    def __len__(self) -> int:
        """Events at hand."""
        return self._get("heap_count") + self._get("ring_count")

    @property
    def reached(self) -> int:
        """Stream time: all that happened before it is mature, milliseconds; NEVER at the beginning."""
        return self._get("reached")

    @property
    def counts(self) -> dict[str, int]:
        """Rows of a model that was there, rows whose label is not their event's first, rows that found no room."""
        places = {"repeated": "twice", "disagreed": "disagreed", "crowded": "crowded"}
        return {name: self._get(place) for name, place in places.items()}

    @property
    def tallies(self) -> Ints:
        """What is counted of each pair: int64 [pairs, what is counted]."""
        return self._tallies.view(np.int64).reshape(PAIRS, _TALLIES)

    def watch(self, pair: int, candidate: int, baseline: int, begins: Ints, since: int) -> None:
        """From now on there is a pair of two models, by their numbers.

        Args:
            pair: below `PAIRS`, of none that is watched.
            begins: int64 by partition of outcomes, the offset from which rows count for it.
            since: event time from which events count, milliseconds.
        """
        self._widen(max(candidate, baseline) + 1, len(begins))
        for field in ("candidates", "baselines", "taken"):
            self._slots[field] &= ~np.uint32(1 << pair)
        self._pairs[pair] = candidate, baseline, since
        self._begins[pair] = 0
        self._begins[pair, : len(begins)] = begins
        self._tallies[pair] = 0

    def unwatch(self, pair: int) -> None:
        """It is no more."""
        self._pairs[pair] = -1, -1, -1

    def forget(self, model: int) -> None:
        """No pair is of this model any more, and its number may become another's."""
        width = self._width
        if model < self._models:
            self._scores[:, model * width : (model + 1) * width] = np.nan

    def take(self, parts: Structs, bound: int, until: int) -> Iterator[Steps]:
        """Take rows in whose partition had come less far than `bound` before them, in their order, then let stream time
        go on to `until`; what follows, in order.

        Args:
            parts: records `pair_layout.RowPart`, by partition, those of one in order; what is taken in of each is said
                there. Rows are of models that were named to `watch`; scores finite.
        """
        self._widen(0, int(parts["source"].max(initial=-1)) + 1)
        used = int(np.flatnonzero(self._pairs["candidate"] >= 0).max(initial=-1)) + 1
        self._put(used=used, parts=span_of(parts))
        need = None
        while need != DONE:
            need = walk(self._table[0], bound, until)
            told, looks = self._get("told"), self._get("looks")
            if told:
                tallies = self._tallies_then[: looks * used].view(np.int64).reshape(looks, used, _TALLIES)
                offsets = self._offsets_then[: looks * len(self._offsets)].reshape(looks, len(self._offsets))
                yield Steps(
                    self._steps[:told], self._answers[:told], self._looks_at[:looks].copy(), tallies.copy(),
                    offsets.copy(),
                )  # fmt: skip  # in the order of the fields
            if need == CROWDED:
                self._resize(min(2 * len(self._slots), self._most))

    # ---- room ----------------------------------------------------------------------------------------------------

    def _get(self, name: str) -> int:
        return int(self._table[name][0])

    def _put(self, **values: Any) -> None:
        for name, value in values.items():
            self._table[name] = value

    @property
    def _models(self) -> int:
        return self._scores.shape[1] // self._width

    def _bind(self) -> None:
        """Tell the kernels where everything lies."""
        if len(self._lanes) < len(self._offsets):
            self._lanes = array_of(LANE, len(self._offsets))
            self._offsets_then = np.zeros(_LOOKS * len(self._offsets), np.int64)
        self._put(
            pairs=span_of(self._pairs), begins=span_of(self._begins.reshape(-1)), tallies=span_of(self._tallies),
            lanes=span_of(self._lanes), slots=span_of(self._slots), scores=span_of(self._scores.reshape(-1)),
            places=span_of(self._places), heap=span_of(self._heap), ring=span_of(self._ring),
            spare=span_of(self._spare), offsets=span_of(self._offsets), steps=span_of(self._steps),
            answers=span_of(self._answers.reshape(-1)), looks_at=span_of(self._looks_at),
            tallies_then=span_of(self._tallies_then), offsets_then=span_of(self._offsets_then),
            models=self._models,
        )  # fmt: skip  # a row of names

    def _widen(self, models: int, sources: int) -> None:
        known = self._models
        if models > known:
            further_scores = np.full((len(self._scores), (models - known) * self._width), np.nan)
            self._scores = np.hstack([self._scores, further_scores])
        further = sources - self._begins.shape[1]
        if further > 0:
            self._offsets = np.append(self._offsets, np.zeros(further, np.int64))
            self._begins = np.hstack([self._begins, np.zeros((PAIRS, further), np.int64)])
        if max(models - known, further) > 0:
            self._bind()

    def _resize(self, count: int) -> None:
        """So many slots; those that there are keep their numbers."""
        before = len(self._slots)
        mature, spare = self._in_ring(), self._get("spare_count")
        self._slots = np.append(self._slots, array_of(EVENT, count - before))
        self._scores = np.vstack([self._scores, np.full((count - before, self._scores.shape[1]), np.nan)])
        self._heap = np.append(self._heap, array_of(DUE, count - before))
        self._spare = np.append(self._spare, np.zeros(count - before, np.int64))
        self._spare[spare : spare + count - before] = np.arange(before, count)
        self._ring = np.zeros(count, np.int64)
        self._ring[: len(mature)] = mature
        self._places = array_of(PLACE, 1 << int(2 * count - 1).bit_length())
        self._places["slot"] = NOWHERE
        self._put(spare_count=spare + count - before, ring_at=0)
        self._bind()
        place_all(self._table[0])

    def _in_ring(self) -> Ints:
        """Slots of mature events, in the order in which they became so."""
        first, count = self._get("ring_at"), self._get("ring_count")
        found: Ints = self._ring[(first + np.arange(count)) % max(len(self._ring), 1)]
        return found

    # ---- state ---------------------------------------------------------------------------------------------------

    def columns(self) -> dict[str, packing.Column]:
        """The state as columns; the same for the same rows, however they were cut."""
        mature, waiting = self._in_ring(), self._heap["slot"][: self._get("heap_count")]
        fields = self._slots[waiting]
        order = np.lexsort((fields["key"], fields["source"], fields["time"]))
        live = np.append(mature, waiting[order])
        found: dict[str, packing.Column] = {
            "numbers": np.array([*map(self._get, _SAVED), len(mature)], np.int64),
            "pairs": self._pairs.view(np.int64),
            "begins": self._begins.ravel(),
            "tallies": self.tallies.ravel(),
            "labels": self._slots["label"][live],
            "offsets": self._offsets,
        }
        found |= {f"slots.{at}": self._slots[name][live].astype(np.int64) for at, name in enumerate(_FIELDS)}
        found |= {f"scores.{at}": self._scores[live, at] for at in range(self._scores.shape[1])}
        return found

    def load(self, columns: Mapping[str, packing.Column]) -> None:
        """Take over what `columns` gave, in a table that has taken nothing yet."""
        *numbers, mature = columns["numbers"].astype(np.int64)
        self._put(**dict(zip(_SAVED, numbers, strict=True)))
        self._pairs.view(np.int64)[:] = columns["pairs"]
        self._begins = columns["begins"].astype(np.int64).reshape(PAIRS, -1)
        self._tallies.view(np.int64)[:] = columns["tallies"]
        self._offsets = columns["offsets"].astype(np.int64)
        count = len(columns["labels"])
        self._widen(sum(name.startswith("scores.") for name in columns) // self._width, 0)
        if count > len(self._slots):
            self._resize(count)
        for at, name in enumerate(_FIELDS):
            self._slots[name][:count] = columns[f"slots.{at}"]
        for at in range(self._scores.shape[1]):
            self._scores[:count, at] = columns[f"scores.{at}"]
        self._slots["label"][:count] = columns["labels"]
        self._spare = np.append(np.arange(count, len(self._slots))[::-1], np.zeros(count, np.int64))
        self._ring[:mature] = np.arange(mature)
        self._put(spare_count=len(self._slots) - count, ring_at=0, ring_count=mature)
        self._bind()
        push_all(self._table[0], mature, count)
        place_all(self._table[0])
