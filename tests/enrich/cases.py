"""A small pipeline for the tests of enrich and views: sensors in rooms, nothing to do with cards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from headrace.domain.pipeline.events import fields_of
from headrace.domain.pipeline.language import expressions
from headrace.domain.pipeline.language.aggregation import Aggregation
from headrace.domain.pipeline.spec import Event, Model, Pipeline, Rule, View
from headrace.streaming.records.batch import Batch

Reading = tuple[int, str, str | None, float | None]
"""Time, sensor, room, heat."""

FIELDS = fields_of(
    {
        "fields": [
            {"name": "reading", "type": "string"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "sensor", "type": "string"},
            {"name": "room", "type": ["null", "string"]},
            {"name": "heat", "type": ["null", "double"]},
            {"name": "kind", "type": ["null", "string"]},
        ]
    }
)
ROOM = View(
    "room",
    "entity",
    "room",
    windows=(10, 100),
    window_names=("10ms", "100ms"),
    delay=50,
    features={"n": Aggregation("count"), "heat": Aggregation("sum", "heat"), "peak": Aggregation("max", "heat")},
    missing=-1.0,
    idle_after=1_000,
)
SENSOR = View(
    "sensor",
    "entity",
    "sensor",
    windows=(20, 60),
    window_names=("20ms", "60ms"),
    features={"n": Aggregation("count"), "heat": Aggregation("mean", "heat"), "low": Aggregation("min", "heat")},
)
CLOCK = View("clock", "calendar", expressions={"even": expressions.compile("heat % 2 == 0", FIELDS)})


def pipeline(
    *rules: Rule, views: Sequence[View] = (SENSOR, ROOM, CLOCK), late: str = "reject", repeats: str = "keep"
) -> Pipeline:
    """The pipeline with the given rules. Repeats are kept, for most tests count ids from 0 for each batch."""
    events = Event("reading", "reading", "at", "sensor", 10, late, repeats, 1_000, FIELDS)  # type: ignore[arg-type]  # parametrised
    return Pipeline("rooms", events, Model("m", ("heat",)), rules, {view.name: view for view in views})


def events(rows: Sequence[Reading], kind: str | None = None) -> pa.RecordBatch:
    """Readings as (time, sensor, room, heat)."""
    return pa.RecordBatch.from_pydict(
        {
            "reading": pa.array([f"r{n}" for n in range(len(rows))], pa.string()),
            "at": pa.array([row[0] for row in rows], pa.timestamp("ms", tz="UTC")),
            "sensor": pa.array([row[1] for row in rows], pa.string()),
            "room": pa.array([row[2] for row in rows], pa.string()),
            "heat": pa.array([row[3] for row in rows], pa.float64()),
            "kind": pa.array([kind] * len(rows), pa.string()),
        }
    )


def batch(columns: pa.RecordBatch, partition: int = 0, first: int = 0) -> Batch:
    """Records keyed as they should be, written at the time they happened."""
    rows = columns.num_rows
    return Batch(
        "events",
        columns,
        columns.column("sensor").cast(pa.binary()),
        np.full(rows, partition, np.int32),
        np.arange(first, first + rows),
        columns.column("at").cast(pa.int64()).to_numpy(),
    )
