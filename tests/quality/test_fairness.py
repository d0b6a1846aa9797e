"""Gaps between groups are told with the doubt that there is, and not from a handful of rows."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.pipeline.scorecards.spec import Worth
from headrace.domain.quality.fairness import gaps
from headrace.domain.quality.score_table import ScoreTable, tabulated
from headrace.domain.quality.statistics.proportions import difference

WORTH = Worth(true_positive=100, false_positive=-5, false_negative=-100)
FIGURES = {
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "precision",
    "auc_roc",
    "calibration",
    "value",
}


def group(seed: int, size: int, harm: float = 0.0, rate: float = 2.0) -> ScoreTable:
    """A group whose scores are right, but for `harm` of its rows, which score at random."""
    random = np.random.default_rng(seed)
    chances = random.beta(rate, 4, size)
    labels = random.random(size) < chances
    return tabulated(np.where(random.random(size) < harm, random.random(size), chances), labels)


def test_gaps() -> None:
    """The gap is the difference between the two groups furthest apart, with Newcombe's interval for three pairs."""
    groups = {"low": group(1, 3000), "high": group(2, 3000, rate=4.0), "middle": group(3, 3000, rate=3.0)}
    found = gaps(groups, 0.5, WORTH)
    assert set(found) == FIGURES
    rates = {name: table.positives[table.scores >= 0.5].sum() / table.positives.sum() for name, table in groups.items()}
    gap = found["true_positive_rate"]
    assert (gap.highest, gap.lowest) == ("high", "low")
    assert gap.values == pytest.approx(rates)
    assert gap.gap == pytest.approx(rates["high"] - rates["low"])
    counts = [(t.positives[t.scores >= 0.5].sum(), t.positives.sum()) for t in (groups["high"], groups["low"])]
    assert gap.interval == difference(*counts, level=1 - 0.05 / 3)
    assert gap.certain
    assert gap.too_small == ()


def test_a_harmed_group() -> None:
    """A group whose scores are worse is the one named, in order and precision."""
    groups = {"a": group(1, 4000), "b": group(2, 4000), "harmed": group(3, 4000, harm=0.5)}
    found = gaps(groups, 0.5, WORTH)
    assert {found[name].lowest for name in ("auc_roc", "precision")} == {"harmed"}
    assert all(found[name].certain for name in ("auc_roc", "precision"))


def test_equal_groups_are_seldom_alarming() -> None:
    """Among four groups that differ by chance alone, a gap is certain in about 5 of 100 windows at most."""
    alarms = dict.fromkeys(FIGURES, 0)
    for seed in range(200):
        found = gaps({str(g): group(4 * seed + g, 400) for g in range(4)}, 0.4, WORTH)
        for name, gap in found.items():
            alarms[name] += gap.certain
    assert max(alarms.values()) <= 20, alarms


def test_small_groups() -> None:
    """A group with few rows of what counts is named as too small and compared in what it has enough of."""
    few = tabulated(np.full(1000, 0.9), np.arange(1000) < 5)
    found = gaps({"a": group(1, 3000), "b": group(2, 3000), "few": few}, 0.5)
    assert found["true_positive_rate"].too_small == ("few",)
    assert set(found["true_positive_rate"].values) == {"a", "b"}
    assert found["selection_rate"].highest == "few"
    assert "value" not in found


def test_nothing_to_compare() -> None:
    """One group, or groups that are all too small, have no gaps; groups alike have one of nothing."""
    assert gaps({"a": group(1, 3000)}, 0.5) == {}
    assert gaps({"a": group(1, 20), "b": group(2, 20)}, 0.5) == {}
    same = gaps({"a": group(1, 3000), "b": group(1, 3000)}, 0.5)["precision"]
    assert (same.gap, same.certain) == (0, False)
