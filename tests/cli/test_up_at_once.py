"""`headrace up` beside another one, beside `down`, and after one that was killed: one system in the end, or none."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from headrace.devparts.redis import server
from tests.cli.terminal import ROOT, Terminal

pytestmark = pytest.mark.faults

PIPELINE = "mine"
PARTS = {"kafka.Kafka": 1, Path(server()).name: 1, "headrace.cli": 1}
"""Words on the command lines of a whole system, and how many processes have them."""


@pytest.fixture
def home(kafka: str, tmp_path: Path, terminal: Terminal) -> Iterator[Path]:
    """A home that is new, and a project with a pipeline; `kafka` skips where no broker can be had."""
    (tmp_path / "pipelines").mkdir()
    text = (ROOT / "pipelines" / "card_fraud.yaml").read_text().replace("pipeline: card_fraud", f"pipeline: {PIPELINE}")
    (tmp_path / "pipelines" / f"{PIPELINE}.yaml").write_text(text)
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas", ignore=shutil.ignore_patterns("ids.json", "examples"))
    home = tmp_path / "home"
    yield home
    terminal.run("down", "--forget", timeout=120)
    for left in running(home):
        left.kill()


def running(home: Path) -> list[psutil.Process]:
    """What was started for a home, the members of services apart: they write their logs elsewhere."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            logs = [Path(file.path) for file in process.open_files() if file.path.endswith(".log")]
            if any(log.is_relative_to(home) and not log.is_relative_to(home / "logs") for log in logs):
                found.append(process)
    return found


def counted(home: Path) -> dict[str, int]:
    """How many processes of each kind run."""
    lines = [" ".join(process.cmdline()) for process in running(home)]
    return {word: sum(word in line for line in lines) for word in PARTS}


def await_that(holds: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Look again and again, for a bounded time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not {what} within {seconds:g} s"
        time.sleep(0.01)  # Another process's doing: there is no event to wait for.


@pytest.mark.slow
def test_after_kills_in_the_middle_two_at_once_bring_up_one_system(terminal: Terminal, home: Path) -> None:
    """Killed while the broker is formatted, started, and while services begin; what goes on is found, not doubled."""
    moments = [
        home / "kafka" / "kafka-1.properties",
        home / "kafka" / "kafka-1.json",
        home / f"supervisor-{PIPELINE}.json",
    ]
    for moment in moments:
        with terminal.start("up", PIPELINE, "--partitions", 2) as up:
            await_that(lambda: moment.exists() or up.poll() is not None, f"at {moment.name}")  # noqa: B023 - used at once
            up.kill()
            up.communicate(timeout=60)
    both = [terminal.start("up", PIPELINE, "--partitions", 2, "--json") for _ in range(2)]
    ended = [(*up.communicate(timeout=240), up.returncode) for up in both]
    assert [code for *_, code in ended] == [0, 0], ended
    assert counted(home) == PARTS
    assert terminal.run("down", timeout=120)[0] == 0
    assert running(home) == []


@pytest.mark.slow
def test_down_amid_up_leaves_nothing(terminal: Terminal, home: Path) -> None:
    """`down` waits until what was begun can be stopped, and stops it; `up` says what happened to it."""
    with terminal.start("up", PIPELINE, "--partitions", 2) as up:
        await_that(lambda: (home / "kafka" / "kafka-1.json").exists(), "starting")
        code, out, errors = terminal.run("down", timeout=240)
        assert (code, out.strip()) == (0, "stopped"), errors
        out, errors = up.communicate(timeout=120)
    assert up.returncode == 1, (out, errors)
    assert "was stopped while it was starting" in errors
    assert "Traceback" not in errors
    assert running(home) == []
