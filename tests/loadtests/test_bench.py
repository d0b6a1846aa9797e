"""The load tests run: tiny sizes, so that the figures mean nothing, but every part is gone through."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from loadtests.bench import PARTS
from loadtests.meters import Meter
from loadtests.stream import DATA, transactions
from tests.members import ROOT


@pytest.mark.rehearsal
def test_every_part_of_the_benchmark_gives_figures(kafka: str, tmp_path: Path) -> None:
    """Each part runs, prints tables and writes its figures with those of the machine."""
    assert kafka  # Skips, or fails in CI, where no broker can be had; the benchmark starts one of its own.

    def rehearsed(names: Sequence[str]) -> dict[str, object]:
        path = tmp_path / f"{names[0]}.json"
        options = ["--quick", "--made-up", "--only", ",".join(names), "--json", str(path)]
        command = [sys.executable, "-m", "loadtests.bench", *options]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=850)
        assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
        figures: dict[str, object] = json.loads(path.read_text())
        assert set(figures) == {"machine", *names}
        return figures

    halves = list(PARTS)[::2], list(PARTS)[1::2]
    # Side by side: these figures mean nothing.
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(rehearsed, halves))
    assert {"date", "cores", "python", "libraries", "load_before"} <= set(found[0]["machine"])  # type: ignore[call-overload]  # JSON


@pytest.mark.rehearsal
@pytest.mark.parametrize(
    "command",
    [
        "bench_codec --records 1000",
        "bench_features 20000",
        "bench_formats",
        "bench_overlap --rounds 1",
        "bench_scoring",
        "bench_windows 20000",
    ],
)
def test_every_benchmark_without_a_broker_runs(command: str) -> None:
    """Those that are no part of the others' command, and would be broken in silence."""
    module, *options = command.split()
    ran = subprocess.run(
        [sys.executable, "-m", f"loadtests.{module}", *options], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    assert ran.stdout


def test_the_benchmarks_without_a_broker_are_known() -> None:
    """Each is run by the test above."""
    found = {path.stem for path in (ROOT / "loadtests").glob("bench_*.py")}
    assert found == {f"bench_{name}" for name in ("codec", "features", "formats", "overlap", "scoring", "windows")}


@pytest.mark.rehearsal
def test_parity_says_by_its_exit_code_that_all_is_equal() -> None:
    """Ten thousand real transactions and one kill give the published features, and exit code 0."""
    if not DATA.is_dir():
        pytest.skip(f"the real data is not on this machine ({DATA})")
    command = [sys.executable, "-m", "loadtests.parity", "--rows", "10000", "--members", "2", "--kills", "1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]


def test_made_up_transactions_repeat() -> None:
    """Without the real data every run plays the same events, in time order."""
    one, two = transactions(2_000, made_up=True), transactions(2_000, made_up=True)
    assert one.events.equals(two.events)
    assert np.all(np.diff(np.asarray(one.events["tx_datetime"]).astype(np.int64)) >= 0)
    assert "seed" in one.source


def test_start_up_is_left_out_of_the_steady_cost(tmp_path: Path) -> None:
    """The CPU time at the first assignment is the trace's newest before the log says so."""
    meter = Meter.__new__(Meter)
    meter.log, meter._skip = tmp_path / "enrich-0.log", 1
    lines = [("assigned", {"0": 5}, 0), ("listening", {}, 1), ("assigned", {}, 2), ("assigned", {"0": 7}, 3)]
    meter.log.write_text(
        "\n".join(
            json.dumps({"event": event, "partitions": given, "timestamp": f"1970-01-01T00:00:0{at}Z"})
            for event, given, at in lines
        )
    )
    meter._trace = [(1.5, 0.5), (2.5, 0.9), (2.99, 1.25), (3.5, 2.0)]
    assert meter.cpu_when_assigned() == 1.25
