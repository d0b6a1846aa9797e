"""The study of estimates: what is tried, how it is judged, and that it goes all the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtests.census import DATA
from loadtests.estimates import later_windows, made_windows, main
from loadtests.estimates_page import missed, page
from loadtests.estimators import CBPE, ESTIMATORS, FIGURES, PAPE, Trial, Window, gain, tried
from loadtests.shifts import SHIFTS, rows


def trial(distances: list[float], error: float) -> Trial:
    """An estimator that was off by these distances of every figure, and told this error."""
    shape = (len(distances), len(FIGURES))
    estimated = np.broadcast_to(np.array(distances)[:, None], shape)
    return Trial(estimated, np.full(shape, error), np.zeros(shape), 0.1)


def test_windows_are_spread_evenly() -> None:
    """So many at most, of consecutive rows, from the first to the last."""
    both = (rows(np.random.default_rng(1), 50, SHIFTS[0], 0.3), rows(np.random.default_rng(2), 107, SHIFTS[0], 0.3))
    found = list(later_windows(both, 10, 4))
    starts = [0, 30, 60, 90]
    assert [each.later.scores[0] for each in found] == [both[1].scores[start] for start in starts]
    assert all(each.later.places.shape[1] == 10 for each in found)
    assert len(list(later_windows(both, 10, 100))) == 10


def test_estimators_see_no_label() -> None:
    """With all labels of the windows turned around every one says the same."""
    windows = list(made_windows(SHIFTS[1], 1))
    turned = [Window(each.reference, replace(each.later, positive=~each.later.positive)) for each in windows]
    one, other = tried(windows, 0.5), tried(turned, 0.5)
    assert set(one) == set(ESTIMATORS)
    for title in ESTIMATORS:
        assert np.array_equal(one[title].estimated, other[title].estimated, equal_nan=True), title
        assert not np.array_equal(one[title].realised, other[title].realised)


def test_bars() -> None:
    """Each bar that is missed is a sentence; those that are held are none."""
    near, far = trial([0.01, -0.01, 0.02, -0.02], 0.02), trial([0.05, 0.06, 0.05, 0.06], 0.1)
    others = dict.fromkeys(ESTIMATORS, far)
    good = {**others, PAPE: near}
    even = {**good, CBPE: near}
    assert missed({1_000: good}, {SHIFTS[0].title: even, SHIFTS[1].title: good}) == []
    sure = {**good, PAPE: trial([0.01, -0.01, 0.02, -0.02], 0.001)}
    assert any("cover less" in each for each in missed({1_000: sure}, {}))
    worse = {**good, PAPE: trial([0.07, 0.08, 0.07, 0.08], 0.1)}
    assert any("off by more than" in each for each in missed({1_000: worse}, {}))
    assert any("beyond the noise" in each for each in missed({}, {SHIFTS[0].title: worse}))
    assert any("not clearly nearer" in each for each in missed({}, {SHIFTS[1].title: even}))


def test_gain() -> None:
    """The mean of paired differences, with an interval that is exact where they are all the same."""
    assert gain(trial([0.01, -0.02], 1.0), trial([-0.03, 0.04], 1.0), "auc_roc") == pytest.approx((0.02, 0.02, 0.02))


def test_page() -> None:
    """Every estimator has a row in every table, the least distance is bold, and missed bars are told."""
    trials = {title: trial([0.02, 0.03], 0.1) for title in ESTIMATORS} | {PAPE: trial([0.01, 0.02], 0.001)}
    text = page({1_000: trials}, {SHIFTS[0].title: trials}, 68_785)
    assert text.count(f"| {PAPE} | **0.0150** (0%)") == 2
    assert "- missed: AUC, census, 1,000 rows" in text
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))


@pytest.mark.rehearsal
@pytest.mark.skipif(not DATA.is_dir(), reason="the census sample is not beside the repository")
def test_it_goes_all_the_way(tmp_path: Path) -> None:
    """Few windows and rounds; the figures mean nothing."""
    given = ["--rows", "5000", "--most", "2", "--rounds", "2", "--page", str(tmp_path / "page.md")]
    assert main([*given, "--json", str(tmp_path / "figures.json")]) in (0, 1)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures["census"]["5000"]) == set(ESTIMATORS)
    assert "# Estimates without labels" in (tmp_path / "page.md").read_text()
