"""A model whose gates are not known is looked at again, and a gate means as much as if it were looked at once."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.pipeline.release.gate_rules import GateRule
from headrace.domain.quality.comparison.paired_tests import Difference
from headrace.domain.quality.statistics.proportions import Interval
from headrace.domain.release.gates import ALPHA, alpha_of, next_look, of_figure, widening

RUNS, FIRST, LOOKS = 20_000, 600, 8
Z95 = 1.959964


def sizes() -> list[int]:
    """Outcomes at each look, when the next one comes as soon as it may."""
    found = [FIRST]
    while len(found) < LOOKS:
        found.append(next_look(found[-1]))
    return found


def decided(wide: bool) -> tuple[float, float]:
    """Of models as good as the gate asks by a hair, the shares that ever pass, and that ever fail.

    A gain per event of mean 0 and deviation 1 is held against 0, where passing and failing are both wrong.
    """
    draw = np.random.default_rng(7)
    sums, before, passed, failed = np.zeros(RUNS), 0, np.zeros(RUNS, bool), np.zeros(RUNS, bool)
    for look, rows in enumerate(sizes(), 1):
        sums += draw.normal(0, np.sqrt(rows - before), RUNS)
        before, mean = rows, sums / rows
        reach = Z95 / np.sqrt(rows) * (widening(look) if wide else 1)
        open_still = ~passed & ~failed
        passed |= open_still & (mean - reach > 0)
        failed |= open_still & (mean + reach < 0)
    return float(passed.mean()), float(failed.mean())


def test_all_looks_together_err_as_often_as_one_may() -> None:
    """Monte Carlo of eight looks: wrongly passed and wrongly failed are 2.5% each at most; at 95% each they are not."""
    error = 3 * np.sqrt(ALPHA / 2 / RUNS)
    passed, failed = decided(wide=True)
    assert max(passed, failed) <= ALPHA / 2 + error, (passed, failed)
    assert passed > 0.005, "a test that cannot fail"
    assert min(decided(wide=False)) > 0.06, "looks in a row at 95% would err more often than one"


def test_the_gate_is_as_wide_as_its_look() -> None:
    """The same figure passes at the first look, and is not known at the third; what is exact does not widen."""
    found = Difference(0.70, 0.72, 0.02, Interval(0.003, 0.037), 0.02)
    rule = GateRule("better")
    answers = [of_figure("auc_roc", "auc_roc", rule, found, look) for look in (1, 2, 3)]
    assert [each.standing for each in answers] == ["passed", "unknown", "unknown"]
    assert "look 3, 99.38%" in answers[-1].remedy
    exact = Difference(0.7, 0.72, 0.02, Interval(0.02, 0.02), 0.0)
    assert of_figure("auc_roc", "auc_roc", rule, exact, 9).standing == "passed"


@pytest.mark.parametrize("looks", [1, 5, 60])
def test_what_looks_may_be_wrong_is_shared_out(looks: int) -> None:
    """All of them together never have more than the whole."""
    assert sum(alpha_of(look) for look in range(1, looks + 1)) <= ALPHA
