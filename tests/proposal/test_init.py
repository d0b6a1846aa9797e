"""`headrace init` proposes a pipeline from the rows of a file, and says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from headrace.domain.pipeline.check import check, load
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ConfigurationError
from headrace.operations.proposal.initialisation import InitialisedPipeline, initialise
from headrace.operations.proposal.sample import sample_file
from headrace.operations.tables import event_table as tables
from headrace.operations.tables.event_table import Rows
from headrace.operations.topics.schema_ids import check_schemas
from headrace.streaming.contracts.schemas import load_schema
from tests.cli.terminal import Terminal

ROWS = 2_000
START = 1_522_540_800_000


def payments(path: Path) -> Path:
    """Payments as the Handbook has them, with a truth and what explains it."""
    draw = np.random.default_rng(3)
    truth = (draw.random(ROWS) < 0.05).astype(np.int8)
    table = pa.table(
        {
            "transaction_id": np.arange(ROWS),
            "tx_datetime": pa.array(START + np.sort(draw.integers(0, 10 * 86_400_000, ROWS)), pa.timestamp("ms")),
            "customer_id": draw.integers(0, 200, ROWS),
            "terminal_id": draw.integers(0, 400, ROWS),
            "tx_amount": draw.lognormal(3, 1, ROWS).round(2),
            "tx_fraud": truth,
            "tx_fraud_scenario": truth * draw.integers(1, 4, ROWS),
        }
    )
    pyarrow.csv.write_csv(table, path)
    return path


def made(tmp_path: Path, file: Path, name: str = "found") -> InitialisedPipeline:
    """What is made of a file, in the folder of the test."""
    return initialise(name, sample_file(file, 1_000_000), tmp_path, f"headrace init {name}")


def published(made_: InitialisedPipeline, file: Path, kind: str = "events") -> tuple[Pipeline, Rows]:
    """The pipeline, and the rows that `headrace publish` would write of the file."""
    path = Path(made_.file)
    assert check(path) == []
    pipeline = load(path)
    table = tables.read_table(file)
    if kind == "labels":
        schema = load_schema(Path(__file__).parents[2] / "schemas" / "label.avsc").arrow
        return pipeline, tables.labels(table, pipeline, schema, {}, "file")
    schema = load_schema(path.parents[1] / "schemas" / f"{pipeline.events.schema}.avsc").arrow
    return pipeline, tables.events(table, pipeline, schema, {})


def test_payments_become_a_pipeline(tmp_path: Path) -> None:
    """Of a CSV of payments each column has its role, with the evidence; the file can be published as it is."""
    file = payments(tmp_path / "transactions.csv")
    found = made(tmp_path, file)
    pipeline, rows = published(found, file)
    events = pipeline.events
    assert (events.id, events.time, events.key) == ("transaction_id", "tx_datetime", "customer_id")
    assert list(events.fields) == ["transaction_id", "tx_datetime", "customer_id", "terminal_id", "tx_amount"]
    assert rows.columns.num_rows == ROWS
    assert found.found["id"].endswith("distinct in 2,000 of 2,000 rows")
    assert "tx_fraud_scenario" in "".join(found.found)
    assert {view.key for view in pipeline.views.values()} == {None, "customer_id", "terminal_id"}
    assert any("terminal_id could be, too" in line.text for line in found.open)
    _, labels = published(found, file, "labels")
    assert labels.columns["value"].to_numpy().sum() > 0
    assert check_schemas(found.file, tmp_path / "schemas", None).problems == []


def test_nothing_is_overwritten_in_silence(terminal: Terminal, tmp_path: Path) -> None:
    """A second init refuses, and names what is there; --replace says what it replaced."""
    payments(tmp_path / "transactions.csv")
    terminal.json("init", "found", "--from", "transactions.csv")
    path = tmp_path / "pipelines" / "found.yaml"
    path.write_text("mine")
    code, _, errors = terminal.run("init", "found", "--from", "transactions.csv")
    assert code == 2
    assert "pipelines/found.yaml is there already" in errors
    assert "--replace" in errors
    assert path.read_text() == "mine"
    told = terminal.json("init", "found", "--from", "transactions.csv", "--replace")
    assert len(told["replaced"]) == len(told["written"])
    assert check(path) == []


def test_lines_to_look_at_are_named(terminal: Terminal, tmp_path: Path) -> None:
    """--edit lists each guess with its file and line, and opens nothing."""
    payments(tmp_path / "transactions.csv")
    code, out, errors = terminal.run("init", "found", "--from", "transactions.csv", "--edit")
    assert code == 0, errors
    lines = (tmp_path / "pipelines" / "found.yaml").read_text().splitlines()
    for told in out.splitlines():
        place, _, text = told.partition(" ")
        number = int(place.rpartition(":")[2])
        assert lines[number - 1].strip().startswith("# guess:")
        assert text


@pytest.mark.parametrize("name", ["Payments", "2nd", "a-b", ""])
def test_a_name_that_no_topic_can_have_is_refused(tmp_path: Path, name: str) -> None:
    """It is refused with the remedy, before anything is written."""
    file = payments(tmp_path / "transactions.csv")
    with pytest.raises(ConfigurationError, match="is not a legal name"):
        made(tmp_path, file, name)
    assert not (tmp_path / "pipelines").exists()
