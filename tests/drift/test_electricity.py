"""The shipped use case `electricity` on published rows: its file is all that it takes to be watched for drift."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from headrace.domain.models.store import ModelStore
from headrace.domain.training.bootstrap import train_offline
from services.drift.app import build as drift
from services.drift.settings import DriftSettings
from services.enrich.app import build as enrich
from services.enrich.settings import EnrichSettings
from services.labels.app import build as labels
from services.labels.settings import LabelsSettings
from services.score.app import build as score
from tests.members import ROOT
from tests.simulated.calm import CalmPipeline, Kind
from tests.simulated.product.score_scene import ScoreMember

DATA = ROOT.parent / "shared/data/elec2/elec.csv"
PATH = ROOT / "pipelines/electricity.yaml"
BEGINS, HALF_HOUR = 831_427_200_000, 1_800_000
"""Tuesday, 1996-05-07, 00:00: the first row."""
FIRST, TRAINED, LAST = 12_000, 16_000, 19_000
MOVED = 17_424
"""The row from which on Victoria's prices are no constant any more."""
LATE = 48


def rows(low: int, high: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Events of these rows, and their labels, of which each comes a day late."""
    table = csv.read_csv(DATA).slice(low, high - low)
    number = np.arange(low, high)
    times = BEGINS + number * HALF_HOUR
    millis = pa.timestamp("ms", "UTC")
    events = {"interval": number, "begins_at": pa.array(times).cast(millis), "market": ["nsw"] * len(number)}
    events |= {name: table[name].combine_chunks() for name in table.column_names[1:-1]}
    told = {
        "event_id": number.astype(str),
        "value": table["class"].to_numpy().astype(float),
        "label_time": pa.array(times + LATE * HALF_HOUR).cast(millis),
        "source": ["market"] * len(number),
    }
    return pa.RecordBatch.from_pydict(events), pa.RecordBatch.from_pydict(told)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason=f"the data set elec2 is not at {DATA}")
def test_electricity_is_watched_for_drift(tmp_path: Path) -> None:
    """Trained on 4,000 half hours, it scores the next 3,000; labels come a day late, a change is an incident."""
    pipeline = CalmPipeline(PATH)
    own = {"models": str(tmp_path / "models"), "model_cache": tmp_path / "cache"}
    pipeline.start("enrich-0", Kind(enrich, EnrichSettings, {}))
    events, truth = rows(FIRST, LAST)
    known = TRAINED - FIRST
    pipeline.publish("events", events.slice(0, known), "market")
    pipeline.settle(0.5)
    store = ModelStore(own["models"], tmp_path / "trained")
    features, told = pipeline.read("features"), pa.Table.from_batches([truth.slice(0, known)])
    spec = pipeline.contracts.pipeline
    package, uri = train_offline(spec, features, told, store, "1", trees=30)
    assert package.manifest.metrics["auc_roc"] > 0.7

    pipeline.crown(package, uri)
    pipeline.start("score-0", Kind(score, ScoreMember, own))
    pipeline.start("labels-0", Kind(labels, LabelsSettings, {}))
    pipeline.start("drift-0", Kind(drift, DriftSettings, own | {"publish_s": 1.0}))
    for at in range(known, len(events), 480):
        pipeline.publish("events", events.slice(at, 480), "market")
        pipeline.publish("labels", truth.slice(at - LATE, 480), "event_id")
        pipeline.settle(0.2)
    pipeline.settle(30.0)

    assert pipeline.read("dead-letters").num_rows == 0
    assert pipeline.read("predictions").num_rows == len(events)
    outcomes = pipeline.read("outcomes")
    labelled = outcomes.filter(outcomes["label"].is_valid())
    assert labelled.num_rows >= len(events) - known - LATE

    standing = {(row["stream"], row["column"]): row for row in pipeline.read("drift").to_pylist()}
    assert {"nswdemand", "vicprice", "market.price_1d", "model score"} <= {name for _, name in standing}
    assert standing["predictions", "clock.hour"]["state"] == "left_out"
    watched = standing["outcomes", ""]
    assert watched["events"] >= len(events) - known - LATE
    control = [dict(row["evidence"]) | {"type": row["type"]} for row in pipeline.read("control").to_pylist()]
    assert any(row["type"] == "drift_opened" for row in control)
    changes = [
        (int(row["reached"]), each["column"])
        for row in control
        if row["type"] in ("drift_opened", "drift_grew")
        for each in json.loads(row["columns"])
    ]
    moved = min(reached for reached, column in changes if column.startswith("vicprice"))
    assert 0 <= (moved - BEGINS) / HALF_HOUR - MOVED < 100
