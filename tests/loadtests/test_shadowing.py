"""The benchmark of dark models runs: tiny sizes, so that the figures mean nothing, but every part is gone through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.shadowing import paired
from tests.project import ROOT


@pytest.mark.slow
def test_the_benchmark_of_dark_models_gives_figures(kafka: str, tmp_path: Path) -> None:
    """Cost and isolation run and are written with the figures of the machine."""
    assert kafka  # Skips, or fails in CI, where no broker can be had; the benchmark starts one of its own.
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "loadtests.shadowing", "--quick", "--made-up", "--json", str(path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    figures = json.loads(path.read_text())
    assert set(figures) == {"machine", "cost", "isolation"}
    assert figures["isolation"]["slower"] >= 100
    assert {"throughput", "p99_ms"} <= set(figures["isolation"])


def test_noise_and_effect() -> None:
    """Runs that differ among themselves as much as from the others show no effect; steady ones show a small one."""
    noisy = paired([100, 130, 90, 110], [95, 120, 105, 100])
    assert noisy["within"]
    steady = paired([100, 101, 100, 99], [110, 111, 110, 109])
    assert not steady["within"]
    assert steady["effect"] == pytest.approx(1.1, abs=0.005)
