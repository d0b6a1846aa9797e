"""How far each of several sources is, for whoever brings their rows into one order that follows from the rows alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import NEVER
from headrace.streaming.watermarks.sources import ALWAYS

Ints = npt.NDArray[np.int64]


class SourceMarks:
    """The last mark of each source: rows below `next_offset` are told, and after them it is at `progress`.

    Rows are given by the progress of their source before each, those of the same progress by source and offset, once no
    source can tell an earlier one: once `bound` is beyond it. A source that is idle is not waited for.

        >>> marks = SourceMarks()
        >>> marks.grow(2)
        >>> marks.take(0, 3, 30, idle=False), marks.bound()
        (-1, None)
        >>> marks.take(1, 2, 20, idle=False), marks.bound()
        (-1, 20)
        >>> marks.take(0, 1, 10, idle=False) is None  # it was told before
        True

    Attributes:
        next_offset: int64 by source; -1 of one that was never heard of.
    """

    def __init__(self) -> None:
        self.next_offset, self._progress, self._idle = (np.empty(0, np.int64) for _ in range(3))

    @property
    def all_awake(self) -> bool:
        """Whether all sources are waited for: then the order of rows does not depend on that of what is taken up."""
        return not self._idle.any()

    @property
    def count(self) -> int:
        """How many sources there are, as far as was told."""
        return len(self.next_offset)

    def grow(self, count: int) -> None:
        """There are so many sources, or more: further ones are waited for from now on."""
        further = max(count - self.count, 0)
        self.next_offset = np.append(self.next_offset, np.full(further, -1))
        self._progress = np.append(self._progress, np.full(further, NEVER))
        self._idle = np.append(self._idle, np.zeros(further, np.int64))

    def take(self, source: int, next_offset: int, progress: int, idle: bool) -> int | None:
        """Take a mark up: the offset below which its rows were told before, or None where all of it was."""
        self.grow(source + 1)
        known = int(self.next_offset[source])
        if next_offset < known:
            return None
        self.next_offset[source], self._progress[source], self._idle[source] = next_offset, progress, idle
        return known

    def bound(self) -> int | None:
        """Rows whose source had come less far before them are all told; ALWAYS where nobody is waited for, None while
        somebody was never heard of.
        """
        awake = self._idle == 0
        if (self.next_offset[awake] < 0).any():
            return None
        return int(self._progress[awake].min()) if awake.any() else ALWAYS

    def furthest(self) -> int:
        """The largest progress that any source told; NEVER of none."""
        return int(self._progress.max(initial=NEVER))

    def columns(self) -> dict[str, packing.Column]:
        """The state as columns."""
        return {"next_offset": self.next_offset, "progress": self._progress, "idle": self._idle}

    def load(self, columns: Mapping[str, packing.Column], now: int) -> None:
        """Take over what `columns` gave.

        Args:
            now: how many sources there are. Raises ContractError when there are fewer than then.
        """
        known = len(columns["next_offset"])
        if known > now:
            raise ContractError(
                f"state snapshot: of {known} source partitions, now there are {now}: the topic was made anew"
            )
        self.next_offset, self._progress, self._idle = (
            columns[name].astype(np.int64) for name in ("next_offset", "progress", "idle")
        )
