"""The study of drift: its own statistics are those of the literature, and a small run goes all the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from loadtests.drift.delay import DEAR_EVENTS, rival_run, standing
from loadtests.drift.figures import delay_cell, mean_and_bound
from loadtests.drift.page import page
from loadtests.drift.rivals import RIVALS, STRIDE, WINDOW, kolmogorov_smirnov, stability_index
from loadtests.drift.streams import SHIFTS
from loadtests.drift.trials import MISSED, delays
from tests.members import ROOT


def test_windows_are_judged_as_the_literature_has_it() -> None:
    """Kolmogorov and Smirnov with ties and without; the index of a window that is the reference is next to nothing."""
    draw = np.random.default_rng(1)
    for reference in (draw.normal(size=20_000), (draw.random(20_000) < 0.2).astype(float)):
        windows = np.stack([draw.permutation(reference)[:WINDOW], draw.permutation(reference)[:WINDOW] * 0.9])
        found = 10 ** -kolmogorov_smirnov(reference)(windows)
        expected = [ks_2samp(window, reference, method="asymp").pvalue for window in windows]
        assert np.allclose(found, expected, rtol=0.35, atol=1e-12)  # scipy sums a finite-size form
    assert stability_index(draw.normal(size=50_000))(draw.normal(size=(20, WINDOW))).max() < 0.05


def test_a_window_says_once_that_something_changed() -> None:
    """At the first look beyond the threshold, wherever the stream is cut."""
    rival = next(each for each in RIVALS if each.name.startswith("windowed KS"))
    draw = np.random.default_rng(2)
    values = np.append(draw.normal(size=2_050), draw.normal(1.0, size=1_950))
    whole = rival.start(draw.normal(size=10_000), 0)
    listen = rival.start(np.random.default_rng(2).normal(size=10_000), 0)
    found = whole(values)
    assert len(found) == 1
    assert 2_050 < found[0] < 2_050 + WINDOW
    assert (found[0] + 1 - WINDOW) % STRIDE == 0
    parts = [at + low for low in range(0, len(values), 130) for at in listen(values[low : low + 130])]
    assert len(parts) == 1


def test_every_change_has_a_delay() -> None:
    """Ours sees each; a rival that never fires none."""
    assert set(delays((1, False), reference=20_000)) == set(SHIFTS)
    assert max(delays((1, False), reference=20_000).values()) < MISSED
    never = rival_run((len(RIVALS) - 1, 0))
    assert {never[name] for name in SHIFTS} == {MISSED}
    assert DEAR_EVENTS < MISSED


def test_the_page_says_where_ours_is_not_first() -> None:
    """Made-up figures with a rival that is sooner at one change, and false alarms within bounds."""
    ours = {"false": 0.4, **dict.fromkeys(SHIFTS, 100)}
    rivals = {rival.name: [{"false": 0.9, **dict.fromkeys(SHIFTS, 900)}] * 2 for rival in RIVALS}
    rivals[RIVALS[0].name] = [{"false": 0.9, **dict.fromkeys(SHIFTS, 900), "+.5": 60}] * 2
    figures = {
        "seeds": 2,
        "false": {"headrace, measured": [0, 1]},
        "delays": {"headrace, measured": [ours] * 2, **rivals},
    }
    said = standing(figures)
    assert f"+.5: not first. {RIVALS[0].name} needs 60" in said
    assert "+1: not first" not in said
    text = page({"delay": figures})
    assert said.splitlines()[2][:40] in text
    assert "Not measured in this run: false_alarms" in text


def test_cells_say_what_was_missed() -> None:
    """A median of those that were seen would flatter."""
    assert delay_cell([10, 20, MISSED], MISSED) == "20 (33% missed)"
    assert delay_cell([10, MISSED], MISSED) == "50% missed"
    assert mean_and_bound([1, 1, 1]) == (1.0, 1.0)


@pytest.mark.rehearsal
def test_a_small_run_goes_all_the_way(tmp_path: Path) -> None:
    """Two seeds of the quick parts: figures and a page."""
    command = [
        sys.executable,
        "-m",
        "loadtests.drift",
        "--seeds",
        "2",
        "--workers",
        "1",
        "--only",
        "concept,joint,cost",
    ]
    files = ["--page", str(tmp_path / "drift.md"), "--json", str(tmp_path / "figures.json")]
    subprocess.run([*command, *files], cwd=ROOT, check=True, capture_output=True)
    assert "ADWIN" in (tmp_path / "drift.md").read_text()
    assert set(json.loads((tmp_path / "figures.json").read_text())) == {"concept", "joint", "cost"}
