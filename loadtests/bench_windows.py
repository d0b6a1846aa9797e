"""Nanoseconds per event of the pure code of enrich and views: index, windows, admit, process, view updates.

    python -m loadtests.bench_windows [ROWS]

Transactions are made up: 5,000 customers and 10,000 terminals in four partitions, 183 days. Broker and Redis are left
out; a store in memory stands for the latter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import pyarrow as pa

from headrace.columnar.key_index import EntityIndex
from headrace.columnar.partitioner import keys_of, partitions_of
from headrace.domain.features.sliding_windows import Question, Windows
from headrace.domain.pipeline.check import load
from headrace.stores.online import MemoryStore
from headrace.streaming.records.batch import Batch
from services.enrich.service import Enrich
from services.views.service import Views

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


def services(rows: int) -> None:
    """Enrich and views on card transactions, one partition, as batches come under load."""
    pipeline = load(Path(__file__).parents[1] / "pipelines/card_fraud.yaml")
    random = np.random.default_rng(2)
    times = np.sort(random.integers(0, 46 * DAY, rows))
    customers = pa.array(random.integers(0, 1_250, rows))
    columns = pa.RecordBatch.from_pydict(
        {
            "transaction_id": pa.array(np.arange(rows)),
            "tx_datetime": pa.array(times, pa.timestamp("ms", tz="UTC")),
            "customer_id": customers,
            "terminal_id": pa.array(random.integers(0, 10_000, rows)),
            "amount": pa.array(np.round(random.gamma(2, 30, rows), 2)),
        }
    )
    keys = customers.cast(pa.string()).cast(pa.binary())
    batch = Batch("events", columns, keys, np.zeros(rows, np.int32), np.arange(rows), times)
    store = MemoryStore()
    counts = {"events": 1, "view.terminal": 4}
    enrich = Enrich(pipeline, store)
    (view,) = pipeline.foreign_views
    views = Views(pipeline, view, store, behind_s=0.0)
    enrich.start(counts)
    views.start(counts)
    admitted: list[Batch] = []
    updates: list[Batch] = []
    offset = 0

    def admit(start: int, stop: int) -> None:
        nonlocal offset
        admission = enrich.admit(batch.slice(slice(start, stop)), 0.0)
        admitted.append(admission.batch)
        (emit,) = admission.emits
        assert emit.partition is not None
        size = len(emit.partition)
        nulls, zeros = pa.nulls(size, pa.binary()), np.zeros(size, np.int64)
        updates.append(Batch("view.terminal", emit.columns, nulls, emit.partition, zeros + offset, zeros))
        offset += 1

    timed("admit, with updates of one view", rows, admit)
    todo = iter(updates)
    timed("views, fold and pack", rows, lambda a, b: views.process(next(todo), 0.0))
    rest = iter(admitted)
    timed("process, with one view read", rows, lambda a, b: enrich.process(next(rest), 0.0))
    begin = process_time()
    snapshot = enrich.snapshot(0)
    windows = enrich._states[0].views["customer"].windows
    print(
        f"snapshot of {windows.lengths().sum()} entries: {len(snapshot) / windows.lengths().sum():.1f} bytes/entry, "
        f"{(process_time() - begin) * 1e3:.1f} ms"
    )


def main() -> None:
    """Run all."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    windows(rows, 1_250, 0.0, 1, "in order")
    windows(rows, 1_250, 0.3, 1, "30% up to 10 min late")
    windows(rows, 1_250, 0.0, 0, "count alone")
    windows(rows, 1, 0.3, 1, "one heavy entity, late")
    index(rows)
    services(min(rows, 200_000))


if __name__ == "__main__":
    main()
