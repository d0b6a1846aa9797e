"""Every trainer makes the same package on another day, in another directory, by other threads and hash seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.domain.training.trainer import TRAINERS
from tests.sources import ROOT
from tests.training.outsiders import install

LATER = """
import contextlib, datetime, runpy, sys, time
with contextlib.suppress(ImportError):
    import pandas  # holds the class to its size when it is loaded, which only some libraries do, where it is installed
real, ahead = time.time, 400 * 86_400.0
time.time = lambda: real() + ahead
time.time_ns = lambda: int((real() + ahead) * 1e9)
class Later(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=ahead)
datetime.datetime = Later
sys.argv = ["everywhere"]
runpy.run_module("tests.training.everywhere", run_name="__main__")
"""
"""Runs the program more than a year from now, for whatever asks Python."""


def start(folder: Path, outsiders: Path, threads: int, seed: int, zone: str, later: bool) -> subprocess.Popen[str]:
    """The program in circumstances of its own, where a package of trainers that is not ours is installed."""
    folder.mkdir()
    numbers = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    environment = {**os.environ, **dict.fromkeys(numbers, str(threads))}
    environment |= {"PYTHONHASHSEED": str(seed), "TZ": zone, "PYTHONPATH": f"{ROOT}:{outsiders}", "TMPDIR": str(folder)}
    program = ["-c", LATER] if later else ["-m", "tests.training.everywhere"]
    return subprocess.Popen(
        [sys.executable, *program],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_the_same_everywhere(tmp_path: Path) -> None:
    """Also with weights, where a model goes on from another, and by a trainer of another package."""
    outsiders = install(tmp_path / "outside", trainers=("stump",))
    here = start(tmp_path / "here", outsiders, 1, 1, "UTC", later=False)
    there = start(tmp_path / "a directory elsewhere", outsiders, 3, 4_711, "Pacific/Auckland", later=True)
    found = []
    for process in (here, there):
        out, log = process.communicate(timeout=600)
        assert process.returncode == 0, log
        found.append(json.loads(out))
    assert set(TRAINERS) < set(found[0])
    assert {"stump", "lightgbm, on", "xgboost, on", "random_forest, on", "lightgbm, growing"} < set(found[0])
    assert found[0] == found[1]
