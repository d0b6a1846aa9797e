"""The columns that score and shadow read and write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.models.package import ModelPackage
from headrace.domain.plans.plans import Arm, Plan
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch
from tests.members import ROOT

MILLIS = pa.timestamp("ms", "UTC")
EVENT = pa.struct([pa.field("amount", pa.float64()), pa.field("channel", pa.string())])
CUSTOMER = pa.struct([pa.field("nb_tx_1d", pa.int64()), pa.field("avg_amount_1d", pa.float64())])
FEATURES = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("entity", pa.string(), nullable=False),
        pa.field("event_time", MILLIS, nullable=False),
        pa.field("event", EVENT, nullable=False),
        pa.field("customer", CUSTOMER, nullable=False),
        pa.field("internal", pa.int64()),
    ]
)
MODEL = pa.struct([pa.field(n, pa.string(), nullable=False) for n in ("name", "version", "digest")])
PREDICTIONS = pa.schema(
    [
        pa.field("prediction_id", pa.string(), nullable=False),
        *(FEATURES.field(n) for n in ("event_id", "entity", "event_time")),
        pa.field("predicted_time", MILLIS, nullable=False),
        pa.field("model", MODEL, nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("plan_version", pa.int64(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("decision", pa.bool_(), nullable=False),
        pa.field("compute_micros", pa.float32(), nullable=False),
        FEATURES.field("event"),
        FEATURES.field("customer"),
    ]
)
PLANS = load_schema(ROOT / "schemas/plan.avsc").arrow


def batch(topic: str, columns: pa.RecordBatch, partition: Sequence[int] | None = None) -> Batch:
    """Records of a topic, all of partition 0 unless told otherwise, keyed by their row."""
    rows = columns.num_rows
    keys = pa.array([str(i).encode() for i in range(rows)], pa.binary())
    places = np.zeros(rows, np.int32) if partition is None else np.array(partition, np.int32)
    return Batch(topic, columns, keys, places, np.arange(rows) + 100, np.zeros(rows, np.int64))


def features(amounts: Sequence[float | None], counts: Sequence[int | None], **others: Any) -> Batch:
    """A batch of the features topic."""
    rows = [
        {
            "event_id": f"e{i}",
            "entity": f"c{i % 3}",
            "event_time": 1_000 * i,
            "event": {"amount": amount, "channel": "web"},
            "customer": {"nb_tx_1d": count, "avg_amount_1d": 1.0},
            "internal": i,
        }
        for i, (amount, count) in enumerate(zip(amounts, counts, strict=True))
    ]
    return batch("features", pa.RecordBatch.from_pylist(rows, schema=FEATURES), **others)


def arm(package: ModelPackage, uri: str, name: str = "champion", **others: Any) -> Arm:
    """An arm of a plan."""
    return Arm(name, package.manifest.name, package.manifest.version, package.digest, uri, **others)


def plans(*facts: tuple[str, int, Sequence[Arm]], salt: str = "") -> Batch:
    """A batch of the plans topic: (pipeline, version, arms)."""
    rows = [Plan(p, v, tuple(arms), salt).fact(0, "test", "a test") for p, v, arms in facts]
    return batch("plans", pa.RecordBatch.from_pylist(rows, schema=PLANS))
