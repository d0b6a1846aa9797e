"""Files of every shape become pipelines that pass `check`, take their file as it is, and predict."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headrace.domain.pipeline.check import check, load
from headrace.domain.pipeline.spec import expand
from headrace.errors import ConfigurationError
from headrace.operations.tables import event_table as tables
from headrace.operations.topics.schema_ids import check_schemas
from headrace.streaming.contracts.schemas import load_schema
from tests.cli.terminal import Terminal
from tests.proposal.streams import ROWS, STREAMS, Stream

MOST_EDITS = 2


@pytest.fixture(params=STREAMS, ids=[stream.name for stream in STREAMS])
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> Stream:
    """One of the files, in the folder of the test."""
    found: Stream = request.param
    data = request.getfixturevalue("shared_data") if found.real else tmp_path
    found.write(tmp_path / found.name, data)
    return found


def initialised(terminal: Terminal, stream: Stream, name: str) -> Path:
    """Propose a pipeline by the command, and edit the lines that only a person can know."""
    terminal.json("init", name, "--from", stream.name)
    path = terminal.directory / "pipelines" / f"{name}.yaml"
    assert check(path) == []
    lines = path.read_text().splitlines()
    assert len(stream.edits) <= MOST_EDITS
    for proposed, instead in stream.edits:
        lines[lines.index(proposed)] = instead
    path.write_text("\n".join(lines) + "\n")
    assert check(path) == []
    return path


def test_a_file_becomes_a_pipeline(terminal: Terminal, stream: Stream) -> None:
    """Roles, inputs, schema and examples are right, and every row of the file is an event and a label."""
    path = initialised(terminal, stream, "found")
    pipeline = load(path)
    events, labels = pipeline.events, pipeline.labels
    assert labels is not None
    assert (events.id, events.time, events.key) == (stream.id, stream.time, stream.key)
    assert (labels.id, labels.value) == (stream.id, stream.label)
    assert set(stream.inputs) <= set(expand(pipeline))
    assert stream.label not in events.fields
    assert check_schemas(str(path), path.parents[1] / "schemas", None).problems == []
    file = tables.read_table(terminal.directory / stream.name)
    schema = load_schema(path.parents[1] / "schemas" / f"{events.schema}.avsc").arrow
    rows = tables.events(file, pipeline, schema, {})
    assert rows.columns.num_rows == ROWS
    assert len(set(rows.columns[stream.id].to_pylist())) == ROWS
    label = load_schema(Path(__file__).parents[2] / "schemas" / "label.avsc").arrow
    truths = tables.labels(file, pipeline, label, {}, "file")
    assert set(truths.columns["value"].to_pylist()) == {0.0, 1.0}
    assert set(truths.columns["event_id"].to_pylist()) == {str(one) for one in rows.columns[stream.id].to_pylist()}


def test_rows_without_a_time_are_refused_until_it_is_said(
    terminal: Terminal, tmp_path: Path, shared_data: Path
) -> None:
    """No time is made up: a file without any is refused with the two lines to write."""
    stream = STREAMS[1]
    stream.write(tmp_path / stream.name, shared_data)
    told = terminal.json("init", "found", "--from", stream.name)
    assert told["undated"]
    pipeline = load(tmp_path / "pipelines" / "found.yaml")
    schema = load_schema(tmp_path / "schemas" / "found_event.avsc").arrow
    with pytest.raises(ConfigurationError, match=r"files: {first_time: .*, time_step: 30m}"):
        tables.events(tables.read_table(tmp_path / stream.name), pipeline, schema, {})


@pytest.mark.slow  # nine commands for each file, three of which run services
def test_a_proposed_pipeline_predicts(
    terminal: Terminal, stream: Stream, kafka: str, redis_server: str, pipeline_name: str
) -> None:
    """From the file to predictions by the commands that `init` names: each event has one, of a trained model."""
    headrace = Terminal(
        terminal.directory,
        {**terminal.env, "HEADRACE_BOOTSTRAP": kafka, "HEADRACE_REDIS": redis_server},
    )
    path = initialised(headrace, stream, pipeline_name)

    def run(*arguments: object) -> str:
        code, out, errors = headrace.run(*arguments, timeout=300)
        assert code == 0, f"{arguments}: {code}\n{out}\n{errors}"
        return out

    run("check", pipeline_name)
    run("schemas", "register", pipeline_name)
    run("topics", "apply", pipeline_name, "--partitions", 2, "--replication", 1)
    assert headrace.json("publish", pipeline_name, stream.name)["sent"] == ROWS
    assert headrace.json("publish", pipeline_name, stream.name, "--to", "labels")["sent"] == ROWS
    services = ["enrich", "views"] if load(path).foreign_views else ["enrich"]
    run("run", *services, "--pipeline", pipeline_name, "--until-idle", "3s")
    trained = headrace.json("train", pipeline_name, "--trees", 10, *stream.train, timeout=300)
    assert trained["training"]["rows"] > 0
    run("run", "score", "--pipeline", pipeline_name, "--until-idle", "3s")
    told = headrace.json("export", pipeline_name, "predictions", "predictions.parquet")
    assert told["records"] == ROWS
    scores = pq.read_table(headrace.directory / "predictions.parquet")["score"].to_numpy()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert len(set(scores.tolist())) > 1
