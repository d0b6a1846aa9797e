"""The shipped use case `employment` on published files, as they are: categories, and one time a year."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.check import load
from headrace.domain.training.bootstrap import train_offline
from headrace.operations.tables import event_table as tables
from headrace.streaming.contracts.schemas import load_schema
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

DATA = ROOT.parent / "shared/data/employment"
PATH = ROOT / "pipelines/employment.yaml"
TRAINED, SCORED = 4_000, 3_000


def published(tmp_path: Path, kind: str, name: str, first: int, rows: int) -> pa.RecordBatch:
    """Some rows of a published file, as `headrace publish` would write them."""
    table = pq.read_table(DATA / f"employment_MA_{name}.pq").slice(first, rows)
    if kind == "labels" and name == "analysis":  # answers and truths are two files
        truth = pq.read_table(DATA / "employment_MA_analysis_target.pq").slice(first, rows)
        table = table.append_column("employed", truth["employed"])
    path = tmp_path / f"{name}-{kind}.parquet"
    pq.write_table(table, path)
    pipeline = load(PATH)
    schema = load_schema(ROOT / "schemas" / ("label.avsc" if kind == "labels" else "census_person.avsc")).arrow
    read = tables.read_table(path)
    found = (
        tables.labels(read, pipeline, schema, {}, "census")
        if kind == "labels"
        else tables.events(read, pipeline, schema, {})
    )
    assert len(found.times) == rows
    return found.columns.combine_chunks().to_batches()[0]


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the census data is not at {DATA}")
def test_employment_is_scored_a_year_later(tmp_path: Path) -> None:
    """Trained on answers of 2015, it scores those of 2016: each has one prediction, and an outcome with its truth."""
    pipeline = CalmPipeline(PATH)
    own = {"models": str(tmp_path / "models"), "model_cache": tmp_path / "cache"}
    pipeline.start("enrich-0", Kind(enrich, EnrichSettings, {}))
    pipeline.publish("events", published(tmp_path, "events", "reference", 0, TRAINED), "person")
    pipeline.settle(0.5)
    spec = pipeline.contracts.pipeline
    told = pa.Table.from_batches([published(tmp_path, "labels", "reference", 0, TRAINED)])
    store = ModelStore(own["models"], tmp_path / "trained")
    # All answers of a year have one time, so no part of it is the last: nothing is held out.
    features = pipeline.read("features")
    package, uri = train_offline(spec, features, told, store, "1", trees=40, holdout=0)

    pipeline.crown(package, uri)
    pipeline.start("score-0", Kind(score, ScoreMember, own))
    pipeline.start("labels-0", Kind(labels, LabelsSettings, {}))
    pipeline.start("drift-0", Kind(drift, DriftSettings, own | {"publish_s": 1.0}))
    pipeline.settle(0.5)
    pipeline.publish("events", published(tmp_path, "events", "analysis", 0, SCORED), "person")
    pipeline.publish("labels", published(tmp_path, "labels", "analysis", 0, SCORED), "event_id")
    pipeline.settle(30.0)

    assert pipeline.read("dead-letters").num_rows == 0
    predictions = pipeline.read("predictions")
    assert sorted(predictions["event_id"].to_pylist()) == sorted(map(str, range_of_ids(features, SCORED)))
    outcomes = pipeline.read("outcomes")
    later = outcomes.filter(pa.compute.greater_equal(outcomes["event_time"].cast(pa.int64()), 1_451_606_400_000))
    later = later.filter(later["label"].is_valid())
    assert later.num_rows == SCORED
    right = pa.compute.equal(pa.compute.greater_equal(later["score"], 0.5), pa.compute.equal(later["label"], 1.0))
    assert pa.compute.mean(right.cast(pa.float64())).as_py() > 0.75
    standing = {row["column"] for row in pipeline.read("drift").to_pylist()}
    assert {"AGEP", "MAR", "model score"} <= standing


def range_of_ids(features: pa.Table, rows: int) -> list[int]:
    """Ids of all that was published: the first answers of 2015, and of 2016."""
    first = pq.read_table(DATA / "employment_MA_analysis.pq", columns=["id"])["id"][0].as_py()
    return [*map(int, features["event_id"].to_pylist()), *range(first, first + rows)]
