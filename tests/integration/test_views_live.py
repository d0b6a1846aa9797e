"""Views that another entity keys, while events flow: how long an event waits for them, and what a lost store costs."""

from __future__ import annotations

import re
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from polars.testing import assert_frame_equal
from redis import Redis as Server

from headrace.devparts.process import free_ports
from headrace.devparts.redis import Redis
from headrace.stores.online import RESERVED
from tests.conftest import started
from tests.integration import bikes
from tests.project import Project

NO_DELAY = {"    delay: 30s\n": "", "    max_age: 2s\n": "", "idle_after: 3s": "idle_after: 1s"}
"""A station's returns up to this very trip, from all partitions."""
PATIENT = {**NO_DELAY, "idle_after: 3s": "idle_after: 10s"}
"""The same; a partition whose member is being restarted is not taken for an idle one."""
STALE = {"    delay: 30s\n": "", "max_age: 2s": "max_age: 5m", "idle_after: 3s": "idle_after: 1s"}
"""The same, but a trip waits only for a view that is more than five minutes behind."""
RULES = bikes.Rules(delay=0)
Make = Callable[..., Project]


@pytest.fixture
def make(kafka: str, tmp_path: Path) -> Iterator[Make]:
    """Makes a project of the stranger's pipeline with changes, on a Redis of one's own."""
    made: list[Project] = []

    def project(redis: str, changes: dict[str, str], partitions: int = 3) -> Project:
        source = bikes.source(tmp_path / "source", changes)
        one = Project(source, f"test_{uuid.uuid4().hex[:12]}", tmp_path / "project", kafka, redis, partitions)
        # Small batches and many checkpoints: every fault finds something half done.
        one.settings = {"HEADRACE_BATCH_ROWS": "100", "HEADRACE_CHECKPOINT_S": "0.5"}
        made.append(one)
        return one

    yield project
    for one in made:
        one.close()


def test_idle_partitions_hold_nobody_for_ever(make: Make, redis_server: str) -> None:
    """The newest trip is answered though no other partition goes on, and features are exact when they do again."""
    project = make(redis_server, NO_DELAY)
    for member in ("enrich-0", "views-0"):
        project.start(member)
    for part in range(3):  # Each time all partitions but the one with the newest trip have nothing more to tell.
        project.publish(bikes.trips(200, seed=part, first=200 * part), "rider")
        project.await_count("features", 200 * (part + 1))
    bikes.assert_exact(project, RULES)
    assert ages(project) == {0}


def ages(project: Project) -> set[int]:
    """The ages that features name."""
    return {int(age) for age in project.read("features")["station_age"].to_pylist() if age is not None}


def test_a_partition_without_any_event_holds_nobody(make: Make, redis_server: str) -> None:
    """Twenty partitions, one rider: those that never had an event are idle from the start."""
    project = make(redis_server, NO_DELAY, partitions=20)
    for member in ("enrich-0", "views-0"):
        project.start(member)
    events = bikes.trips(50, seed=1)
    one_rider = events.set_column(2, "rider", events["rider"].take(np.zeros(50, np.int64)))
    project.publish(one_rider, "rider")
    project.await_count("features", 50)
    bikes.assert_exact(project, RULES)


def test_a_view_may_be_as_old_as_its_age_allows(make: Make, redis_server: str) -> None:
    """With max_age a trip does not wait: its station may lack the last minutes, no more, and its age says so."""
    project = make(redis_server, STALE)
    for member in ("enrich-0", "views-0"):
        project.start(member)
    project.publish(bikes.trips(1_000, seed=4), "rider")
    features = project.await_count("features", 1_000)
    assert max(ages(project)) <= 5 * bikes.MINUTE
    events = project.read("events")
    wanted = bikes.expected(events, RULES)
    got = bikes.found(features)
    own = [column for column in wanted.columns if not column.startswith("station.")]
    assert_frame_equal(got.select(own), wanted.select(own))
    # In an hour's window at most what five minutes bring is missing, and nothing is there that did not happen.
    missing = wanted["station.returns_1h"] - got["station.returns_1h"]
    assert missing.min() >= 0
    assert missing.max() <= 5 * bikes.MINUTE // 10_000
    exact = np.array(features["station_age"].to_pylist()) == 0
    names = np.array(features["event_id"].to_pylist())[exact].tolist()
    assert (missing.filter(wanted["id"].is_in(names)) == 0).all()


def test_a_store_that_comes_back_empty(make: Make, tmp_path: Path) -> None:
    """Redis dies and restarts with nothing: enrich waits for it, views write everything anew, features stay exact."""
    redis = Redis(tmp_path / "redis", with_parent=True)
    started(redis.start)
    try:
        project = make(redis.address, NO_DELAY)
        for member in ("enrich-0", "views-0", "views-1"):
            project.start(member)
        project.publish(bikes.trips(500, seed=5), "rider")
        project.await_count("features", 500)
        redis.kill()
        project.publish(bikes.trips(400, seed=6, first=500), "rider")
        time.sleep(1.5)  # Time enough to answer from nothing, which nobody may.
        assert project.count("features") == 500
        started(redis.start)
        project.await_count("features", 900)
        bikes.assert_exact(project, RULES)
        assert all(process.poll() is None for process in project.processes.values()), project.logs()
    finally:
        redis.stop()


@pytest.mark.faults
@pytest.mark.slow
def test_views_killed_joined_and_lost_with_the_store(make: Make, tmp_path: Path) -> None:
    """Members of views are killed, join and leave, one of them while the store is away: features stay exact."""
    redis = Redis(tmp_path / "redis", with_parent=True)
    started(redis.start)
    try:
        project = make(redis.address, PATIENT)
        for member in ("enrich-0", "enrich-1", "views-0"):
            project.start(member)
        for part in range(6):
            project.publish(bikes.trips(250, seed=20 + part, first=250 * part), "rider")
            project.await_count("features", max(250 * part - 100, 1), between=project.revive)
            if part == 1:
                project.start("views-1")
            elif part == 3:
                redis.kill()
                project.stop("views-0", signal.SIGKILL)
                started(redis.start)
                project.start("views-0")
            elif part == 4:
                project.stop("views-1")
            else:
                project.stop("views-0", signal.SIGKILL)
                project.start("views-0")
        project.await_count("features", 1_500, between=project.revive)
        bikes.assert_exact(project, RULES)
    finally:
        redis.stop()


def test_keys_deleted_one_by_one(make: Make, tmp_path: Path) -> None:
    """Whatever key is deleted while trips come, features stay exact: enrich waits until it is written again."""
    redis = Redis(tmp_path / "redis", with_parent=True)
    started(redis.start)
    try:
        project = make(redis.address, NO_DELAY)
        (port,) = free_ports(1)
        project.start("enrich-0", HEADRACE_PORT=str(port))
        project.start("views-0")
        server, random = Server.from_url(redis.address), np.random.default_rng(3)

        def delete() -> None:
            project.assert_alive()
            if keys := sorted(server.keys()):
                key = keys[random.integers(len(keys))]
                stations = [name for name in server.hkeys(key) if not name.startswith(RESERVED)]
                if stations and random.random() < 0.5:
                    server.hdel(key, stations[random.integers(len(stations))])
                else:
                    server.delete(key)

        for part in range(8):
            project.publish(bikes.trips(150, seed=40 + part, first=150 * part), "rider")
            project.await_count("features", max(150 * part, 1), between=delete)
            delete()
        # Nothing is deleted any more, and nothing new comes that would have anything written.
        project.await_count("features", 1_200)
        bikes.assert_exact(project, RULES)
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            losses = re.search(r"^headrace_store_losses_total (\S+)", answer.read().decode(), re.MULTILINE)
        assert losses is not None
        assert float(losses.group(1)) > 0
    finally:
        redis.stop()


def test_a_store_that_evicts(make: Make, tmp_path: Path) -> None:
    """Memory runs short under a policy that drops keys: rows wait, and features are exact once that is mended."""
    redis = Redis(tmp_path / "redis", with_parent=True)
    started(redis.start)
    try:
        project = make(redis.address, NO_DELAY)
        for member in ("enrich-0", "views-0"):
            project.start(member)
        project.publish(bikes.trips(600, seed=50), "rider")
        project.await_count("features", 600)
        server = Server.from_url(redis.address)
        evicted = server.info("stats")["evicted_keys"]
        server.config_set("maxmemory-policy", "allkeys-lru")
        server.config_set("maxmemory", server.info("memory")["used_memory"] - 20_000)
        for part in range(4):
            project.publish(bikes.trips(300, seed=51 + part, first=600 + 300 * part), "rider")
            end = time.monotonic() + 120
            while (now := server.info("stats")["evicted_keys"]) == evicted:
                assert time.monotonic() < end
                time.sleep(0.05)  # Asks again: there is no event to wait for.
            evicted = now
        server.config_set("maxmemory", 0)
        server.config_set("maxmemory-policy", "noeviction")
        project.await_count("features", 1_800)
        bikes.assert_exact(project, RULES)
    finally:
        redis.stop()


def test_a_store_that_may_evict_is_refused(make: Make, tmp_path: Path) -> None:
    """Enrich and views do not start on a store that may drop their keys: code 2, and what to set."""
    redis = Redis(tmp_path / "redis", with_parent=True)
    started(redis.start)
    try:
        project = make(redis.address, NO_DELAY)
        Server.from_url(redis.address).config_set("maxmemory-policy", "allkeys-random")
        for member in ("enrich-0", "views-0"):
            assert project.start(member).wait(60) == 2
        assert project.logs().count("CONFIG SET maxmemory-policy noeviction") == 2
    finally:
        redis.stop()
