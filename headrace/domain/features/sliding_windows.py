"""Sliding event-time windows over the entries of many entities: exact, sorted, compact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headrace.columnar.jit import frozen
from headrace.domain.aggregations.aggregate_function import Numbers
from headrace.domain.aggregations.registry import function_named, scan_number
from headrace.domain.features.window_kernels import fold, fold_and_look, fold_and_scan
from headrace.domain.features.window_pool import (
    BLOCK,
    FIELDS,
    LENGTH,
    RANK,
    START,
    Flags,
    Floats,
    Ints,
    Pool,
    copy_times,
    copy_values,
    evict_all,
    lay_out,
    refresh_all,
)
from headrace.streaming.watermarks.event_time import NEVER

SPARE = 512
"""Least number of free places in a pool after it was laid out anew."""

Scanned = tuple[str, int, float]
"""A function that walks entries, the value column that it is of, and its parameter."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the windows of an entity.

    Attributes:
        durations: window lengths in ms, in any order; answers keep this order.
        delay: ms by which every window ends before the row's time: (t - delay - duration, t - delay].
        lateness: ms by which a row may come after a newer one.
        columns: number of value columns.
        extremes: whether min and max are wanted besides sum and count.
        scans: functions that walk the entries themselves, by name, each with its value column (-1: of events) and its
            parameter.
        limits: the most entries that each window holds, its newest; 0 for all, as for all windows when left out.
    """

    durations: tuple[int, ...]
    delay: int = 0
    lateness: int = 0
    columns: int = 0
    extremes: bool = False
    scans: tuple[Scanned, ...] = ()
    limits: tuple[int, ...] = ()

    @property
    def most(self) -> Ints:
        """The limits as kernels take them, int64, one a window."""
        return np.array(self.limits or (0,) * len(self.durations), np.int64)

    @property
    def slack(self) -> int:
        """Ms behind the watermark after which no acceptable row can ask for an entry."""
        return self.lateness + self.delay + max(self.durations)

    @property
    def scan_numbers(self) -> Ints:
        """The scans as kernels know them, int64 (scans, 2)."""
        return np.array([(scan_number(name), column) for name, column, _ in self.scans], np.int64).reshape(-1, 2)

    @property
    def scan_parameters(self) -> Floats:
        """Their parameters, float64 (scans,)."""
        return np.array([parameter for _, _, parameter in self.scans], np.float64)


@dataclass(frozen=True, slots=True)
class Answers:
    """Windows of a batch of rows.

    Attributes:
        count: int64 (rows, windows); events in the window, whatever their values.
        sums: float64 (rows, windows, columns, 2 or 4): sum and count of the values that are not null (NaN), and with
            extremes min and max (infinite when there is none).
        scanned: float64 (rows, windows, scans); None without scans.
        scans: see `Question`.
    """

    count: Ints
    sums: Floats
    scanned: Floats | None = None
    scans: tuple[Scanned, ...] = ()

    def of(self, function: str, window: int, column: int = -1, parameter: float = 0.0) -> Numbers:
        """One feature, of a value column or (-1) of events: int64, or float64 with NaN where there is none."""
        return function_named(function).finish(_EntriesOfWindow(self, function, window, column, parameter))


@dataclass(frozen=True, slots=True)
class _EntriesOfWindow:
    """See `WindowState`."""

    answers: Answers
    function: str
    window: int
    column: int
    parameter: float

    @property
    def events(self) -> Ints:
        if self.column >= 0:
            return self.known.astype(np.int64)
        return self.answers.count[:, self.window]

    @property
    def total(self) -> Floats:
        return self._kind(0)

    @property
    def known(self) -> Floats:
        return self._kind(1)

    @property
    def least(self) -> Floats:
        return self._kind(2)

    @property
    def most(self) -> Floats:
        return self._kind(3)

    @property
    def scanned(self) -> Floats:
        assert self.answers.scanned is not None, f"{self.function} is among the question's scans"
        place = self.answers.scans.index((self.function, self.column, self.parameter))
        found: Floats = self.answers.scanned[:, self.window, place]
        return found

    def _kind(self, at: int) -> Floats:
        found: Floats = self.answers.sums[:, self.window, self.column, at]
        return found


class Windows:
    """Entries of many entities, each a dense slot number that the caller gives (see `index.EntityIndex`).

    A row is folded first and answered then, so its windows hold the row itself (without delay) and every row folded
    before. Answers depend on the rows and their order alone, bit for bit: not on batch boundaries, evictions, nor on a
    snapshot taken and restored in between. An entry costs 8 bytes and 8 for each value column, plus up to a third.

    Parameters:
        question: which windows.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.watermark = NEVER
        durations, limits = np.asarray(question.durations, np.int64), question.most
        order = np.lexsort((durations, limits))  # those without a limit first, short to long
        self._durations, self._limits = durations[order], limits[order]
        self._back = None if np.array_equal(order, np.arange(len(order))) else np.argsort(order)
        self._kinds = 4 if question.extremes else 2
        self._scans, self._parameters = question.scan_numbers, question.scan_parameters
        self._pool = self._empty(SPARE, np.zeros((16, FIELDS), np.int64))
        self._cursor = np.zeros(1, np.int64)
        self._used = 0

    def fold_and_answer(
        self, slots: Ints, times: Ints, values: Floats, folded: Flags | None = None, watermarks: Ints | None = None
    ) -> Answers:
        """Fold rows in order, answering each as of its own time.

        Rows that are not `folded` are answered from what is known, looking no further back than
        watermark - lateness - delay - longest window, where entries may be gone. `watermarks` are those that hold for
        each row, and never fall; left out, they are the largest times folded.
        """
        rows = len(slots)
        count = np.zeros((rows, len(self._durations)), np.int64)
        sums = np.zeros((rows, len(self._durations), self.question.columns, self._kinds), np.float64)
        scanned = np.zeros((rows, len(self._durations), len(self._scans)), np.float64)
        if folded is None:
            folded = np.ones(rows, np.bool_)
        if watermarks is None:
            reached = np.maximum.accumulate(np.append(self.watermark, np.where(folded, times, NEVER)))
            watermarks = reached[1:]
        self.reach(slots)
        row, question, times, watermarks = 0, self.question, frozen(times), frozen(watermarks)
        answer: Callable[..., tuple[int, int]] = fold_and_scan if question.scans else fold_and_look
        walked = (self._scans, self._parameters, scanned) if question.scans else ()
        while True:
            row, self.watermark = answer(
                *self._pool, self._cursor, slots, times, values, folded, row,
                watermarks, self.watermark, question.slack, self._durations, self._limits, question.delay,
                count, sums, *walked,
            )  # fmt: skip  # as the kernels have it
            if row == rows:
                break
            self._make_room(self.watermark - question.slack)
        if self._back is not None:
            count, sums, scanned = count[:, self._back], sums[:, self._back], scanned[:, self._back]
        return Answers(count, sums, scanned, question.scans)

    def fold(self, slots: Ints, times: Ints, values: Floats, horizons: Ints) -> None:
        """Fold rows without asking; at each, entries at or before its horizon may be evicted.

        Horizons never fall, neither from row to row nor from call to call: what they passed may be gone. Who must let
        one fall calls `sweep` before, and what is held stays a fold of the rows, ranks and all.
        """
        self.reach(slots)
        if len(times):
            self.watermark = max(self.watermark, int(times.max()))
        row, times, horizons = 0, frozen(times), frozen(horizons)
        while (row := fold(*self._pool, self._cursor, slots, times, values, row, horizons)) < len(slots):
            self._make_room(int(horizons[row]))

    def sweep(self, horizon: int | None = None) -> Ints:
        """Evict everywhere; returns the slots that hold nothing now and may be given to other entities."""
        live = evict_all(self._pool.times, self._pool.spans, self._used, self._horizon(horizon))
        if len(self._pool.times) > live + live // 2 + 2 * SPARE:
            self._lay_out()
        return np.flatnonzero(self._pool.spans[: self._used, LENGTH] == 0)

    def lengths(self) -> Ints:
        """Live entries of each slot."""
        return self._pool.spans[: self._used, LENGTH]

    def columns(self, slots: Ints) -> tuple[Ints, Ints, Floats]:
        """Lengths, times and values of the live entries of the named slots, one slot after another."""
        length = self._pool.spans[slots, LENGTH]
        first = np.cumsum(length) - length
        times = np.empty(int(length.sum()), np.int64)
        values = np.empty((len(times), self.question.columns), np.float64)
        start = self._pool.spans[slots, START]
        copy_times(self._pool.times, times, start, first, length)
        copy_values(self._pool.values, values, start, first, length)
        return length, times, values

    def ranks(self, slots: Ints) -> Ints:
        """Rank of the first live entry of each slot; part of the state, for sums are grouped by rank."""
        ranks: Ints = self._pool.spans[slots, RANK]
        return ranks

    def load(self, length: Ints, rank: Ints, times: Ints, values: Floats, watermark: int) -> None:
        """Take over entries as `columns` gave them, for slots 0, 1, ...; nothing may be held yet."""
        self.watermark = watermark
        self._used = len(length)
        spans = np.zeros((max(self._used, 16), FIELDS), np.int64)
        spans[: self._used, START] = np.cumsum(length) - length
        spans[: self._used, LENGTH] = length
        spans[: self._used, RANK] = rank
        self._pool = self._empty(0, spans)._replace(times=times, values=values)
        self._lay_out()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, slack included."""
        return sum(array.nbytes for array in self._pool)

    def _horizon(self, horizon: int | None) -> int:
        return self.watermark - self.question.slack if horizon is None else horizon

    def _empty(self, places: int, spans: Ints) -> Pool:
        columns = self.question.columns
        blocks = np.empty((places // BLOCK + 1, 2, columns, self._kinds))
        return Pool(np.empty(places, np.int64), np.empty((places, columns)), blocks, spans)

    def reach(self, slots: Ints) -> None:
        """Know every slot named, with or without entries."""
        if not len(slots):
            return
        self._used = max(self._used, int(slots.max()) + 1)
        spans = self._pool.spans
        if self._used > len(spans):
            more = np.zeros((self._used + self._used // 4 - len(spans), FIELDS), np.int64)
            self._pool = self._pool._replace(spans=np.concatenate([spans, more]))

    def _make_room(self, horizon: int) -> None:
        evict_all(self._pool.times, self._pool.spans, self._used, horizon)
        self._lay_out()

    def _lay_out(self) -> None:
        """Move all regions into a new pool with room to grow; one column at a time, to bound the peak."""
        used, old = self._used, self._pool
        spans = np.zeros_like(old.spans)
        taken = lay_out(old.spans, used, spans)
        places = taken + (taken >> 3) + SPARE
        runs = old.spans[:used, START], spans[:used, START], spans[:used, LENGTH]
        times = np.empty(places, np.int64)
        copy_times(old.times, times, *runs)
        self._pool = old = old._replace(times=times)
        values = np.empty((places, self.question.columns))
        copy_values(old.values, values, *runs)
        blocks = np.empty((places // BLOCK + 1, 2, self.question.columns, self._kinds))
        self._pool = Pool(times, values, blocks, spans)
        self._cursor[0] = taken
        refresh_all(values, blocks, spans, used)
