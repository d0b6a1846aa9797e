"""How far the sources of a view are: what follows from their marks for one partition of the view's topic."""

from __future__ import annotations

import numpy as np

from services.enrich import packing
from services.enrich.entries import NEVER, Ints
from services.kit.errors import ContractError


class Sources:
    """The last mark of every source partition.

    Parameters:
        count: number of source partitions; there is no progress before all of them were heard of.
    """

    def __init__(self, count: int) -> None:
        self.next_offset = np.full(count, -1, np.int64)
        self._progress = np.zeros(count, np.int64)
        self._floor = np.zeros(count, np.int64)
        self._idle = np.zeros(count, np.int64)

    def mark(self, source: int, next_offset: int, progress: int, floor: int, idle: bool) -> bool:
        """Take a mark up; False when it is older than the one that is known (a repeat)."""
        if source >= len(self.next_offset):
            raise ContractError(f"a view update of source partition {source}, the events have {len(self.next_offset)}")
        if next_offset < self.next_offset[source]:
            return False
        self.next_offset[source] = next_offset
        self._progress[source], self._floor[source], self._idle[source] = progress, floor, idle
        return True

    def progress(self) -> int | None:
        """The time that all sources have passed, idle ones left out; None while some was never heard of.

        When all are idle there is nobody to wait for: the largest time that any of them reached.
        """
        if np.any(self.next_offset < 0):
            return None
        awake = self._idle == 0
        return int(self._progress[awake].min() if awake.any() else self._progress.max())

    def horizon(self) -> int:
        """Nothing at or before this time is asked for any more, by any source that is awake."""
        if np.any(self.next_offset < 0):
            return NEVER
        awake = self._idle == 0
        return int(self._floor[awake].min() if awake.any() else self._floor.max())

    def columns(self) -> dict[str, packing.Column]:
        """The state as columns."""
        return {
            "next_offset": self.next_offset, "progress": self._progress, "floor": self._floor, "idle": self._idle,
        }  # fmt: skip

    def load(self, columns: dict[str, packing.Column]) -> None:
        """Take over what `columns` gave. Raises ContractError when the number of source partitions changed."""
        if len(columns["next_offset"]) != len(self.next_offset):
            raise ContractError(
                f"state snapshot: of {len(columns['next_offset'])} source partitions, now there are "
                f"{len(self.next_offset)}; windows cannot be moved between partitions, rebuild the state"
            )
        self.next_offset, self._progress, self._floor, self._idle = (
            _copied(columns[name]) for name in ("next_offset", "progress", "floor", "idle")
        )


def _copied(column: packing.Column) -> Ints:
    return column.astype(np.int64)
