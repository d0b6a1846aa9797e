"""How far the sources of a topic are: what follows from their marks for whoever reads one partition of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import NEVER, Flags, Ints

ALWAYS = 2**62
"""A time after all times."""
COLUMNS = ("next_offset", "progress", "floor", "idle", "time", "heard")
_FORMERLY = COLUMNS[:-1]
"""Columns of a version that did not know of those that are awake beside idle ones."""


class Sources:
    """The last mark of every source partition.

    An idle source's floor says nothing about what will come, so entries are given up without asking it, but late: only
    once every idle source was seen at its end `idle_after` after the records were written on which the others' floors
    stood. What was published with those records is told by then, and its source has a say again.

    Parameters:
        count: number of source partitions.
        idle_after: milliseconds; what a publisher's partitions may drift apart.
    """

    def __init__(self, count: int, idle_after: int) -> None:
        self.next_offset = np.full(count, -1, np.int64)
        self._progress = np.full(count, NEVER, np.int64)
        self._floor = np.full(count, NEVER, np.int64)
        self._idle = np.zeros(count, np.int64)
        self._time = np.full(count, NEVER, np.int64)
        self._heard = np.zeros(count, np.int64)
        self._idle_after = idle_after
        self._horizon = self._next_horizon = self._next_since = self._newest = NEVER

    def mark(
        self, source: int, next_offset: int, progress: int, floor: int, idle: int, time: int, heard: int = 0
    ) -> bool:
        """Take a mark up; False when it is older than the one that is known (a repeat)."""
        if source >= len(self.next_offset):
            raise ContractError(f"a view update of source partition {source}, the events have {len(self.next_offset)}")
        if next_offset < self.next_offset[source]:
            return False
        self.next_offset[source] = next_offset
        self._progress[source], self._floor[source] = progress, floor
        self._idle[source], self._time[source], self._heard[source] = idle, time, heard
        if not idle:
            self._newest = max(self._newest, time)
        self._move_horizon()
        return True

    def take(self, columns: pa.RecordBatch, fresh: Flags) -> tuple[Ints, Ints]:
        """Take up the marks of view updates, in order; for each the offset from which its entries are new, and the
        horizon once it was taken up.

        Those that are not `fresh` were taken up before.
        """
        source = columns.column("source_partition").to_numpy()
        next_offset, progress, floor, time, heard = (
            columns.column(name).cast(pa.int64()).to_numpy()
            for name in ("next_offset", "progress", "floor", "time", "heard")
        )
        idle = columns.column("idle").to_numpy(zero_copy_only=False)
        told = np.full(len(source), np.iinfo(np.int64).max)
        horizons = np.full(len(source), self._horizon)
        for at in np.flatnonzero(fresh).tolist():
            before = int(self.next_offset[source[at]]) if source[at] < len(self.next_offset) else 0
            if self.mark(*(int(column[at]) for column in (source, next_offset, progress, floor, idle, time, heard))):
                told[at] = before
                horizons[at:] = self._horizon
        return told, horizons

    def progress(self) -> tuple[Ints, Ints, Ints]:
        """Of every source the event time that it reached, when it was last seen at its end (ALWAYS: not idle), and the
        offset below which all its records are told.

        A source that was never heard of counts as one that has reached nothing.
        """
        return self._progress, np.where(self._idle, self._time, ALWAYS), self.next_offset

    def told(self) -> tuple[int, int, int, int]:
        """What all sources have told, where each is joined from others (`exchange`) and speaks for these.

        The time up to which all was told by those that are not idle; when idle ones were last seen at their end
        (ALWAYS: none is idle); and up to when by the clock all was told that could be read then: a source that is
        awake was heard of then at the latest, however old what it tells may be, and so were those that are awake of
        an idle one. At last the time up to which all was told by all, idle or not: their floor.
        """
        seen = np.where(self._idle, self._time, ALWAYS)
        heard = np.where(self._idle, np.where(self._heard, self._heard, ALWAYS), self._time)
        alive = np.minimum(np.maximum(self._progress, heard), seen)
        return int(self._progress.min()), int(seen.min()), int(alive.min()), int(self._floor.min())

    def horizon(self) -> int:
        """Nothing at or before this time is asked for any more."""
        return self._horizon

    def _move_horizon(self) -> None:
        if self.next_offset.min() < 0:
            return
        awake = self._idle == 0
        floor = int(self._floor[awake].min() if awake.any() else self._floor.max())
        if awake.all():
            self._horizon = self._next_horizon = floor
            self._next_since = self._newest
        elif int(self._time[~awake].min()) >= self._next_since + self._idle_after:
            # A source that woke up meanwhile may ask for more than those that were awake then.
            self._horizon = min(self._next_horizon, floor)
            self._next_horizon, self._next_since = floor, self._newest

    def columns(self) -> dict[str, packing.Column]:
        """The state as columns."""
        marks = (self.next_offset, self._progress, self._floor, self._idle, self._time, self._heard)
        horizons = np.array([self._horizon, self._next_horizon, self._next_since, self._newest])
        return dict(zip(COLUMNS, marks, strict=True)) | {"horizon": horizons}

    def load(self, columns: dict[str, packing.Column]) -> None:
        """Take over what `columns` gave; of source partitions that were added since, nothing was heard.

        Raises ContractError when there are fewer than then.
        """
        marks = (self.next_offset, self._progress, self._floor, self._idle, self._time, self._heard)
        names = COLUMNS if "heard" in columns else _FORMERLY
        take_over(dict(zip(names, marks, strict=False)), columns)
        horizons = (int(number) for number in columns["horizon"])
        self._horizon, self._next_horizon, self._next_since, self._newest = horizons


def take_over(marks: Mapping[str, Ints], columns: Mapping[str, packing.Column]) -> None:
    """Write what was known of each source over marks that know nothing yet; of added sources nothing was heard.

    Args:
        marks: by name, `next_offset` among them, each of as many sources as there are now; changed.
        columns: by the same names, of as many as there were.

    Raises ContractError when there are fewer than then.
    """
    known, now = len(columns["next_offset"]), len(marks["next_offset"])
    if known > now:
        raise ContractError(
            f"state snapshot: of {known} source partitions, now there are {now}: the topic was made anew"
        )
    for name, mark in marks.items():
        mark[:known] = columns[name]
