"""Topics that grow under a service: noticed, told, and read on only where state does not depend on it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from tests.streaming.tally import EVENT, channel
from tests.streaming.test_runner import PARTITIONS, Stage, events, expected


@pytest.fixture
def stage(kafka: str, pipeline_name: str, tmp_path: Path) -> Iterator[Stage]:
    """Topics and processes of one test; what still runs is killed at the end."""
    made = Stage(kafka, pipeline_name, tmp_path)
    yield made
    made.close()


def grow(stage: Stage) -> None:
    """Add a partition to the events, and publish to it alone."""
    name = f"{stage.pipeline}.events"
    admin = Admin(stage.bootstrap)
    admin.add_partitions(f"{stage.pipeline}.notes", PARTITIONS + 1)  # The tally writes one for each of the events.
    admin.add_partitions(name, PARTITIONS + 1)
    codec = channel(stage.pipeline, "events", EVENT).codec
    rows = [{"id": f"new{n}", "key": f"new{n % 7}", "amount": n} for n in range(200)]
    values = codec.encode(pa.RecordBatch.from_pylist(rows, schema=EVENT.arrow))
    producer = Producer(Connection(stage.bootstrap))
    producer.send(name, [None] * 200, values, [PARTITIONS] * 200)
    producer.flush()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_member_that_comes_back_reads_partitions_that_were_added(stage: Stage, protocol: str) -> None:
    """Restarted within its session, a member does not get what it had and nothing else: all events are answered."""
    stage.settings = {"HEADRACE_GROUP_PROTOCOL": protocol}
    published = events(1_000)
    stage.publish(published)
    stage.start("a")
    stage.await_answers(len(published))
    stage.stop("a", signal.SIGKILL)
    grow(stage)
    stage.start("a")
    stage.await_answers(len(published) + 200, between=stage.revive)


def test_a_member_that_runs_reads_partitions_that_are_added(stage: Stage) -> None:
    """It ends with 75, to be started again, as soon as it sees them; nothing is answered twice."""
    published = events(1_000)
    stage.publish(published)
    process = stage.start("a")
    stage.await_answers(len(published))
    grow(stage)
    assert process.wait(60) == 75
    assert "begins anew" in stage.logs()
    answers = stage.await_answers(len(published) + 200, between=stage.revive)
    assert len({str(answer["id"]) for answer in answers}) == len(answers) == len(published) + 200


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_state_that_depends_on_the_number_of_partitions_stops(stage: Stage, running: bool) -> None:
    """Code 2 and the remedy, at the start as well as in mid-stream; nothing that came after is answered."""
    stage.settings = {"TALLY_COUNTED": "1"}
    published = events(1_000)
    stage.publish(published)
    process = stage.start("a")
    stage.await_answers(len(published))
    if not running:
        assert stage.stop("a") == 0
    grow(stage)
    later = events(400, start=1_000, seed=2)
    stage.publish(later)
    if not running:
        process = stage.start("a")
    assert process.wait(60) == 2
    assert f"has {PARTITIONS + 1} partitions" in stage.logs()
    assert f"headrace repartition {stage.pipeline}" in stage.logs()
    answers = {str(answer["id"]): (answer["count"], answer["total"]) for answer in stage.answers()}
    wanted = expected(published + later)
    assert {name: answer for name, answer in answers.items() if answer != wanted.get(name)} == {}
    assert len(answers) < len(wanted)
    del stage.processes["a"]
    assert stage.start("a").wait(60) == 2
