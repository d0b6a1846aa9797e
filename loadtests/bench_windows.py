"""Nanoseconds per event of the pure code below enrich and views: sliding windows, the index, the hash of keys.

    python -m loadtests.bench_windows [ROWS]

Transactions are made up, of entities in four partitions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from time import process_time

import numpy as np
import pyarrow as pa

from headrace.columnar.key_index import EntityIndex
from headrace.columnar.partitioner import keys_of, partitions_of
from headrace.domain.features.sliding_windows import Question, Windows

DAY = 86_400_000
ROWS = 400_000
BATCH = 4_096


def timed(label: str, rows: int, work: Callable[[int, int], object]) -> None:
    """Run `work(start, stop)` batch by batch and say what a row cost; the first batch compiles and is not counted."""
    work(0, BATCH)
    begin = process_time()
    for start in range(BATCH, rows, BATCH):
        work(start, min(start + BATCH, rows))
    print(f"{label:<44}{(process_time() - begin) / (rows - BATCH) * 1e9:>8.0f} ns/event")


def windows(rows: int, entities: int, late: float, columns: int, label: str) -> None:
    """Three windows, count and mean."""
    random = np.random.default_rng(1)
    times = np.sort(random.integers(0, 183 * DAY, rows))
    delayed = times + np.where(random.random(rows) < late, random.integers(0, 600_000, rows), 0)
    times = times[np.argsort(delayed, kind="stable")]
    folded = np.maximum.accumulate(times) - times <= 600_000
    slots = random.integers(0, entities, rows)
    values = np.round(random.gamma(2, 30, (rows, columns)), 2)
    store = Windows(Question((DAY, 7 * DAY, 30 * DAY), 0, 600_000, columns))

    def work(start: int, stop: int) -> None:
        part = slice(start, stop)
        store.fold_and_answer(slots[part], times[part], values[part], folded[part])

    timed(f"windows, {label}", rows, work)
    store.sweep()
    live = int(store.lengths().sum())
    print(f"{'':<44}{store.nbytes / live:>8.1f} bytes/live entry of {8 + 8 * columns}, {live} live")


def index(rows: int) -> None:
    """Keys to slots."""
    random = np.random.default_rng(1)
    numbers = pa.array(random.integers(0, 5_000, rows))
    for label, column in (("integers", numbers), ("strings", numbers.cast(pa.string()))):
        found = EntityIndex()
        timed(f"index, {label}", rows, partial(_slots, found, column))
        print(f"{'':<44}{found.nbytes / len(found):>8.1f} bytes/entity")
        timed(f"murmur2, {label}", rows, partial(_partitions, column))


def _slots(found: EntityIndex, column: pa.Array, start: int, stop: int) -> None:
    found.slots(keys_of(column[start:stop]))


def _partitions(column: pa.Array, start: int, stop: int) -> None:
    partitions_of(column[start:stop].cast(pa.string()), 12)


def main() -> None:
    """Run all."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    windows(rows, 1_250, 0.0, 1, "in order")
    windows(rows, 1_250, 0.3, 1, "30% up to 10 min late")
    windows(rows, 1_250, 0.0, 0, "count alone")
    windows(rows, 1, 0.3, 1, "one heavy entity, late")
    index(rows)


if __name__ == "__main__":
    main()
