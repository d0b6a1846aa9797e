"""How many rows a session takes at once: found by measuring, within a bound on the time of one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
TOLERANCE = 1.05  # a batch within 5% of the best is as good; the smallest such is kinder to caches and latency


@dataclass(frozen=True, slots=True)
class InnerBatch:
    """What tuning found.

    Attributes:
        rows: rows of one call.
        seconds_per_row: at that size.
    """

    rows: int
    seconds_per_row: float

    def rows_within(self, seconds: float) -> int:
        """How many rows can be scored within so many seconds; at least one."""
        return max(1, int(seconds / self.seconds_per_row)) if self.seconds_per_row > 0 else self.rows


def tune(
    run: Callable[[int], object], clock: Callable[[], float], *, budget: float = 0.15, longest_call: float = 0.01
) -> InnerBatch:
    """Measure `run(rows)` at growing sizes and choose the smallest within 5% of the best time per row.

    Args:
        run: scores so many representative rows once.
        clock: seconds, monotonic.
        budget: seconds for the whole measurement, kept but for the call that is under way.
        longest_call: seconds that one call may take; larger sizes are left out, though never all of them.
    """
    run(SIZES[0])  # The first call allocates and warms up; it says nothing about the next.
    end = clock() + budget
    measured: list[InnerBatch] = []
    for place, rows in enumerate(SIZES):
        share = clock() + (end - clock()) / (len(SIZES) - place)
        best = float("inf")
        for _ in range(64):
            start = clock()
            run(rows)
            stop = clock()
            best = min(best, stop - start)
            if stop >= share:
                break
        if measured and (best > longest_call or clock() >= end):
            break
        measured.append(InnerBatch(rows, best / rows))
    least = min(m.seconds_per_row for m in measured)
    return next(m for m in measured if m.seconds_per_row <= least * TOLERANCE)
