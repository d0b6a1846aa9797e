"""Compile every kernel of the services, so that an image carries them; then hold that against made-up events.

Run by the Dockerfile: `python compose/warm.py`. Needs no broker and no store.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from headrace.columnar.jit import late, prepare
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.simulation.simulators import World, simulate
from headrace.operations.services import SERVICES
from headrace.operations.tables.event_table import labels
from headrace.stores.online import MemoryStore
from headrace.streaming.process.settings import Settings, read_settings
from headrace.streaming.records.batch import Batch, Emit, slot
from services.enrich.service import Enrich
from services.labels import app
from services.labels.service import Labelling
from services.labels.settings import LabelsSettings
from services.views.service import Views

PIPELINE = "card_fraud"
WORLD = World(entities=60, others=600, days=40)
ROWS = 500


def main() -> None:
    """Compile; then events, labels and predictions through the codec and services with kernels, there and back.

    Fails when a kernel is met that was not compiled: a service would compile it inside its loop.
    """
    started = time.monotonic()
    for kind in SERVICES.values():
        kind.part("app")
    count = 0

    def told(_: int, total: int) -> None:
        nonlocal count
        count = total

    prepare(told)
    sys.stderr.write(f"{count} kernels compiled in {time.monotonic() - started:.1f} s\n")
    system = System()
    table = simulate(system.pipeline, WORLD).combine_chunks()
    schema = system.contracts.channel("labels").codec.reader.arrow
    known = labels(table, system.pipeline, schema, {}, "warm")
    system.labels(known.columns.combine_chunks().to_batches()[0])
    for start in range(0, table.num_rows, ROWS):
        system.events(table.slice(start, ROWS), start)
    system.restart()
    if not system.features or not system.outcomes:
        raise SystemExit("no features, or no outcomes, came out: the kernels were not run")
    if missed := late():
        raise SystemExit("compiled when they were called, for their types are not named: " + "; ".join(missed))
    sys.stderr.write(f"{system.features} features, {system.outcomes} outcomes\n")


class System:
    """The services in one process, one partition each."""

    def __init__(self) -> None:
        self.contracts = read_contracts(read_settings(Settings, pipeline=PIPELINE))
        self.pipeline, store = self.contracts.pipeline, MemoryStore()
        self.features = self.outcomes = self.offset = 0
        topics = dict.fromkeys(("events", *Labelling.inputs), 1)
        topics |= {f"view.{view.name}": 1 for view in self.pipeline.foreign_views}
        self.enrich = Enrich(self.pipeline, store)
        self.folds = [Views(self.pipeline, view, store, behind_s=0.0) for view in self.pipeline.foreign_views]
        self.labelling = app.build(read_settings(LabelsSettings, pipeline=PIPELINE)).service
        for service in (self.enrich, *self.folds, self.labelling):
            service.start(topics)
            service.restore(slot(service.inputs.index(service.stateful[0]), 0), None)

    def labels(self, rows: pa.RecordBatch) -> None:
        """Take labels."""
        self.deliver(self.labelling.process(self.batch("labels", rows), now=0.0).emits)

    def events(self, rows: pa.Table, first: int) -> None:
        """Take events: features, and predictions made of them."""
        batch = through(self.contracts, "events", rows, first, self.pipeline.events.key)
        admission = self.enrich.admit(batch, now=0.0)
        self.deliver(admission.emits)
        for emit in self.enrich.process(admission.batch, now=0.0).emits:
            self.features += emit.columns.num_rows
            answers = self.batch("predictions", answered(emit.columns, self.contracts))
            self.deliver(self.labelling.process(answers, now=0.0).emits)

    def deliver(self, emits: Iterable[Emit]) -> None:
        """Give what a service wrote to whoever reads it."""
        for emit in emits:
            self.outcomes += emit.columns.num_rows if emit.topic == "outcomes" else 0
            for views in self.folds:
                if emit.topic in views.inputs:
                    views.process(self.batch(emit.topic, emit.columns), now=float(self.offset))
            if emit.topic == "exchange":
                self.deliver(self.labelling.process(self.batch("exchange", emit.columns), now=0.0).emits)

    def batch(self, topic: str, rows: pa.RecordBatch) -> Batch:
        """Rows as the next of a topic's only partition."""
        inputs = self.labelling.inputs
        number = slot(inputs.index(topic), 0) if topic in inputs else 0
        self.offset += rows.num_rows
        return through(self.contracts, topic, rows, self.offset - rows.num_rows, number=number)

    def restart(self) -> None:
        """Every service from its own snapshot."""
        for service in (self.enrich, *self.folds, self.labelling):
            number = slot(service.inputs.index(service.stateful[0]), 0)
            service.restore(number, service.snapshot(number))


def answered(features: pa.RecordBatch, contracts: Contracts) -> pa.RecordBatch:
    """Predictions of a model that always says the same."""
    schema, count = contracts.channel("predictions").codec.reader.arrow, features.num_rows
    ids = pa.array([f"{name}/warm@1/champion" for name in features["event_id"].to_pylist()])
    same = {
        "prediction_id": ids,
        "predicted_time": features["ingest_time"],
        "model": pa.array([{"name": "warm", "version": "1", "digest": ""}] * count, schema.field("model").type),
        "arm": pa.array(["champion"] * count),
        "plan_version": pa.array([1] * count),
        "score": pa.array([0.5] * count),
        "decision": pa.array([True] * count),
        "compute_micros": pa.array([1.0] * count, pa.float32()),
    }
    columns = [same[name] if name in same else features[name] for name in schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def through(
    contracts: Contracts,
    topic: str,
    rows: pa.Table | pa.RecordBatch,
    first: int,
    key: str | None = None,
    number: int = 0,
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
    return Batch(
        topic, decoded.columns, keys, np.full(count, number, np.int32), np.arange(first, first + count), stamps
    )


if __name__ == "__main__":
    main()
