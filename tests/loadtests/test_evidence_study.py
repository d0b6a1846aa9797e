"""The study of evidence: the rules beside ours are what they are called, and a small run goes all the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loadtests.release.rollouts import ALPHA, DAILY, DAYS, STRIKES, daily_z_test, struck, upper_bound
from tests.members import ROOT


def days(*means: float) -> np.ndarray:
    """Events of days with such means, and a deviation of 1."""
    spread = np.tile([-1.0, 1.0], DAILY // 2)
    return np.concatenate([mean + spread for mean in means])


def test_strikes_are_bad_days_in_a_row() -> None:
    """Three of them; not two, a good one and another."""
    assert struck(days(*[0.1] * STRIKES, -0.1))
    assert not struck(days(0.1, 0.1, -0.1, 0.1, 0.1))


def test_the_daily_test_looks_at_the_end_of_each_day() -> None:
    """At all events so far: one bad day is enough, where it comes first."""
    beyond = 1.7 / np.sqrt(DAILY)
    assert daily_z_test(days(beyond, -1.0))
    assert not daily_z_test(days(-beyond, beyond))


def test_a_test_each_day_is_wrong_far_more_often_than_it_says() -> None:
    """Of pure chance, in 30 looks."""
    draw = np.random.default_rng(1)
    hits = sum(daily_z_test(draw.normal(size=DAILY * DAYS)) for _ in range(1_000))
    assert hits / 1_000 > 4 * ALPHA


def test_bounds_of_shares() -> None:
    """None of 100 may still be three of them; all may be all."""
    assert upper_bound(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert upper_bound(7, 7) == 1.0


@pytest.mark.rehearsal
def test_a_small_run_goes_all_the_way(tmp_path: Path) -> None:
    """A few rollouts: a page with every table."""
    page = tmp_path / "evidence.md"
    whole = tmp_path / "rollouts.md"
    command = [sys.executable, "-m", "loadtests.release", "--runs", "5", "--page", str(page), "--rollouts", str(whole)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert page.read_text().count("| --- |") >= 3
    assert whole.read_text().count("| --- |") >= 3
