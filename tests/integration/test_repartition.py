"""Topics that get more partitions between two halves of a stream: features as if there had been as many all along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal
from redis import Redis as Server

from headrace.streaming.kafka.admin import Admin
from tests.integration import bikes
from tests.project import Project

NO_DELAY = {"    delay: 30s\n": "", "    max_age: 2s\n": "", "idle_after: 3s": "idle_after: 1s"}
RULES = bikes.Rules(delay=0)
HALF = 600
Make = Callable[[], Project]


@pytest.fixture
def make(kafka: str, redis_server: str, tmp_path: Path) -> Iterator[Make]:
    """Makes a project of the stranger's pipeline with topics of two partitions."""
    made: list[Project] = []

    def project() -> Project:
        source = bikes.source(tmp_path / f"source{len(made)}", NO_DELAY)
        name = f"test_{uuid.uuid4().hex[:12]}"
        made.append(Project(source, name, tmp_path / f"project{len(made)}", kafka, redis_server, 2))
        made[-1].settings = {"HEADRACE_BATCH_ROWS": "100", "HEADRACE_CHECKPOINT_S": "1"}
        return made[-1]

    yield project
    for one in made:
        one.close()


def half(number: int) -> pa.RecordBatch:
    """One half of the trips."""
    return bikes.trips(HALF, seed=90 + number, first=HALF * number)


def assert_as_always(project: Project) -> None:
    """Each trip has its features, those of a log in which each rider's trips stand in their order."""
    events = project.read("events")
    # Where a rider's trips lie in two partitions, the brute force must find them in the order of their times.
    order = np.argsort(events["returned_at"].cast(pa.int64()).to_numpy(), kind="stable")
    joined = events.take(pa.array(order))
    one = pa.array(np.zeros(len(order), np.int32)), pa.array(np.arange(len(order)))
    for name, column in zip(("_partition", "_offset"), one, strict=True):
        joined = joined.set_column(joined.schema.get_field_index(name), name, column)
    ids = joined["trip"].to_pylist()
    wanted = bikes.expected(joined.filter(pa.array([ids.index(name) == at for at, name in enumerate(ids)])), RULES)
    got = bikes.found(project.read("features"))
    assert_frame_equal(got.select(wanted.columns), wanted, check_exact=False, rel_tol=1e-9, abs_tol=0)


def command(project: Project) -> tuple[int, str]:
    """`headrace repartition` of the project: its exit code, and what it says."""
    argv = [sys.executable, "-m", "headrace.cli", "repartition", str(project.path), "--bootstrap", project.bootstrap]
    environment = {**os.environ, "HEADRACE_REDIS": project.redis}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, env=environment, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow  # together
@pytest.mark.parametrize(
    ("topics", "drained"),
    [(("events",), False), (("events", "view.station"), True)],
    ids=["killed-events", "drained-both"],
)
def test_features_after_a_growth_between_two_halves(make: Make, topics: tuple[str, ...], drained: bool) -> None:
    """Services stop with the remedy, the command moves their state, and the second half is answered as ever."""
    project = make()
    for member in ("enrich-0", "views-0"):
        project.start(member)
    project.publish(half(0), "rider")
    project.await_count("features", HALF)
    for member in ("enrich-0", "views-0"):
        project.stop(member, signal.SIGTERM if drained else signal.SIGKILL)
    for topic in topics:
        Admin(project.bootstrap).add_partitions(f"{project.name}.{topic}", 3)
    assert project.start("enrich-0").wait(90) == 2
    assert f"headrace repartition {project.name}" in project.logs()
    del project.processes["enrich-0"]
    code, said = command(project)
    assert code == 0, said
    for topic in topics:
        assert f"{project.name}.{topic}: 2 -> 3 partitions" in said
    code, again = command(project)
    assert code == 0, again
    assert "nothing to move" in again
    for member in ("enrich-0", "enrich-1", "views-0"):
        project.start(member)
    project.publish(half(1), "rider")
    project.await_count("features", 2 * HALF)
    assert_as_always(project)
    keys = Server.from_url(project.redis).keys(f"{project.name}:*")
    count = 3 if "view.station" in topics else 2
    assert {key.rpartition(b"/")[2] for key in keys} == {b"%d" % count}


def test_events_written_before_a_growth_and_not_answered(make: Make) -> None:
    """What waits unread where its keys no longer belong is written again where they do, in order, and answered once."""
    project = make()
    for member in ("enrich-0", "views-0"):
        project.start(member)
    first, second = half(0), half(1)
    project.publish(first, "rider")
    project.await_count("features", HALF)
    for member in ("enrich-0", "views-0"):
        project.stop(member)
    project.publish(second.slice(0, 200), "rider")
    Admin(project.bootstrap).add_partitions(f"{project.name}.events", 3)
    project.publish(second.slice(200), "rider")
    code, said = command(project)
    assert code == 0, said
    assert f"{HALF:,} events that were not answered yet were written again" in said
    for member in ("enrich-0", "views-0"):
        project.start(member)
    project.await_count("features", 2 * HALF)
    assert_as_always(project)


def test_services_that_run_are_in_the_way(make: Make) -> None:
    """State is not moved from under services that run."""
    project = make()
    project.start("enrich-0")
    project.publish(half(0), "rider")
    project.await_count("view.station", 2)
    code, said = command(project)
    assert code == 2
    assert "Stop all services" in said
