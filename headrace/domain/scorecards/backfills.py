"""Which events are of a backfill: they wait for those before them, so how long that took says nothing of a live one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BEYOND = 600_000
"""Milliseconds beyond the allowed lateness after which a published event counts as backfilled."""


def backfilled(happened: Ints, ingested: Ints, lateness: int) -> Flags:
    """Which events were published more than `lateness` and ten minutes away from when they happened; all in ms.

    >>> backfilled(np.array([0, 0, 900_000]), np.array([600_001, 600_000, 0]), 0).tolist()
    [True, False, True]
    """
    found: Flags = np.abs(ingested - happened) > lateness + BEYOND
    return found


def latency_of(count: int, published: int) -> tuple[bool, str | None]:
    """Whether latency is that of the backfilled, for there are no others, and what is to be said beside it.

    >>> latency_of(0, 5), latency_of(2, 5), latency_of(5, 5)
    ((False, None), (False, 'without 2 that were backfilled'), (True, 'all 5 were backfilled'))
    """
    only = 0 < count == published
    if not count:
        return only, None
    return only, f"all {count:,} were backfilled" if only else f"without {count:,} that were backfilled"
