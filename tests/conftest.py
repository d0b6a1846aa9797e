"""Real parts for the tests: each is started by the first test that asks and serves the whole session."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

from headrace.devparts import process
from headrace.devparts.kafka import Kafka
from headrace.devparts.lock import exclusive
from headrace.devparts.redis import Redis
from headrace.devparts.registry import Registry
from headrace.errors import ConfigurationError
from tests.forkserver import Popen

# What tests start of our modules, they and what they call, is forked from a process that has imported them all.
subprocess.Popen = Popen  # type: ignore[misc]  # Whoever uses `subprocess.run` has it too.
# Threads of two processes that wait for each other on two cores only burn them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Brokers of a test's own live for a minute: to compile their code well costs more than it gives.
os.environ.setdefault("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

# A time limit is a speed check, which a busy machine fails: speed is measured by `make bench`.
hypothesis.settings.register_profile("headrace", deadline=None)
hypothesis.settings.load_profile("headrace")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """How tests are shared out: those of a file in one process, files in the order that they are collected in."""
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


OWN = (
    "tests/compose/test_system.py", "tests/compose/test_warm.py", "tests/devparts/", "tests/docs/test_examples.py",
    "tests/cli/test_up.py", "tests/cli/test_up_at_once.py", "tests/loadtests/test_bench.py",
    "tests/loadtests/test_revising.py", "tests/test_wheel.py",
)  # fmt: skip  # files and folders
"""Where tests start whole programs."""
REAL = {"kafka", "redis_server", "registry"}
"""Fixtures that start a part."""
SHARED = pytest.StashKey[Path]()
"""The folder of the parts that all processes of a run share."""
STARTED = "from headrace.devparts."
"""In the text of files that start parts of their own."""


EARLY = 0.7
"""Share of a run in which files with slow tests of real parts are begun, so that none is the last and waited for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real parts are marked as such, and files with slow ones are dealt among the others: while these wait,
    others compute.
    """
    paths = {item.path for item in items}
    own = {path for path in paths if STARTED in path.read_text()}
    for item in items:
        if item.path in own or item.nodeid.startswith(OWN) or REAL & set(getattr(item, "fixturenames", ())):
            item.add_marker("parts")
    slow = {item.path for item in items if {"slow", "parts"} <= {mark.name for mark in item.iter_markers()}}
    of_kind = {
        kind: [path for path in dict.fromkeys(item.path for item in items) if (path in slow) == kind]
        for kind in (True, False)
    }
    turn = {
        path: at / len(of_kind[kind]) * (EARLY if kind else 1.0)
        for kind in of_kind
        for at, path in enumerate(of_kind[kind])
    }
    items.sort(key=lambda item: turn[item.path])


def started(start: Callable[[], None]) -> None:
    """Start a part; where it cannot be had, skip with the remedy, but fail in CI: there, untested is broken."""
    try:
        start()
    except ConfigurationError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


def pytest_configure(config: pytest.Config) -> None:
    """Choose where the parts live that all processes of a run share."""
    if not hasattr(config, "workerinput"):
        config.stash[SHARED] = Path(tempfile.mkdtemp(prefix="headrace-tests-"))


def pytest_configure_node(node: Any) -> None:
    """Tell a process of the run where that is."""
    node.workerinput["shared"] = str(node.config.stash[SHARED])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop them when all tests are over."""
    if not hasattr(config, "workerinput"):
        for kind in (Kafka, Registry):
            if kind.noted(folder := config.stash[SHARED] / kind.name):
                kind(folder).kill()
                if keeper := process.find(f"{kind.name}-keeper", config.stash[SHARED]):
                    keeper.kill()
        shutil.rmtree(config.stash[SHARED])


def shared(config: pytest.Config, kind: type[Kafka | Registry], **given: Any) -> str:
    """The address of a part that all processes of this run share: the first that asks starts it.

    It ends with the run, also when that is killed: what starts it may end sooner, so a process of its own sees to that.
    """
    root, run = config.stash.get(SHARED, None), os.getpid()
    if root is None:
        root, run = Path(config.workerinput["shared"]), os.getppid()  # type: ignore[attr-defined]  # xdist's
    with exclusive(root / "parts.lock"):
        part = kind(root / kind.name, **given)
        if not part.running():
            with pytest.MonkeyPatch.context() as patch:  # it lives as long as the run
                patch.delenv("KAFKA_JVM_PERFORMANCE_OPTS")
                started(part.start)
            keeper = f"while kill -0 {run}; do sleep 1; done; kill -9 {part.processes()[0].pid}"
            process.start(f"{kind.name}-keeper", ["sh", "-c", keeper], root)
    return part.address


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> str:
    """Bootstrap address of a real one-node broker that all tests share; name your topics by `pipeline_name`."""
    # The consumer protocol's session time-out is the broker's, 45 s by default: tests that kill members wait it out.
    sessions = {"group.consumer.min.session.timeout.ms": "6000", "group.consumer.session.timeout.ms": "6000"}
    intervals = {"group.consumer.min.heartbeat.interval.ms": "1000", "group.consumer.heartbeat.interval.ms": "1000"}
    return shared(pytestconfig, Kafka, overrides=sessions | intervals)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Redis that all tests share; prefix your keys by `pipeline_name`."""
    server = Redis(tmp_path_factory.mktemp("redis"), with_parent=True)
    started(server.start)
    yield server.address
    server.stop()


@pytest.fixture(scope="session")
def registry(pytestconfig: pytest.Config) -> str:
    """URL of a real schema registry (Confluent's API) that all tests share; prefix your subjects by `pipeline_name`."""
    return shared(pytestconfig, Registry)


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A function that makes a name nobody used before: `unique("orders")` is `orders-3f2a...`."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def pipeline_name() -> str:
    """The name of a pipeline that is this test's alone, fit for topics, groups, keys and subjects."""
    return f"test_{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data sets, `shared/data` beside the repository."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data is not on this machine ({folder})")
    return folder
