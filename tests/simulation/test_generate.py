"""`headrace generate`, and events of pipelines that have no simulator of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from headrace.cli.pipeline.generate import generate
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.truth import truths
from headrace.domain.simulation.simulators import World, simulate
from headrace.domain.training.dataset import labels_of
from headrace.errors import ConfigurationError

PIPELINE = """
pipeline: meters
events: {schema: reading, id: reading_id, time: at, key: meter}
rules:
  load: {range: [0, 50], else: reject}
  phase: {one_of: [a, b, c], else: reject}
  taps: {range: [1, 4], else: reject}
views:
  meter: {key: meter, windows: [1h], features: {n: count}}
model: {name: meters, inputs: [load, meter.*], output: probability, threshold: 0.5}
labels: {id: reading_id, value: fault, matures_after: 1d, unlabelled_is: 0}
"""
FIELDS = [
    ("reading_id", "string"),
    ("at", {"type": "long", "logicalType": "timestamp-millis"}),
    ("meter", "string"),
    ("load", "double"),
    ("phase", "string"),
    ("taps", "long"),
    ("open", "boolean"),
    ("note", ["null", "string"]),
]


def pipeline(folder: Path, *more: tuple[str, object]) -> Path:
    """A workspace with a pipeline about electricity meters."""
    (folder / "schemas").mkdir()
    (folder / "pipelines").mkdir()
    fields = [{"name": name, "type": kind} for name, kind in [*FIELDS, *more]]
    schema = {"type": "record", "name": "reading", "fields": fields}
    (folder / "schemas" / "reading.avsc").write_text(json.dumps(schema))
    path = folder / "pipelines" / "meters.yaml"
    path.write_text(PIPELINE)
    return path


@pytest.fixture
def meters(tmp_path: Path) -> Pipeline:
    """The pipeline about electricity meters."""
    return load(pipeline(tmp_path))


def test_events_keep_the_rules(meters: Pipeline) -> None:
    """Every field of the schema is there and passes its rule; ids differ and times ascend."""
    table = simulate(meters, World(entities=100, days=10, seed=1))
    assert table.column_names == [*meters.events.fields, "fault"]
    assert 1500 < table.num_rows < 2500
    assert len(table["reading_id"].unique()) == table.num_rows
    assert (np.diff(table["at"].cast(pa.int64()).to_numpy()) >= 0).all()
    assert set(table["phase"].to_pylist()) == {"a", "b", "c"}
    assert set(table["taps"].to_pylist()) == {1, 2, 3, 4}
    loads = table["load"].to_numpy()
    assert loads.min() >= 0
    assert loads.max() <= 50
    assert table["fault"].to_numpy().mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(("positive", "negative"), [(2.0, 0.0), (-1.0, 0.0), (0.0, 1.0)])
def test_labels_are_written_as_the_file_says(meters: Pipeline, positive: float, negative: float) -> None:
    """Where the pipeline file names a positive value, it is that which made-up labels have."""
    assert meters.labels is not None
    plain = simulate(meters, World(10, seed=1))["fault"].to_numpy()
    told = replace(meters, labels=replace(meters.labels, positive=positive))
    found = simulate(told, World(10, seed=1))["fault"].to_numpy()
    np.testing.assert_array_equal(found, np.where(plain, positive, negative))


def test_same_world_same_events(meters: Pipeline) -> None:
    """A world is its arguments."""
    assert simulate(meters, World(10, seed=1)).equals(simulate(meters, World(10, seed=1)))
    assert not simulate(meters, World(10, seed=1)).equals(simulate(meters, World(10, seed=2)))


def test_a_type_that_cannot_be_made_up(tmp_path: Path) -> None:
    """A field of a type without a recipe is named."""
    spec = load(pipeline(tmp_path, ("blob", "bytes")))
    with pytest.raises(ConfigurationError, match="field blob"):
        simulate(spec, World(10))


def test_command(tmp_path: Path) -> None:
    """The command writes a file that names the world's events and says how many there are."""
    app = typer.Typer()
    app.command()(generate)
    out = tmp_path / "out.parquet"
    size = ["--days", "3", "--customers", "50", "--terminals", "500"]
    ran = CliRunner().invoke(app, ["card_fraud", str(out), *size, "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["rows"] == pq.read_table(out).num_rows > 100
    assert told["labels"] == "fraud"


def test_a_shift_is_refused_where_no_simulator_knows_one(meters: Pipeline) -> None:
    """Events that follow a schema alone have no process that could shift: that is said, and not left out."""
    with pytest.raises(ConfigurationError, match="made up for card_transaction alone"):
        simulate(meters, World(10, shift_day=1))


@pytest.mark.parametrize("names", [("low", "middle", "very high"), ("1", "2", "7")])
def test_labels_of_several_classes_are_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    """As many events of each, as a person writes them, and a table of such becomes labels to train on."""
    path = pipeline(tmp_path)
    of = f"output: class, classes: [{', '.join(names)}]"
    text = path.read_text().replace("output: probability, threshold: 0.5", of).replace("unlabelled_is: 0", "")
    path.write_text(text)
    meters = load(path)
    table = simulate(meters, World(entities=100, days=10, seed=1))
    counts = {str(each["values"]): each["counts"] for each in table["fault"].value_counts().to_pylist()}
    assert set(counts) == set(names)
    assert max(counts.values()) - min(counts.values()) <= 2
    labels = labels_of(meters, table)
    assert meters.labels is not None
    places, strange = truths(labels["value"].to_numpy(), meters.labels)
    assert not strange.any()
    assert [names[int(place)] for place in places] == [str(value) for value in table["fault"].to_pylist()]
