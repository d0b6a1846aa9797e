"""Processes that are forked are like those that are started plainly: environment, folder, streams, end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import forkserver
from tests.forkserver import Popen, plain
from tests.sources import ROOT

CLI = [sys.executable, "-m", "headrace.cli"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux alone")


def test_a_fork_says_and_ends_as_a_plain_process(tmp_path: Path) -> None:
    """The same output, errors and code, in the same folder, with the same variables."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/other.yaml").write_text("pipeline: other\n")
    for words, code in (
        (["--help"], 0),
        (["lag", "--nope"], 2),
        (["check", "pipelines/other.yaml"], 1),
        (["check"], 2),
    ):
        given = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "77"}}
        assert forkserver.forkable([*CLI, *words], given["env"])  # type: ignore[arg-type]  # a mixed dict
        found = []
        for kind in (Popen, plain):
            with kind([*CLI, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **given) as process:
                found.append((*process.communicate(timeout=60), process.returncode))
        assert found[0] == found[1]
        assert found[0][2] == code, found[0]


def test_the_command_as_it_is_installed(tmp_path: Path) -> None:
    """`headrace` and `python`, as they are found on PATH, are forked too, and call themselves as they are called."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "77"}
    for command in (["headrace", "lag", "--nope"], ["python", "-m", "headrace.cli", "--help"]):
        assert forkserver.forkable(command, environment)
        found = []
        for kind in (Popen, plain):
            with kind(
                command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                found.append((*process.communicate(timeout=60), process.returncode))
        assert found[0] == found[1]


def test_a_fork_is_a_child_that_can_be_signalled() -> None:
    """Its parent is the process that asked; it is killed, and its end told."""
    process = Popen([*CLI, "--help"], stdout=subprocess.PIPE)
    assert psutil.Process(process.pid).ppid() == os.getpid()
    process.send_signal(signal.SIGSTOP)
    process.kill()
    assert process.wait(30) in (-signal.SIGKILL, 0)  # It may have been quicker.
    process.stdout.close()


def test_what_a_fork_would_not_take_over_is_started_plainly() -> None:
    """Another program, other paths of modules, and variables that count when modules are imported."""
    assert forkserver.forkable([sys.executable, "-m", "services.enrich"], None)
    assert not forkserver.forkable([sys.executable, "-c", "pass"], None)
    assert not forkserver.forkable([sys.executable, "-m", "pytest"], None)
    assert not forkserver.forkable(["ls", "-m", "headrace.cli"], None)
    for name, value in (("NUMBA_BOUNDSCHECK", "1"), ("PYTHONPATH", "/elsewhere"), ("LC_ALL", "de_DE.UTF-8")):
        assert not forkserver.forkable(CLI, {**os.environ, name: value})
    child = Popen(
        [sys.executable, "-c", "import sys; print('headrace' in sys.modules)"], stdout=subprocess.PIPE, text=True
    )
    assert child.communicate(timeout=60)[0] == "False\n"


def test_forks_end_with_the_process_that_asked_for_them(tmp_path: Path) -> None:
    """None is left behind by tests that are killed."""
    code = "import sys, time; from tests.forkserver import Popen; env = {'HEADRACE_HOME': sys.argv[1]}; "
    code += "from os import environ; p = Popen([sys.executable, '-m', 'headrace.cli', 'predictions', '--help'], "
    code += "stdin=-1, env=environ | env); p.send_signal(19); print(p.pid, flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as asker:
        assert asker.stdout is not None
        fork = psutil.Process(int(asker.stdout.readline()))
        asker.kill()
    end = time.monotonic() + 30
    while fork.is_running() and fork.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.05)  # Not our child any more: nothing tells of its end.
