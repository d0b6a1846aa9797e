"""`headrace train` on a real broker: features and labels in, a stored model and a plan out, and score plays it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from headrace.cli.main import application
from headrace.domain.control.events import ControlEvents
from headrace.domain.models.package import load
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.training.trainer import TRAINERS
from headrace.errors import ConfigurationError
from headrace.operations.models.parameters import parameters_of
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import read_topic
from headrace.streaming.process.settings import Settings
from headrace.streaming.records.batch import Batch
from services.score.metrics import ScoreMetrics
from services.score.service import Score

PIPELINE = """
pipeline: {name}
events: {{schema: reading, id: reading_id, time: at, key: meter}}
views:
  meter: {{key: meter, windows: [1h], features: {{mean: mean(load)}}}}
model: {{name: meters, inputs: [load, meter.*], output: probability, threshold: 0.4}}
labels: {{id: reading_id, value: fault, matures_after: 1h, unlabelled_is: 0}}
"""
SCHEMA = {
    "type": "record",
    "name": "reading",
    "doc": "A meter's reading.",
    "fields": [
        {"name": "reading_id", "type": "string", "doc": "Identity."},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When."},
        {"name": "meter", "type": "string", "doc": "Which."},
        {"name": "load", "type": "double", "doc": "How much."},
    ],
}
ROWS = 4000
DAY = 86_400_000


@pytest.fixture
def path(tmp_path: Path, pipeline_name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own with a pipeline about meters."""
    (tmp_path / "schemas").mkdir()
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "schemas" / "reading.avsc").write_text(json.dumps(SCHEMA))
    path = tmp_path / "pipelines" / "meters.yaml"
    path.write_text(PIPELINE.format(name=pipeline_name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    return path


Command = Callable[..., str]


@pytest.fixture
def headrace(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command of the command line; its standard output."""

    def run(*arguments: str) -> str:
        code = application()(list(arguments), prog_name="headrace", standalone_mode=False)
        told = capsys.readouterr()
        assert not code, told.err
        return told.out

    return run


def write(kafka: str, channel: Channel, keys: list[str], rows: list[dict[str, object]]) -> None:
    """Write records to a topic."""
    producer = Producer(Connection(kafka))
    columns = pa.RecordBatch.from_pylist(rows, schema=channel.codec.reader.arrow)
    producer.send(channel.name, keys, channel.codec.encode(columns))
    producer.flush()


def fill(kafka: str, contracts: Contracts) -> None:
    """Features a minute apart; loads above 60 are faults, of which every labelled one is labelled twice."""
    loads = np.random.default_rng(0).gamma(2.0, 20.0, ROWS)
    features = [
        {
            "event_id": f"r{i}",
            "entity": f"m{i % 7}",
            "event_time": i * 60_000,
            "ingest_time": i * 60_000,
            "event": {"load": load},
            "meter": {"mean_1h": load / 2},
        }
        for i, load in enumerate(loads)
    ]
    faults = [i for i, load in enumerate(loads) if load > 60]
    labels = [
        {"event_id": f"r{i}", "value": value, "label_time": i * 60_000 + after, "source": "test"}
        for i in faults
        for value, after in ((0.0, 1), (1.0, 2))
    ]
    write(kafka, contracts.channel("features"), [f"m{i % 7}" for i in range(ROWS)], features)
    write(kafka, contracts.channel("labels"), [str(row["event_id"]) for row in labels], labels)


def test_train_and_play(kafka: str, path: Path, pipeline_name: str, tmp_path: Path, headrace: Command) -> None:
    """Models learn from the newest labels, name their offsets and are played by their plans; every trainer serves."""
    at = ("--bootstrap", kafka)
    headrace("topics", "apply", str(path), *at, "--partitions", "2", "--replication", "1")
    headrace("schemas", "register", str(path))
    contracts = read_contracts(Settings(pipeline=str(path), bootstrap=kafka))
    fill(kafka, contracts)

    told = json.loads(headrace("train", str(path), *at, "--trees", "20", "--model-version", "1", "--json"))
    assert told["plan_version"] == 1
    assert told["metrics"]["auc_roc"] > 0.99
    ranges = told["training"]["offsets"][f"{pipeline_name}.features"]
    assert sum(stop - start for start, stop in ranges.values()) == ROWS

    store = ModelStore(str(tmp_path / "models"), tmp_path / "cache")
    package = load(store.fetch(told["uri"], told["digest"]), told["digest"])
    assert package.manifest.threshold == 0.4
    assert package.manifest.input_names == ("load", "meter.mean_1h")

    again = json.loads(
        headrace("train", str(path), *at, "--trees", "5", "--version", "2", "--to", "1970-01-02", "--json")
    )
    assert again["plan_version"] == 2
    assert again["training"]["end"] < 86_400_000
    named = ("--pipeline", str(path), *at, "--json")
    assert json.loads(headrace("models", "reproduce", "meters@2", *named))["state"] == "identical"

    for name in TRAINERS:
        chosen = ["--trainer", name, "--seed", "5", "--from", "1970-01-01T02:00", "--to", "1970-01-02"]
        chosen += ["--as-of", "1970-01-02", "--holdout", "0", "--no-plan", "--model-version", f"{name}-1"]
        chosen += ["--param", "max_depth=3"] if name == "decision_tree" else []
        told = json.loads(headrace("train", str(path), *at, *chosen, "--json"))
        assert (told["trainer"], told["plan_version"], told["metrics"]) == (name, None, {})
        assert told["training"]["rows"] == 21 * 60 + 1, "from two o'clock up to an hour before the day's end"
        package = load(store.fetch(told["uri"], told["digest"]), told["digest"])
        assert package.manifest.parameters["as_of"] == DAY
        found = open_session(package, SessionSettings(device="cpu", rows=256)).run(np.array([[10, 5], [150, 75]], "f4"))
        assert found[0] < 0.4 < found[1]

    with pytest.raises(AssertionError, match="did you mean xgboost"):
        headrace("train", str(path), *at, "--trainer", "xgbost")

    service = score(contracts, store)
    service.learn(batch(kafka, contracts.channel("plans")), now=0.0)
    assert service.ready() is None
    output = service.process(batch(kafka, contracts.channel("features")), now=1.0)
    (emit,) = output.emits
    assert emit.columns.num_rows == ROWS
    assert set(emit.columns["plan_version"].to_pylist()) == {2}
    assert emit.columns["prediction_id"][0].as_py().endswith("/meters@2/champion")
    assert len(contracts.channel("predictions").codec.encode(emit.columns)) == ROWS


def score(contracts: Contracts, store: ModelStore) -> Score:
    """The service on this pipeline's schemas."""
    read, written = (contracts.channel(name).codec.reader.arrow for name in ("features", "predictions"))
    return Score(
        contracts.pipeline.name,
        read,
        written,
        ControlEvents(contracts.pipeline.name, "score", "m", contracts.channel("control").codec.reader.arrow),
        store,
        SessionSettings(),
        ScoreMetrics(CollectorRegistry()),
        time.perf_counter,
    )


def batch(kafka: str, channel: Channel) -> Batch:
    """All of a topic."""
    table, _ = read_topic(Connection(kafka), channel)
    table = table.combine_chunks()
    (columns,) = table.select(channel.codec.reader.arrow.names).to_batches()
    places = [table[name].to_numpy() for name in ("_partition", "_offset", "_timestamp")]
    return Batch(channel.logical, columns, pa.nulls(len(table), pa.binary()), *places)


@pytest.mark.parametrize(
    ("given", "said"), [(["depth"], "write a name and a value"), (["=3"], "a name"), (["a=1", "a=2"], "twice")]
)
def test_wrong_parameters(given: list[str], said: str) -> None:
    """A parameter that is none is refused with an example."""
    with pytest.raises(ConfigurationError, match=said):
        parameters_of(given)


def test_parameters() -> None:
    """Numbers, words and Python's mappings are values; anything else is text."""
    given = ["depth=2", "rate=1e-3", "kind=gini", "on=True", "none=none", "weights={0: 1}", "odd={1", "set={1}"]
    values = [2, 0.001, "gini", True, None, {0: 1}, "{1", "{1}"]
    assert list(parameters_of(given).values()) == values
