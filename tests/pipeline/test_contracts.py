"""The Avro schemas of a pipeline: legal, safe, documented, the same every time, and enough to carry every column."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import pytest

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import features, predictions, schemas
from headrace.domain.pipeline.spec import Model, Pipeline, expand
from headrace.domain.pipeline.workspace import Workspace
from headrace.streaming.contracts.schemas import load_schema, undocumented

from .conftest import STRANGER

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / "pipelines").glob("*.yaml")), STRANGER / "pipelines" / "bike_demand.yaml"]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    """Every pipeline file that we have."""
    found: Path = request.param
    return found


@pytest.fixture
def pipeline(path: Path) -> Pipeline:
    """The pipeline of the file."""
    return load(path)


@pytest.fixture
def derived(path: Path, pipeline: Pipeline) -> dict[str, Any]:
    """All its schemas by subject."""
    return schemas(pipeline, Workspace.of(path))


def test_every_topic_has_a_schema(pipeline: Pipeline, derived: dict[str, Any]) -> None:
    """There is a subject for every topic, one for each foreign view among them."""
    topics = {"events", "features", "predictions", "labels", "dead-letters", "checkpoints", "plans", "control"}
    topics |= {"shadow-predictions", "exchange", "outcomes", "scorecard-parts", "scorecards", "drift-parts", "drift"}
    topics |= {"release-parts", "ledger", "replays", "notifications", "kpi-parts", "kpis", "revisions"}
    topics |= {f"view.{view.name}" for view in pipeline.foreign_views}
    assert set(derived) == {f"{pipeline.name}.{topic}-value" for topic in topics}


def test_every_schema_is_legal_safe_and_documented(derived: dict[str, Any]) -> None:
    """Both our reader and Avro's own accept it, and no field is left unexplained."""
    for subject, definition in derived.items():
        fastavro.parse_schema(json.loads(json.dumps(definition)))
        assert undocumented(load_schema(definition)) == [], subject


def test_schemas_are_the_same_every_time(path: Path, derived: dict[str, Any]) -> None:
    """Two members that read the same file write with the same schema, to the byte."""
    assert json.dumps(schemas(load(path), Workspace.of(path))) == json.dumps(derived)


def test_every_model_input_has_its_place(pipeline: Pipeline) -> None:
    """Records hold every column that the model reads, as a number, or as a text where it is a category."""
    for definition in (features(pipeline), predictions(pipeline)):
        arrow = load_schema(definition).arrow
        for column in expand(pipeline):
            struct, name = pipeline.locate(column)
            kinds = (
                {"int32", "int64", "float", "double", "bool"} if column not in pipeline.model.categories else {"string"}
            )
            assert arrow.field(struct).type.field(name).type in kinds


def test_a_features_record_reads_back(pipeline: Pipeline) -> None:
    """A plain Avro reader gets back what was written, an unknown age among it."""
    definition = fastavro.parse_schema(features(pipeline))
    record = _example(definition)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, definition, record)
    buffer.seek(0)
    assert fastavro.schemaless_reader(buffer, definition, None) == record


def _example(avro: Any) -> Any:
    if isinstance(avro, list):
        return None
    match avro if isinstance(avro, str) else avro["type"]:
        case "record":
            return {field["name"]: _example(field["type"]) for field in avro["fields"]}
        case "string":
            return "a"
        case "double" | "float":
            return 0.5
        case "boolean":
            return True
    return 7 if isinstance(avro, str) else fastavro.read.LOGICAL_READERS["long-timestamp-millis"](7)


def test_foreign_views_tell_their_age() -> None:
    """A view that may be behind says by how much; one that cannot be does not."""
    fields = load_schema(features(load(ROOT / "pipelines" / "card_fraud.yaml"))).arrow
    assert fields.field("terminal_age").nullable
    assert "customer_age" not in fields.names


def test_types_follow_the_features() -> None:
    """Counts are long, booleans int, the rest double; fields of the event keep the type of their schema."""
    fields = load_schema(features(load(STRANGER / "pipelines" / "bike_demand.yaml"))).arrow
    types = {(s, f.name): str(f.type) for s in ("event", "clock", "rider") for f in fields.field(s).type.fields}
    assert types["event", "minutes"] == "int32"
    assert types["event", "tariff"] == "string"
    assert types["clock", "rush"] == "int32"
    assert types["clock", "month"] == "int64"
    assert types["rider", "trips_30m"] == "int64"
    assert types["rider", "longest_6h"] == "double"
    assert fields.field("event").type.field("charge").nullable


def test_no_record_without_fields_is_made() -> None:
    """A pipeline whose model reads no field of the event has no `event` struct: an empty record takes no bytes."""
    pipeline = load(STRANGER / "pipelines" / "bike_demand.yaml")
    bare = replace(pipeline, model=Model("m", ("rider.*",)), segments={})
    assert "event" not in load_schema(features(bare)).arrow.names
    assert load_schema(predictions(bare)).arrow.names[-3:] == ["rider", "station", "station_age"]
