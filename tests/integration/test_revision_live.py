"""A pipeline that is turned into another while events come: each is answered once, by one of the two, exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from headrace.domain.pipeline.wiring import read_contracts
from headrace.operations.topics.schema_ids import derived_schemas, pin
from headrace.streaming.kafka.reader import ranges, read_table
from headrace.streaming.process.settings import Settings
from tests.integration import bikes
from tests.project import Project

TRIPS = 3_000
BEFORE = "{key: rider, windows: [30m, 6h], features: {trips: count, longest: max(minutes), shortest: min(minutes)}}"
AFTER = "{key: rider, windows: [30m, 2h], features: {trips: count, longest: max(minutes)}}"
RULES = bikes.Rules(rider_windows=(("30m", 30 * bikes.MINUTE), ("6h", 6 * bikes.HOUR)))
NEXT = bikes.Rules(rider_windows=(("30m", 30 * bikes.MINUTE), ("2h", 2 * bikes.HOUR)))


class Revised(Project):
    """The stranger's project, and a second file of its pipeline beside the first."""

    def revise(self) -> Path:
        """Write the next revision and pin the ids of its schemas."""
        text = self.path.read_text().replace(f"pipeline: {self.name}\n", f"pipeline: {self.name}\nrevision: 2\n")
        assert BEFORE in text
        path = self.path.with_name("revised.yaml")
        path.write_text(text.replace(BEFORE, AFTER))
        pin(self.directory / "schemas" / "ids.json", derived_schemas(str(path)))
        return path

    def says(self, path: Path, *arguments: str) -> str:
        """What `headrace revise` says; it must end well."""
        argv = [sys.executable, "-m", "headrace.cli", "revise", str(path), "--bootstrap", self.bootstrap, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ))
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        return done.stdout

    def answered(self, path: Path) -> pa.Table:
        """All features, as the revised pipeline reads them."""
        contracts = read_contracts(Settings(pipeline=str(path), bootstrap=self.bootstrap))
        channel = contracts.channel("features")
        return read_table(self.connection, channel, ranges(self.connection, channel.name))


@pytest.fixture
def project(kafka: str, redis_server: str, tmp_path: Path) -> Iterator[Revised]:
    """The stranger's pipeline under a name of its own."""
    source = bikes.source(tmp_path / "source", {"idle_after: 3s": "idle_after: 1s"})
    made = Revised(source, f"test_{uuid.uuid4().hex[:12]}", tmp_path / "project", kafka, redis_server, 2)
    made.settings = {"HEADRACE_BATCH_ROWS": "100", "HEADRACE_CHECKPOINT_S": "1"}
    yield made
    made.close()


@pytest.mark.faults
@pytest.mark.slow
def test_a_revision_takes_over_under_load_and_kills(project: Revised) -> None:
    """Views change while events come and both revisions are killed once: every trip has the features of one of them."""
    for member in ("enrich-0", "views-0"):
        project.start(member)
    publishing = threading.Thread(target=_publish, args=(project,))
    publishing.start()
    path = project.revise()
    project.says(path, "--build", "--reason", "another window", "--before", str(project.path))
    revised = {"HEADRACE_PIPELINE": str(path)}
    project.start("enrich-next", **revised)
    project.await_count("features", TRIPS // 6)
    project.stop("enrich-next", signal.SIGKILL)
    project.start("enrich-next", **revised)
    project.await_count("features", TRIPS // 3)
    told: list[str] = []
    switching = threading.Thread(target=lambda: told.append(project.says(path, "--switch", "--reason", "it is built")))
    switching.start()
    time.sleep(0.5)  # Somewhere in the middle of the switch, wherever that is.
    project.stop("enrich-0", signal.SIGKILL)
    project.start("enrich-0")
    switching.join(240)
    publishing.join(240)
    assert len(told) == 1
    assert "answers" in told[0]
    project.stop("enrich-0")
    _await(project, path)
    got = project.answered(path)
    events = project.read("events")
    names = got["event_id"].to_pylist()
    assert [name for name, times in Counter(names).items() if times > 1] == []
    later = pl.DataFrame(pl.from_arrow(pa.table({"id": got["event_id"].combine_chunks()}))).with_columns(
        by=pl.Series(got["rider"].combine_chunks().field("trips_2h").is_valid().to_pylist())
    )
    assert 0 < later["by"].sum() < TRIPS
    found = bikes.found(got)
    for by, rules in ((False, RULES), (True, NEXT)):
        ids = later.filter(pl.col("by") == by)["id"]
        wanted = bikes.expected(events, rules)
        shared = [name for name in wanted.columns if name in found.columns and (by or not name.endswith("_2h"))]
        these = pl.col("id").is_in(ids.to_list())
        assert_frame_equal(
            found.filter(these).select(shared), wanted.filter(these).select(shared),
            check_exact=False, rel_tol=1e-9, abs_tol=0,
        )  # fmt: skip  # both, and how


def _publish(project: Revised) -> None:
    for first in range(0, TRIPS, 100):
        project.publish(bikes.trips(100, seed=first, first=first), "rider")
        time.sleep(0.2)  # So that there is a stream for the switch to happen in.


def _await(project: Revised, path: Path) -> None:
    end = time.monotonic() + 180
    while project.answered(path).num_rows < TRIPS:
        assert time.monotonic() < end, project.logs()
        time.sleep(0.5)  # Polls the broker: there is no event to wait for.
