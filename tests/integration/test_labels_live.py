"""Views that fold labels, while events flow: who waits for the service `labels`, and for how long."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.integration import bikes
from tests.project import Project

LABELLED = {"mean(electric)}": "mean(electric), full: mean(label)}", "    max_age: 2s\n": ""}
IDLE_AFTER_MS = 3_000
"""As in the stranger's pipeline."""


@pytest.fixture
def project(kafka: str, redis_server: str, tmp_path: Path) -> Iterator[Project]:
    """The stranger's pipeline with a station's share of trips after which it was full; all services but score run."""
    source = bikes.source(tmp_path / "source", LABELLED)
    one = Project(source, f"test_{uuid.uuid4().hex[:12]}", tmp_path / "project", kafka, redis_server, 3)
    one.settings = {"HEADRACE_IDLE_AFTER_S": "3"}
    for member in ("enrich-0", "views-0", "labels-0"):
        one.start(member)
    yield one
    one.close()


def trips_of_now(count: int, seed: int, first: int) -> pa.RecordBatch:
    """Trips that end at this moment."""
    trips = bikes.trips(count, seed, first)
    now = int(time.time() * 1000)
    times = pa.array(np.full(count, now), pa.timestamp("ms", "UTC"))
    return trips.set_column(trips.schema.get_field_index("returned_at"), "returned_at", times)


def labels_of(trips: pa.RecordBatch, value: float, ago_ms: int) -> pa.RecordBatch:
    """Labels that became known a while ago."""
    count = trips.num_rows
    known = pa.array(np.full(count, int(time.time() * 1000) - ago_ms), pa.timestamp("ms", "UTC"))
    columns = {"event_id": trips["trip"], "value": pa.array([value] * count), "label_time": known}
    return pa.RecordBatch.from_pydict({**columns, "source": pa.array([""] * count)})


def answered(project: Project, trips: pa.RecordBatch, labels: pa.RecordBatch) -> pa.Table:
    """Publish trips and wait for their features, while these labels come again and again; the table of all so far."""
    before = project.count("features")
    project.publish(trips, "rider")
    return project.await_count(
        "features", before + trips.num_rows, between=lambda: project.publish(labels, "event_id", "labels")
    )


@pytest.mark.slow
def test_live_events_wait_for_labels_that_are_there_and_no_others(project: Project) -> None:
    """A live event is answered at once, whatever label comes late; without the service `labels` it waits and enrich
    says for what; once that is back, it is answered, with the labels.
    """
    history = bikes.trips(200, seed=1)
    project.publish(labels_of(history, 1.0, bikes.HOUR), "event_id", "labels")
    project.publish(history, "rider")
    project.await_count("features", 200)
    for part in range(5):
        # Labels come all the while, from all partitions and known for long: who waited for younger ones would for ever.
        labels = labels_of(history.slice(part * 10, 30), 0.0, bikes.HOUR // 2)
        found = answered(project, trips_of_now(20, seed=part, first=1_000 + 20 * part), labels)
    ages = [age for age in found["station_age"].to_pylist()[200:] if age is not None]
    assert max(ages) <= 2 * IDLE_AFTER_MS

    project.stop("labels-0", signal.SIGKILL)
    time.sleep(2 * IDLE_AFTER_MS / 1000 + 1)  # What labels told last is too old then.
    late = trips_of_now(20, seed=9, first=2_000)
    project.publish(late, "rider")
    project.await_readiness("enrich-0", "labels or views is behind")
    assert project.count("features") == 300
    project.start("labels-0")
    project.await_count("features", 320)
    project.await_readiness("enrich-0", "ready\n")
