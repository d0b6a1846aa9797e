"""Child processes: started, found again, ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from headrace.devparts import process
from headrace.devparts.process import Process, ProcessDied
from headrace.errors import ConfigurationError

SLEEP = ["sleep", "60"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()",
]


@contextmanager
def parent_of_a_child(directory: Path, with_parent: bool) -> Iterator[tuple[subprocess.Popen[str], Process]]:
    """A process that has started a child and takes no note of it, and that child; the test kills the parent."""
    code = "import pathlib, sys, signal; from headrace.devparts import process; "
    code += f"process.start('child', ['sleep', '60'], pathlib.Path(sys.argv[1]), with_parent={with_parent}); "
    code += "print('started', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        child = process.find("child", directory)
        assert child is not None
        yield parent, child


def test_another_invocation_finds_a_child(tmp_path: Path) -> None:
    """A started child is found by its name and directory alone, and is gone after a stop, also when stopped twice."""
    child = process.start("child", SLEEP, tmp_path, with_parent=True)
    assert process.find("child", tmp_path) == child
    child.stop()
    child.stop()
    assert not child.alive()
    assert process.find("child", tmp_path) is None


def test_a_child_whose_starter_was_killed_before_it_noted_it_is_found(tmp_path: Path) -> None:
    """The note that a start begins with says enough; where nothing was started yet, nothing is found."""
    child = process.start("child", SLEEP, tmp_path, with_parent=True)
    child.state.write_text(json.dumps({"starting": SLEEP}))
    process.write(tmp_path / "other.json", json.dumps({"starting": SLEEP}))
    assert process.find("child", tmp_path) == child
    assert process.find("other", tmp_path) is None
    child.stop()
    assert process.find("child", tmp_path) is None


def test_recycled_pid_is_somebody_else(tmp_path: Path) -> None:
    """A note whose pid now belongs to a younger process is stale: it is removed, and that process left alone."""
    child = process.start("other", SLEEP, tmp_path, with_parent=True)
    note = tmp_path / "child.json"
    note.write_text(json.dumps({"pid": child.pid, "birth": "another", "argv": SLEEP}))
    assert process.find("child", tmp_path) is None
    assert not note.exists()
    assert child.alive()
    child.kill()


def test_a_clock_that_is_set_does_not_end_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child stays the same when the machine's clock is set, of which psutil makes the times of starts."""
    linux = pytest.importorskip("psutil._pslinux")
    child = process.start("child", SLEEP, tmp_path, with_parent=True)
    before = psutil.Process(child.pid).create_time()
    boot = linux.boot_time()
    monkeypatch.setattr(linux, "boot_time", lambda: boot + 3600)
    assert psutil.Process(child.pid).create_time() == pytest.approx(before + 3600, abs=60)
    assert child.alive()
    assert process.find("child", tmp_path) == child
    child.kill()
    assert not child.alive()


def test_dead_child_is_not_found(tmp_path: Path) -> None:
    """A child killed behind our back is not found, even as a zombie."""
    child = process.start("child", SLEEP, tmp_path, with_parent=True)
    os.kill(child.pid, signal.SIGKILL)
    psutil.Process(child.pid).wait(10)
    assert process.find("child", tmp_path) is None


def test_deaf_child_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed when its grace is over."""
    child = process.start("deaf", STUBBORN, tmp_path, with_parent=True)
    child.wait_until(lambda: "up" in child.tail(), 10)
    child.stop(grace=0.2)
    assert not child.alive()


def test_frozen_child_is_alive_and_can_be_stopped(tmp_path: Path) -> None:
    """A frozen child counts as running, and a stop ends it without waiting for its grace."""
    child = process.start("child", SLEEP, tmp_path, with_parent=True)
    child.freeze()
    assert psutil.Process(child.pid).status() == psutil.STATUS_STOPPED
    assert child.alive()
    child.thaw()
    child.freeze()
    child.stop()
    assert not child.alive()


def test_early_death_shows_the_log(tmp_path: Path) -> None:
    """A child that ends before it is ready raises at once, with how it ended and what it said last."""
    child = process.start("broken", ["sh", "-c", "echo no such luck >&2; exit 3"], tmp_path)
    with pytest.raises(ProcessDied, match=r"(?s)ended with exit code 3 before .*no such luck"):
        child.wait_until(lambda: False, 10)
    child = process.start("killed", ["sh", "-c", "kill -9 $$"], tmp_path)
    with pytest.raises(ProcessDied, match="was ended by SIGKILL before"):
        child.wait_until(lambda: False, 10)


def test_unready_child_is_waited_for_with_a_bound(tmp_path: Path) -> None:
    """A child that stays unready raises when the bound is reached, and goes on running."""
    child = process.start("slow", SLEEP, tmp_path, with_parent=True)
    with pytest.raises(ProcessDied, match="not ready within"):
        child.wait_until(lambda: False, 0.2)
    assert child.alive()
    child.kill()


def test_child_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """A child started `with_parent` does not outlive a parent that is killed."""
    with parent_of_a_child(tmp_path, with_parent=True) as (parent, child):
        parent.kill()
    psutil.wait_procs([psutil.Process(child.pid)] if child.alive() else [], timeout=10)
    assert not child.alive()


def test_child_of_a_parent_that_was_killed_at_once_does_not_start(tmp_path: Path) -> None:
    """A child whose parent ended before the kernel was asked to tell of its end does not run on alone."""
    slow = tmp_path / "setpriv"
    slow.write_text(f'#!/bin/sh\nsleep 1\nexec {shutil.which("setpriv")} "$@"\n')
    slow.chmod(0o755)
    code = "import os, pathlib, sys; from headrace.devparts import process; "
    code += (
        "process.start('child', ['sleep', '60'], pathlib.Path(sys.argv[1]), with_parent=True); os.kill(os.getpid(), 9)"
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=env, check=False)
    child = process.find("child", tmp_path)
    assert child is not None
    psutil.wait_procs([psutil.Process(child.pid)], timeout=10)
    assert not child.alive()


def test_child_of_a_parent_that_takes_no_note_of_its_end_is_stopped(tmp_path: Path) -> None:
    """A child that ended and stays as a zombie, as in containers whose first process reaps none, has been stopped."""
    with parent_of_a_child(tmp_path, with_parent=False) as (parent, child):
        child.stop(grace=60)
        assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
        assert not child.alive()
        parent.kill()


def test_child_outlives_its_parent_by_default(tmp_path: Path) -> None:
    """A child started without `with_parent` goes on after its parent has ended, and another process can stop it."""
    code = "import pathlib, sys; from headrace.devparts import process; "
    code += "process.start('child', ['sleep', '60'], pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    child = process.find("child", tmp_path)
    assert child is not None
    child.stop()
    assert not child.alive()


def test_unknown_program_is_named(tmp_path: Path) -> None:
    """A program that is not on PATH is a mistake that is named."""
    with pytest.raises(ConfigurationError, match="no-such-program"):
        process.start("child", ["no-such-program"], tmp_path)


def test_free_ports_differ_and_can_be_bound() -> None:
    """Ports asked for together are different, and somebody can listen on them."""
    ports = process.free_ports(5)
    assert len(set(ports)) == 5
    with socket.create_server(("127.0.0.1", ports[0])):
        assert process.listening(ports[0])
    assert not process.listening(ports[1])
