"""Run every kernel of the data path once on made-up events, so that an image carries them compiled.

Run by the Dockerfile: `python compose/warm.py`. Needs no broker and no store.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pyarrow as pa

from services.enrich.enriching import Enrich
from services.enrich.viewing import Views
from services.kit.batch import Batch, Emit
from services.kit.online_store import MemoryStore
from services.kit.settings import Settings, read_settings
from services.pipeline.wiring import Contracts, read_contracts
from services.simulation.simulators import World, simulate

PIPELINE = "card_fraud"
WORLD = World(entities=60, others=600, days=40)
ROWS = 500


def main() -> None:
    """Events through the codec, enrich and views, there and back."""
    started = time.monotonic()
    contracts = read_contracts(read_settings(Settings, pipeline=PIPELINE))
    pipeline, store = contracts.pipeline, MemoryStore()
    topics = {"events": 1} | {f"view.{view.name}": 1 for view in pipeline.foreign_views}
    enrich = Enrich(pipeline, store)
    enrich.start(topics)
    enrich.restore(0, None)
    folds = [Views(pipeline, view, store, behind_s=0.0) for view in pipeline.foreign_views]
    for views in folds:
        views.start(topics)
        views.restore(0, None)
    events = simulate(pipeline, WORLD).combine_chunks()
    features = 0
    for start in range(0, events.num_rows, ROWS):
        batch = through(contracts, "events", events.slice(start, ROWS), start, pipeline.events.key)
        admission = enrich.admit(batch, now=0.0)
        for emit in admission.emits:
            for views in folds:
                if emit.topic in views.inputs:
                    views.process(again(contracts, emit, start), now=float(start))
        for emit in enrich.process(admission.batch, now=0.0).emits:
            features += len(again(contracts, emit, start))
    enrich.restore(0, enrich.snapshot(0))
    for views in folds:
        views.restore(0, views.snapshot(0))
    if not features:
        raise SystemExit("no features came out: the kernels were not run")
    sys.stderr.write(f"{features} features, kernels compiled in {time.monotonic() - started:.1f} s\n")


def through(
    contracts: Contracts, topic: str, rows: pa.Table | pa.RecordBatch, first: int, key: str | None = None
) -> Batch:
    """Rows as they come back from a topic."""
    codec = contracts.channel(topic).codec
    names = codec.reader.arrow.names
    wanted = [rows[name].combine_chunks() if isinstance(rows, pa.Table) else rows[name] for name in names]
    columns = pa.RecordBatch.from_arrays(
        [column.cast(kind) for column, kind in zip(wanted, codec.reader.arrow.types, strict=True)],
        schema=codec.reader.arrow,
    )
    decoded = codec.decode(codec.encode(columns))
    count = decoded.columns.num_rows
    keys = pa.nulls(count, pa.binary()) if key is None else decoded.columns[key].cast(pa.string()).cast(pa.binary())
    stamps = np.full(count, 4_000_000_000_000, np.int64)
    return Batch(topic, decoded.columns, keys, np.zeros(count, np.int32), np.arange(first, first + count), stamps)


def again(contracts: Contracts, emit: Emit, first: int) -> Batch:
    """What a service wrote, as its reader gets it."""
    return through(contracts, emit.topic, emit.columns, first)


if __name__ == "__main__":
    main()
