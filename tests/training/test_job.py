"""A training as a process: what it makes, what it says, what it may take, and that it does not outlive its parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from headrace.domain.models.package import load
from headrace.domain.training.job.order import JobLimits, TrainingFailure, TrainingOrder, WindowCandidate
from tests.sources import ROOT
from tests.training.jobs import carry_out
from tests.training.meters import HOUR, Meters
from tests.training.outsiders import install


@pytest.fixture(scope="module")
def meters(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Meters:
    """A project whose outcomes all tests here read."""
    found = Meters(tmp_path_factory.mktemp("meters"), kafka)
    found.fill()
    return found


def order_of(meters: Meters, **given: object) -> TrainingOrder:
    """A small training."""
    return replace(TrainingOrder(pipeline=str(meters.path), version="1", trees=10), **given)  # type: ignore[arg-type]  # whatever a test says


def test_a_job_trains_from_outcomes(meters: Meters, tmp_path: Path) -> None:
    """It says what it reads before it does, and stores a package: the same one when ordered again after a kill."""
    ran = carry_out(order_of(meters), tmp_path, meters.environment())
    result, fixed = ran.result, ran.fixed
    assert fixed is not None
    assert fixed == result.order
    assert fixed.fixed
    assert list(dict.fromkeys(ran.stages)) == ["fix", "read", "fit", "pack", "admit", "store"]
    package = load(Path(result.uri.removeprefix("file://")), result.digest)
    assert package.manifest.metrics == result.metrics
    assert set(package.manifest.training.offsets) == {f"{meters.name}.outcomes"}
    assert package.model_card is not None
    assert {(group.segment, group.group) for group in package.model_card.groups} >= {("size", "<20"), ("size", "20-60")}
    assert package.model_card.contributions.inputs["load"] > 0

    meters.fill(0, 50)
    others = meters.environment("others")
    assert carry_out(fixed, tmp_path, others, until="pack").end is None, "killed while it packs"
    again = carry_out(fixed, tmp_path, others).result
    assert again.digest == result.digest, "what came meanwhile is not of the order"


@pytest.fixture(scope="module")
def outsiders(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where a package of trainers that is not ours is installed."""
    return str(install(tmp_path_factory.mktemp("outside")))


def test_a_trainer_of_another_package(meters: Meters, outsiders: str, tmp_path: Path) -> None:
    """It is named like ours, its package is among the libraries, and what it prints disturbs nothing."""
    order = order_of(
        meters,
        trainer="stump",
        trees=None,
        windows=(
            WindowCandidate(kind="growing", name="growing", half_life=10 * HOUR),
            WindowCandidate(kind="continued", name="on", base_version="1", base_digest="sha256:" + "0" * 64),
        ),
    )
    result = carry_out(order, tmp_path, meters.environment() | {"PYTHONPATH": outsiders}).result
    assert result.trainer == "stump"
    manifest = load(Path(result.uri.removeprefix("file://")), result.digest).manifest
    assert manifest.libraries["outsiders"] == "3.1"
    on = next(window for window in result.windows if window.name == "on")
    assert on.why is not None
    assert "not to be had" in on.why
    assert "no line of the job's" in (tmp_path / "training.log").read_text()


FAILURES: list[tuple[str, JobLimits, str, str]] = [
    ("hog", JobLimits(memory=2 << 30), "memory", "limits.memory"),
    ("stump", JobLimits(memory=300 << 20), "memory", "libraries alone take"),
    ("spin", JobLimits(cpu_s=5), "cpu", "more than 5 s of processors"),
    ("sleeper", JobLimits(wall_s=10), "time", "limits.wall_s"),
    ("wrong", JobLimits(), "crashed", "no attribute 'nothing'"),
    ("dead", JobLimits(), "crashed", "ended by SIGABRT"),
    ("liar", JobLimits(), "contract", "differs from trainer liar"),
    ("stumps", JobLimits(), "refused", "did you mean stump"),
]


@pytest.mark.slow
def test_failures(meters: Meters, outsiders: str, tmp_path: Path) -> None:
    """Each has a kind of its own and says what to do, and leaves no process."""

    def ran(case: tuple[str, JobLimits, str, str]) -> TrainingFailure | None:
        trainer, limits, _, _ = case
        pids = {"pids": str(tmp_path / "pids")} if trainer == "sleeper" else {}
        order = order_of(meters, trainer=trainer, trees=None, parameters=pids, limits=limits)
        end = carry_out(order, tmp_path / trainer, meters.environment() | {"PYTHONPATH": outsiders}).end
        assert end is not None
        return end.failure

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(ran, FAILURES))
    for (trainer, _, kind, said), failure in zip(FAILURES, found, strict=True):
        assert isinstance(failure, TrainingFailure), trainer
        assert failure.kind == kind, (trainer, failure)
        assert said in failure.reason, trainer
        assert not failure.passing
    if (tmp_path / "pids").exists():  # a slow machine may not have come as far
        assert gone([int(pid) for pid in (tmp_path / "pids").read_text().split()])


def test_a_job_that_is_told_to_end(meters: Meters, outsiders: str, tmp_path: Path) -> None:
    """It ends with all that it started; and so it does when its parent is killed."""
    order = order_of(meters, trainer="sleeper", trees=None, parameters={"pids": str(tmp_path / "pids")})
    environment = meters.environment() | {"PYTHONPATH": outsiders}
    assert carry_out(order, tmp_path / "one", environment, until="fit").end is None
    assert gone([int(pid) for pid in (tmp_path / "pids").read_text().split()])

    (tmp_path / "pids").unlink()
    (tmp_path / "given.json").write_text(order.dump())
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        env={**os.environ, **environment, "PYTHONPATH": f"{ROOT}:{outsiders}"},
    )
    await_true(lambda: (tmp_path / "pids").exists() and bool((tmp_path / "pids").read_text()))
    parent.kill()
    parent.wait()
    assert gone([int(pid) for pid in (tmp_path / "pids").read_text().split()])


PARENT = """
import sys
from pathlib import Path
from headrace.domain.training.job.order import parse_order
from tests.training.jobs import carry_out
folder = Path(sys.argv[1])
carry_out(parse_order((folder / "given.json").read_bytes()), folder / "two")
"""


def await_true(ready: Callable[[], bool], within: float = 120) -> None:
    """Wait until it is so."""
    end = time.monotonic() + within
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)  # Polls another process: there is no event to wait for.


def gone(pids: list[int]) -> bool:
    """Whether processes end soon, or have; one that nobody reaps has ended."""
    await_true(
        lambda: not any(psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE for p in pids)
    )
    return True
