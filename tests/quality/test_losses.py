"""How far models of a quantity are off, the same rows and other rows, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel

from headrace.domain.quality.comparison.losses import paired_losses, unpaired_losses
from headrace.domain.quality.comparison.pairs import Pair
from headrace.domain.quality.comparison.unpaired_tests import Answered


def quantities(rows: int = 4_000, seed: int = 0) -> Pair:
    """Two models of a quantity, the second worse; a tenth of the truth is not known."""
    random = np.random.default_rng(seed)
    truth = random.normal(10, 3, rows)
    a, b = (truth + random.normal(0, size, rows) for size in (1.0, 1.1))
    return Pair(a, b, np.where(random.random(rows) < 0.1, np.nan, truth))


def test_the_same_rows_are_compared_row_by_row() -> None:
    """Difference, interval and test are those of the paired test for many rows."""
    pair = quantities()
    known = pair.labelled()
    found = paired_losses(pair)["mean_absolute_error"]
    first, second = np.abs(known.a - known.labels), np.abs(known.b - known.labels)
    wanted = ttest_rel(second, first)
    assert found.difference == pytest.approx(second.mean() - first.mean())
    assert found.p == pytest.approx(wanted.pvalue, rel=0.05)
    assert found.interval.low == pytest.approx(wanted.confidence_interval().low, rel=0.02)


def test_other_rows_are_compared_as_groups() -> None:
    """Difference and interval are Welch's for many rows."""
    one, other = quantities(seed=1).labelled(), quantities(3_000, seed=2).labelled()
    never = np.zeros(0, np.bool_)
    a, b = Answered(one.a, one.labels, never), Answered(other.b, other.labels, never)
    found = unpaired_losses(a, b)["mean_squared_error"]
    wanted = ttest_ind((other.b - other.labels) ** 2, (one.a - one.labels) ** 2, equal_var=False)
    assert found.p == pytest.approx(wanted.pvalue, rel=0.1)  # far in the tail normal and t differ most
    assert found.interval.high == pytest.approx(wanted.confidence_interval().high, rel=0.02)


def test_one_row_tells_nothing() -> None:
    """There is no spread to tell by."""
    one = np.ones(1)
    assert paired_losses(Pair(one, one, one)) == {}
    assert unpaired_losses(Answered(one, one, one > 1), Answered(one, one, one > 1)) == {}
