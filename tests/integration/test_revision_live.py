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
from headrace.operations.topics.topic_plan import topics_of
from headrace.streaming.contracts.topic_changes import apply as apply_changes
from headrace.streaming.contracts.topic_changes import plan
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.reader import ranges, read_table
from headrace.streaming.process.settings import Settings
from tests.integration import bikes
from tests.project import Project

TRIPS = 6_000
BEFORE = "{key: rider, windows: [30m, 6h], features: {trips: count, longest: max(minutes), shortest: min(minutes)}}"
AFTER = "{key: rider, windows: [30m, 2h], features: {trips: count, longest: max(minutes)}}"
STATION, WIDER = (
    "    key: station\n    windows: [10m, 1h]\n",
    "    key: station\n    revision: 2\n    windows: [10m, 2h]\n",
)
RULES = bikes.Rules(rider_windows=(("30m", 30 * bikes.MINUTE), ("6h", 6 * bikes.HOUR)))
NEXT = bikes.Rules(
    rider_windows=(("30m", 30 * bikes.MINUTE), ("2h", 2 * bikes.HOUR)),
    station_windows=(("10m", 10 * bikes.MINUTE), ("2h", 2 * bikes.HOUR)),
)

FILES = {
    "enrich-next": "revised.yaml", "views-next": "revised.yaml",
    "enrich-back": "back.yaml", "views-back": "back.yaml",
}  # fmt: skip  # two revisions
"""Files of members that do not run the first one."""


class Revised(Project):
    """The stranger's project, and files of its next revisions beside the first; `published`: so many trips."""

    published = 0

    def revise(self) -> Path:
        """Write the next revision and pin the ids of its schemas."""
        text = self.path.read_text().replace(f"pipeline: {self.name}\n", f"pipeline: {self.name}\nrevision: 2\n")
        assert BEFORE in text
        assert STATION in text
        path = self.path.with_name("revised.yaml")
        path.write_text(text.replace(BEFORE, AFTER).replace(STATION, WIDER))
        self.pin(path)
        return path

    def back(self) -> Path:
        """Have the file that ran before written as the next revision."""
        path = self.path.with_name("back.yaml")
        self.says(self.path.with_name("revised.yaml"), "--back", str(path))
        self.pin(path)
        return path

    def pin(self, path: Path) -> None:
        """Give the schemas of a file ids, and make its topics."""
        pin(self.directory / "schemas" / "ids.json", derived_schemas(str(path)))
        admin = Admin(self.bootstrap)
        _, topics = topics_of(str(path), 2, 1)
        apply_changes(admin, plan(admin.topics(), topics))

    def turn(self, path: Path, former: str, latter: str, whom: str) -> None:
        """Build a revision and have it take over, its members killed while it is built, and one in the switch.

        Args:
            path: its file.
            former, latter: the ends of names of members of the one before and of this one.
            whom: the member that is killed in the switch.
        """
        mine = f"enrich-{latter}", f"views-{latter}"
        for member in mine:
            self.start(member)
        self.await_more(TRIPS // 8)
        for member in mine:
            self.stop(member, signal.SIGKILL)
            self.start(member)
        self.await_more(TRIPS // 8)
        told: list[str] = []
        switching = threading.Thread(target=lambda: told.append(self.says(path, "--switch", "--reason", "built")))
        switching.start()
        time.sleep(0.5)  # Somewhere in the middle of the switch, wherever that is.
        self.stop(whom, signal.SIGKILL)
        self.start(whom)
        switching.join(240)
        assert len(told) == 1, self.logs()
        assert "answers" in told[0]
        for member in (f"enrich-{former}", f"views-{former}"):
            self.stop(member)

    def environment(self, member: str, **settings: str) -> dict[str, str]:
        """As of all members, with the file of the revision that this one runs."""
        path = self.path.with_name(FILES.get(member, self.path.name))
        return super().environment(member, HEADRACE_PIPELINE=str(path), **settings)

    def await_more(self, rows: int) -> None:
        """Wait until so many more events are answered."""
        there = sum(part.stop - part.start for part in ranges(self.connection, f"{self.name}.features"))
        end = time.monotonic() + 180
        while sum(part.stop - part.start for part in ranges(self.connection, f"{self.name}.features")) < there + rows:
            assert time.monotonic() < end, self.logs()
            self.assert_alive()
            time.sleep(0.2)  # Polls the broker: there is no event to wait for.

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
def test_there_and_back_under_load_and_kills(project: Revised) -> None:
    """Views change while events come, and change back, with kills: every trip has the features of one of them."""
    for member in ("enrich-0", "views-0"):
        project.start(member)
    enough = threading.Event()
    publishing = threading.Thread(target=_publish, args=(project, enough))
    publishing.start()
    try:
        second = project.revise()
        project.says(second, "--build", "--reason", "another window", "--before", str(project.path))
        project.turn(second, "0", "next", whom="enrich-0")
        third = project.back()
        project.says(third, "--build", "--reason", "it was better before")
        project.turn(third, "next", "back", whom="enrich-back")
        project.await_more(TRIPS // 8)  # However long it took: there are events for the third, too.
    finally:
        enough.set()
        publishing.join(240)
    _await(project, third)
    got = project.answered(third)
    events = project.read("events")
    names = got["event_id"].to_pylist()
    assert [name for name, times in Counter(names).items() if times > 1] == []
    by = dict(zip(names, got["pipeline_revision"].to_pylist(), strict=True))
    assert set(by.values()) == {1, 2, 3}
    assert sorted(by) == sorted(events["trip"].to_pylist())
    for path, numbers, rules in ((third, (1, 3), RULES), (second, (2,), NEXT)):
        found, wanted = bikes.found(project.answered(path)), bikes.expected(events, rules)
        shared = [name for name in wanted.columns if name in found.columns]
        these = pl.col("id").is_in([name for name, number in by.items() if number in numbers])
        assert_frame_equal(
            found.filter(these).select(shared), wanted.filter(these).select(shared),
            check_exact=False, rel_tol=1e-9, abs_tol=0,
        )  # fmt: skip  # both, and how


def _publish(project: Revised, enough: threading.Event) -> None:
    while project.published < TRIPS or not enough.is_set():  # A minute at the least
        project.publish(bikes.trips(100, seed=project.published, first=project.published), "rider")
        project.published += 100
        time.sleep(0.2)  # So that there is a stream for the switch to happen in.


def _await(project: Revised, path: Path) -> None:
    end = time.monotonic() + 180
    while project.answered(path).num_rows < project.published:
        assert time.monotonic() < end, project.logs()
        time.sleep(0.5)  # Polls the broker: there is no event to wait for.
