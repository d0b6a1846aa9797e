"""The load tests run: tiny sizes, so that the figures mean nothing, but every part is gone through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loadtests.bare import steady
from loadtests.bench import PARTS
from loadtests.meters import Sample
from loadtests.stream import DATA, transactions
from loadtests.throughput import bounds
from tests.project import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_part_of_the_benchmark_gives_figures(part: str, kafka: str, tmp_path: Path) -> None:
    """Each part runs by name, prints tables and writes its figures with those of the machine."""
    assert kafka  # Skips, or fails in CI, where no broker can be had; the benchmark starts one of its own.
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "loadtests.bench", "--quick", "--made-up", "--only", part, "--json", str(path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    figures = json.loads(path.read_text())
    assert set(figures) == {"machine", part}
    assert {"date", "cores", "python", "libraries", "load_before"} <= set(figures["machine"])


@pytest.mark.slow
def test_parity_says_by_its_exit_code_that_all_is_equal() -> None:
    """Ten thousand real transactions and one kill give the published features, and exit code 0."""
    if not DATA.is_dir():
        pytest.skip(f"the real data is not on this machine ({DATA})")
    command = [sys.executable, "-m", "loadtests.parity", "--rows", "10000", "--members", "2", "--kills", "1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]


def test_made_up_transactions_repeat() -> None:
    """Without the real data every run plays the same events, in time order."""
    one, two = transactions(2_000, made_up=True), transactions(2_000, made_up=True)
    assert one.events.equals(two.events)
    assert np.all(np.diff(np.asarray(one.events["tx_datetime"]).astype(np.int64)) >= 0)
    assert "seed" in one.source


def test_the_steady_part_leaves_out_the_start_and_the_end() -> None:
    """Cost is counted between 10% and 95% of the records, where start-up and idling do not show."""
    samples = [Sample(at=0.0, cpu=5.0, records=0.0)]
    samples += [Sample(at=share / 10, cpu=5.0 + share / 10, records=share * 100.0) for share in range(11)]
    first, last = bounds(samples, 1_000)
    assert (samples[first].records, samples[last].records) == (100.0, 900.0)
    marks = [(0, 9.0), (100, 10.0), (500, 11.0), (900, 12.0), (1_000, 40.0)]
    assert steady(marks, 1_000) == pytest.approx(400.0)
