"""Losses of a model over event time: sums up to the end of each hour, so that any span of hours is a difference.

Rows are counted by place, and sums are made of the counts at the end of an hour: they are the same however rows were
cut into batches, and in whatever order those of an hour came.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping

import numpy as np

from headrace.columnar.packing import Column
from headrace.domain.drift.allowance import HOUR
from headrace.domain.drift.harm.loss_bets import SUMS
from headrace.domain.drift.harm.loss_reference import NOWHERE
from headrace.domain.drift.reference_bins import Flags, Floats, Ints

KEPT = 31 * 24
"""Hours with rows of which the sums at their end are remembered: outcomes may be so far ahead of predictions, or the
other way about."""


class LossCourse:
    """A fold of rows in the order of how far event time had come.

    Args:
        table: float64, places x columns: what a row of each place adds to each sum.
        groups: further sets of rows that the first `SUMS` columns are summed over, one after the other.

    Attributes:
        settled: event time (ms) before which all rows are in sums that do not change any more; None before the first.
        complete: whether all sums since the first row are remembered.
    """

    def __init__(self, table: Floats, groups: int) -> None:
        self._table = table
        self._counts = np.zeros((1 + groups, len(table)), np.int64)
        self._ends: list[int] = []
        self._sums: list[Floats] = []
        self.settled: int | None = None
        self.complete = True

    def take(self, places: Ints, reached: Ints, members: Flags) -> None:
        """Count rows.

        Args:
            places: int64, `NOWHERE` where a row says nothing.
            reached: int64, event time in milliseconds with each row; never falls.
            members: rows x groups, which of them each row is in.
        """
        hours = reached // HOUR * HOUR
        cuts = np.flatnonzero(np.diff(hours)) + 1
        for low, high in zip([0, *cuts.tolist()], [*cuts.tolist(), len(hours)], strict=True):
            if high > low:
                self._settle(int(hours[low]))
                self._count(places[low:high], members[low:high])

    def _settle(self, hour: int) -> None:
        if self.settled is not None and hour > self.settled:
            self._ends.append(self.settled + HOUR)
            self._sums.append(self.sums())
        self.settled = hour if self.settled is None else max(self.settled, hour)

    def _count(self, places: Ints, members: Flags) -> None:
        width = self._counts.shape[1]
        self._counts[0] += np.bincount(places, minlength=NOWHERE + 1)[:width]
        for group in range(members.shape[1]):
            self._counts[1 + group] += np.bincount(places[members[:, group]], minlength=NOWHERE + 1)[:width]

    def sums(self) -> Floats:
        """Of all rows so far, float64: those of the table's columns, then `SUMS` for each group."""
        whole = _products(self._counts[0], self._table)
        of_groups = [_products(counts, self._table[:, :SUMS]) for counts in self._counts[1:]]
        return np.concatenate([whole, *of_groups])

    @property
    def _width(self) -> int:
        return int(self._table.shape[1]) + SUMS * (len(self._counts) - 1)

    def before(self, time: int) -> Floats | None:
        """Sums of all rows before an event time, the end of an hour that is settled; None where nobody remembers."""
        at = bisect_right(self._ends, time)
        if at:
            return self._sums[at - 1]
        return np.zeros(self._width) if self.complete else None

    def after(self, time: int) -> Iterator[tuple[int, Floats]]:
        """Ends of hours later than an event time, with the sums up to each."""
        at = bisect_right(self._ends, time)
        yield from zip(self._ends[at:], self._sums[at:], strict=True)

    def prune(self) -> None:
        """Forget what is older than the newest `KEPT` hours."""
        if len(self._ends) > KEPT:
            self.complete = False
            del self._ends[:-KEPT], self._sums[:-KEPT]

    def save(self) -> dict[str, Column]:
        """As columns."""
        return {
            "counts": self._counts.ravel(),
            "ends": np.array(self._ends, np.int64),
            "sums": np.array(self._sums, np.float64).reshape(-1, self._width).T.ravel(),
            "settled": np.array([] if self.settled is None else [self.settled], np.int64),
            "complete": np.array([self.complete], np.uint8),
        }

    def load(self, columns: Mapping[str, Column]) -> bool:
        """Take over what `save` gave; False, and nothing happened, where that is of other places or groups."""
        counts, ends, width = columns["counts"], columns["ends"], self._width
        if len(counts) != self._counts.size or len(columns["sums"]) != width * len(ends):
            return False
        self._counts[:] = counts.reshape(self._counts.shape)
        self._ends = [int(end) for end in ends.tolist()]
        self._sums = [*np.ascontiguousarray(columns["sums"].astype(np.float64).reshape(width, len(ends)).T)]
        self.settled = int(columns["settled"][0]) if len(columns["settled"]) else None
        self.complete = bool(columns["complete"][0])
        return True


def _products(counts: Ints, table: Floats) -> Floats:
    """Counts by a table, added up one place after the other: the same bits on every machine."""
    some = np.flatnonzero(counts)
    if not len(some):
        return np.zeros(table.shape[1])
    found: Floats = np.cumsum(counts[some, None] * table[some], axis=0)[-1]
    return found
