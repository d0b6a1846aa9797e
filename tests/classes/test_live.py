"""A pipeline of three classes as files, on real parts: labels by name, a model trained, scored, and read."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.client import Pipeline
from headrace.domain.models.package import load
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.classes.decision import decided
from headrace.errors import ConfigurationError
from headrace.operations.models.training import TrainingRequest, train_model
from headrace.operations.progress import Silent
from headrace.operations.topics.file_publication import FileRows, prepare
from headrace.operations.topics.provisioning import provision
from headrace.streaming.kafka.client import Producer
from headrace.streaming.process.settings import Settings
from tests.classes import flowers
from tests.cli.terminal import Terminal
from tests.project import Project

COSTS = ((0, 1, 1), (1, 0, 5), (1, 1, 0))


@pytest.fixture(scope="module")
def garden(kafka: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """All flowers measured and named, a model trained on them, and champion."""
    directory = tmp_path_factory.mktemp("flowers")
    made = flowers.source(directory / "source")
    project = Project(made, f"flowers_{time.time_ns()}", directory / "project", kafka, redis_server, 2)
    project.start("enrich-0")
    with Pipeline(project.path, kafka) as client:
        client.publish(flowers.events())
        told = [
            {"event_id": at, "value": name, "label_time": flowers.BEGAN + at * flowers.MINUTE}
            for at, name in enumerate(flowers.species())
        ]
        assert client.send_labels(told) == 150
        with pytest.raises(ConfigurationError, match="row 1, value: 'sedosa' is none of the classes setosa, versi"):
            client.send_labels([{"event_id": 1, "value": "setosa"}, {"event_id": 2, "value": "sedosa"}])
        with pytest.raises(ConfigurationError, match="row 0, value: 1 is none of the classes"):
            client.send_labels({"event_id": 1, "value": 1})
    project.await_count("features", 150)
    settings = Settings(pipeline=str(project.path), bootstrap=kafka, models=str(directory / "project/models"))
    request = TrainingRequest(trees=20, holdout=0.0, version="1", plan_reason="the first")
    trained = train_model(settings, project.contracts, request, Silent(), lambda text: pytest.fail(text))
    assert (trained.plan_version, trained.training.rows, trained.training.positives) == (1, 150, 0)
    project.start("score-0")
    yield project
    project.close()


def test_predictions_are_the_librarys(garden: Project) -> None:
    """Of every event the probabilities that LightGBM gives, the class that costs least, and its score."""
    rows = garden.await_count("predictions", 150).combine_chunks()
    store = ModelStore(str(garden.directory / "models"), garden.directory / "read")
    (stored,) = store.packages()
    package = load(store.fetch(stored.uri, stored.digest))
    assert package.continuation is not None
    booster = lgb.Booster(model_str=package.continuation.decode())
    event, bed = rows["event"].combine_chunks(), rows["bed"].combine_chunks()
    columns = [event.field(name) for name in flowers.MEASURES] + [bed.field("petals_1d")]
    matrix = np.column_stack([column.to_numpy(zero_copy_only=False) for column in columns]).astype(np.float32)
    wanted = np.asarray(booster.predict(matrix))
    told = rows["scores"].combine_chunks()
    assert [field.name for field in told.type] == list(flowers.SPECIES)
    scores = np.column_stack([told.field(name).to_numpy(zero_copy_only=False) for name in flowers.SPECIES])
    assert np.abs(scores - wanted).max() < 1e-6
    places = decided(wanted, COSTS)
    assert rows["class"].to_pylist() == [flowers.SPECIES[place] for place in places]
    score = rows["score"].to_numpy()
    assert np.array_equal(score, scores[np.arange(150), places])
    assert rows["decision"].to_pylist() == (score >= 0.6).tolist()
    assert len(set(rows["event_id"].to_pylist())) == 150


def test_outcomes_name_the_truth(garden: Project) -> None:
    """Beside its place stands the class that was true."""
    garden.start("labels-0")
    rows = garden.await_count("outcomes", 150).to_pylist()
    wanted = dict(enumerate(flowers.species()))
    for row in rows:
        assert row["label_class"] == wanted[int(row["event_id"])]
        assert row["label"] == flowers.SPECIES.index(row["label_class"])
        assert row["scores"][row["class"]] == row["score"]


def test_a_replay_says_the_same(garden: Project) -> None:
    """Scores and decisions to the bit, by the command; the last predictions are shown with their class."""
    terminal = Terminal(garden.directory, {**garden.own(), "HEADRACE_BOOTSTRAP": garden.bootstrap})
    told = terminal.json("replay", garden.path, "--model", "flowers@1", "--compare")
    agreement = told["agreement"]
    assert agreement["compared"] >= 150
    assert (agreement["different"], agreement["decisions"]) == (0, 0)
    code, out, errors = terminal.run("predictions", garden.path, "-n", "3")
    assert code == 0, errors
    assert sum(any(name in line for name in flowers.SPECIES) for line in out.splitlines()) == 3


def test_labels_of_a_topic_of_ones_own_name_classes(kafka: str, redis_server: str, tmp_path: Path) -> None:
    """Records in JSON and files published to that topic; what is no class is a dead letter."""
    section = "labels: {id: flower, value: kind, topic: herbarium, format: json, schema: finding}"
    text = flowers.PIPELINE.replace("labels: {id: flower_id, value: species, matures_after: 1h}", section)
    topic = f"herbarium_{time.time_ns()}"
    source = flowers.source(tmp_path / "source", text.replace("topic: herbarium", f"topic: {topic}"))
    schema = {"type": "object", "required": ["flower", "kind"],
              "properties": {"flower": {"type": "integer"}, "kind": {"type": "string"}}}  # fmt: skip  # as it is
    (source.parents[1] / "schemas/finding.schema.json").write_text(json.dumps(schema))
    project = Project(source, f"herbarium_{time.time_ns()}", tmp_path / "project", kafka, redis_server, 2)
    with contextlib.closing(project):
        settings = Settings(
            pipeline=str(project.path), bootstrap=kafka, schema_ids=project.directory / "schemas/ids.json"
        )
        provision(settings, 2)
        producer = Producer(project.connection)
        kinds = ["virginica", "setosa", "sedosa", "versicolor"]
        producer.send(
            topic, [None] * 4, [json.dumps({"flower": at, "kind": kind}).encode() for at, kind in enumerate(kinds)]
        )
        producer.flush()
        table = pa.table({"flower": [10, 11], "kind": ["versicolor", "virginica"], "measured_at": [flowers.BEGAN] * 2})
        pq.write_table(table, tmp_path / "more.parquet")
        rows = FileRows(tmp_path / "more.parquet", "labels")
        assert prepare(settings, project.contracts, rows, threading.Event()).send(Silent()).topic == topic
        project.start("intake-0")
        told = {row["event_id"]: row["value"] for row in project.await_count("labels", 5).to_pylist()}
        assert told == {"0": 2.0, "1": 0.0, "3": 1.0, "10": 1.0, "11": 2.0}
        (letter,) = project.await_count("dead-letters", 1).to_pylist()
        assert letter["reason"] == "no_class"
        assert "is none of the classes setosa, versicolor, virginica" in letter["detail"]


def test_the_client_reads_classes(garden: Project) -> None:
    """A flower that is measured now is answered with its class and the probability of each."""
    with Pipeline(garden.path, garden.bootstrap) as client:
        assert client.classes == flowers.SPECIES
        now = int(time.time() * 1000)
        answer = client.predict({**flowers.events()[0], "flower_id": 1_000, "measured_at": now}, 120.0)
        assert answer.class_ == flowers.species()[0]
        assert set(answer.scores) == set(flowers.SPECIES)
        assert answer.score == answer.scores[answer.class_]
        assert sum(answer.scores.values()) == pytest.approx(1)
        assert answer.decision == (answer.score >= 0.6)
