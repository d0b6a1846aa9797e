"""The service on a real broker: outcomes are those of a batch join, whatever is killed."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import polars.testing
import pyarrow as pa
import pytest

from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.reader import read_topic
from tests.labels.cases import Case
from tests.labels.stream import COMPARED, flood, joined, millis
from tests.members import ROOT
from tests.project import Project

EVENTS = 200_000


@pytest.fixture
def project(kafka: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """Card fraud whose members do not wait long for sources that say nothing, and end long after they last had to."""
    made = Project(ROOT / "pipelines/card_fraud.yaml", pipeline_name, tmp_path / "project", kafka, "unused")
    made.settings = {"HEADRACE_IDLE_AFTER_S": "2", "HEADRACE_UNTIL_IDLE_S": "20", "HEADRACE_CHECKPOINT_S": "2"}
    yield made
    made.close()


def publish(project: Project, topic: str, rows: pa.RecordBatch, key: str) -> None:
    """Write records keyed by a column."""
    channel = project.contracts.channel(topic)
    producer = Producer(project.connection)
    for start in range(0, rows.num_rows, 10_000):
        part = rows.slice(start, 10_000)
        producer.send(channel.name, part[key].to_pylist(), channel.codec.encode(part))
        producer.poll()
    producer.flush()


@pytest.mark.slow
def test_outcomes_are_those_of_a_batch_join(project: Project) -> None:
    """Two members, kills in mid-run, every kind of label: the newest revisions are polars' join, each revision once."""
    contracts = project.contracts
    rule = contracts.pipeline.labels
    assert rule is not None
    schema = contracts.channel("predictions").codec.reader.arrow
    found = flood(EVENTS, schema, contracts.channel("labels").codec.reader.arrow, rule.expires_after)
    third = found.labels.num_rows // 3
    publish(project, "labels", found.labels.slice(0, third), "event_id")
    half = found.predictions.num_rows // 2
    publish(project, "predictions", found.predictions.slice(0, half), "entity")
    for member in ("labels-0", "labels-1"):
        project.start(member)
    kill_in_mid_run(project, "labels-0", 1_000)
    publish(project, "labels", found.labels.slice(third, third), "event_id")
    publish(project, "predictions", found.predictions.slice(half), "entity")
    publish(project, "shadow-predictions", found.shadows, "entity")
    kill_in_mid_run(project, "labels-1", 60_000)
    publish(project, "labels", found.labels.slice(2 * third), "event_id")
    await_drained(project)
    told = millis(pl.DataFrame(project.read("outcomes")))
    outcomes = told.filter(pl.col("revision") >= 0)
    published = pl.concat([pl.DataFrame(part).select("prediction_id") for part in (found.predictions, found.shadows)])
    assert sorted(told.filter(pl.col("state") == "repeated")["prediction_id"]) == sorted(
        published.filter(pl.int_range(pl.len()).over("prediction_id") > 0)["prediction_id"]
    )
    assert outcomes.select("prediction_id", "revision").is_duplicated().sum() == 0
    newest = outcomes.sort("revision").unique("prediction_id", keep="last").select(*COMPARED).sort("prediction_id")
    polars.testing.assert_frame_equal(newest, joined(found, rule), check_dtypes=False)
    follow = outcomes.sort("prediction_id", "revision").with_columns(
        pl.col("label").shift().over("prediction_id").alias("before"),
        pl.col("revision").diff().over("prediction_id").alias("step"),
    )
    assert follow.filter(pl.col("revision") > 0).select((pl.col("step") == 1).all()).item()
    corrected = follow.filter(pl.col("revision") > 0)
    assert corrected.select((pl.col("before") == pl.col("former_label")).all()).item()
    assert len(corrected) > 5_000
    assert project.count("dead-letters") == 0


def kill_in_mid_run(project: Project, member: str, outcomes: int) -> None:
    """Kill a member without warning once so many outcomes can be read, and start it again."""
    end = time.monotonic() + 120
    channel = project.contracts.channel("outcomes")
    while read_topic(project.connection, channel)[0].num_rows < outcomes:
        assert time.monotonic() < end, project.logs()
        time.sleep(0.1)  # Polls the broker: there is no event to wait for.
    project.stop(member, signal.SIGKILL)
    project.start(member)


def await_drained(project: Project) -> None:
    """Wait until the members have ended by themselves, for want of input."""
    for member, process in project.processes.items():
        assert process.wait(150) == 0, f"{member}\n{project.logs()}"


def test_what_no_event_could_have_is_a_dead_letter(project: Project) -> None:
    """A label that is no number, one from the future and one of no event are refused whole; their neighbours count."""
    channel = project.contracts.channel("labels")
    now = int(time.time() * 1000)
    rows = [("a", 1.0, 1_000), ("b", float("nan"), 1_000), ("c", 1.0, now + 3 * 86_400_000), ("", 1.0, 1_000)]
    names = ("event_id", "value", "label_time", "source")
    table = [dict(zip(names, (*row, "x"), strict=True)) for row in rows]
    publish(project, "labels", pa.RecordBatch.from_pylist(table, schema=channel.codec.reader.arrow), "event_id")
    project.start("labels-0", HEADRACE_DEAD_LETTER_LIMIT="1")
    await_drained(project)
    letters = {row["reason"]: row["key"] for row in project.read("dead-letters").to_pylist()}
    assert letters == {"not_finite": b"b", "label_time": b"c", "event_id": b""}
    labels = [row for record in project.read("exchange").to_pylist() for row in record["labels"]]
    assert [row["event_id"] for row in labels] == ["a"]


def test_labels_of_two_classes_become_outcomes_of_0_and_1(
    kafka: str, pipeline_name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Where the file says that 2 is the positive class, labels 1 and 2 are outcomes 0 and 1, silence as well."""
    source = tmp_path / "pipelines" / "card_fraud.yaml"
    source.parent.mkdir()
    text = (ROOT / "pipelines/card_fraud.yaml").read_text()
    source.write_text(
        text.replace("value: fraud,", "value: fraud, positive: 2,").replace("unlabelled_is: 0", "unlabelled_is: 1")
    )
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    project = Project(source, pipeline_name, tmp_path / "project", kafka, "unused")
    request.addfinalizer(project.close)
    project.settings = {"HEADRACE_IDLE_AFTER_S": "2"}
    contracts, start, week = project.contracts, 1_714_564_800_000, 7 * 86_400_000
    case = Case(contracts.pipeline)
    events = [case.prediction(name, start) for name in ("bad", "good", "silent")]
    # So that the others mature: no event moves time alone, most of the newest must have gone as far.
    events += [case.prediction(f"later-{number}", start + 2 * week) for number in range(8)]
    publish(project, "predictions", pa.RecordBatch.from_pylist(events, schema=case.predictions), "entity")
    rows = [("bad", 2.0, start), ("good", 1.0, start), ("odd", 0.3, start)]
    names = ("event_id", "value", "label_time", "source")
    table = [dict(zip(names, (*row, "x"), strict=True)) for row in rows]
    schema = contracts.channel("labels").codec.reader.arrow
    publish(project, "labels", pa.RecordBatch.from_pylist(table, schema=schema), "event_id")
    project.start("labels-0")
    outcomes = project.await_count("outcomes", 3).to_pylist()
    found = [(row["event_id"], row["state"], row["label"]) for row in outcomes]
    assert sorted(found) == [("bad", "labelled", 1.0), ("good", "labelled", 0.0), ("silent", "presumed", 0.0)]
