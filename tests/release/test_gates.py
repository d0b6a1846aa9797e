"""Gates answer passed, failed or not known, each with a remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.domain.pipeline.release.gate_rules import GateRule
from headrace.domain.pipeline.release.spec import DAY, ExplanationStability, Fairness, GoldenRows, Release
from headrace.domain.quality.comparison.paired_tests import Difference
from headrace.domain.quality.fairness import Gap
from headrace.domain.quality.statistics.proportions import Interval
from headrace.domain.release.forecast import Traffic, time_to_advance, time_to_champion, time_to_roll_back
from headrace.domain.release.gates import EvaluationFigures, answer_gates, of_figure


def difference(low: float, high: float) -> Difference:
    """A candidate that is better by the middle of both."""
    gain = (low + high) / 2
    return Difference(0.5, 0.5 + gain, gain, Interval(low, high), 0.1)


@pytest.mark.parametrize(
    ("rule", "low", "high", "standing"),
    [
        (GateRule("better"), 0.01, 0.05, "passed"),
        (GateRule("better"), -0.01, 0.05, "unknown"),
        (GateRule("better"), -0.05, -0.01, "failed"),
        (GateRule("better", 0.02), 0.01, 0.05, "unknown"),
        (GateRule("not_worse", 0.02), -0.01, 0.05, "passed"),
        (GateRule("not_worse", 0.02), -0.03, 0.05, "unknown"),
        (GateRule("not_worse", 0.02), -0.05, -0.03, "failed"),
        (GateRule("at_least", 0.5), -0.05, 0.05, "passed"),
        (GateRule("at_least", 0.51), -0.05, 0.05, "failed"),
        (GateRule("at_most", 0.49), -0.05, 0.05, "failed"),
    ],
)
def test_an_interval_decides(rule: GateRule, low: float, high: float, standing: str) -> None:
    """Wholly on one side of the bound it is certain; a number is held against the figure itself."""
    found = of_figure("auc_roc", "auc_roc", rule, difference(low, high))
    assert (found.standing, found.fixed_sample) == (standing, True)
    assert bool(found.remedy) is (standing != "passed")


def test_of_a_loss_less_is_better() -> None:
    """The same interval says the opposite."""
    assert of_figure("log_loss", "log_loss", GateRule("better"), difference(0.01, 0.05)).standing == "failed"
    assert of_figure("log_loss", "log_loss", GateRule("better"), difference(-0.05, -0.01)).standing == "passed"


RULES = Release(
    minimum=100,
    gates={"average_precision": GateRule("better")},
    groups={"band": {"auc_roc": GateRule("at_least", 0.5)}},
    fairness=Fairness("band", 0.05),
    golden_rows=GoldenRows(5, 300),
    explanations=ExplanationStability(5, 0.6),
)
GOOD = EvaluationFigures(
    outcomes=100,
    differences={"average_precision": difference(0.01, 0.02)},
    groups={"band": {"low": {"auc_roc": difference(0, 0.2)}}},
    gaps={"band": {"true_positive_rate": Gap("true_positive_rate", "a", "b", 0.04, Interval(0.0, 0.1), {}, ())}},
    latency=5,
    memory=300,
    agreement=0.6,
)


def test_every_gate_is_answered() -> None:
    """In the order of the file; what was not found is not known, and never passed."""
    assert {each.standing for each in answer_gates(RULES, GOOD)} == {"passed"}
    nothing = answer_gates(RULES, EvaluationFigures())
    assert [each.standing for each in nothing] == ["unknown"] * 7
    assert all(each.remedy for each in nothing)
    assert answer_gates(Release(), EvaluationFigures()) == ()


def test_each_gate_can_fail() -> None:
    """And only that one does."""
    gap = Gap("true_positive_rate", "a", "b", 0.2, Interval(0.1, 0.3), {}, ())
    for gate, found in (
        ("minimum", replace(GOOD, outcomes=99)),
        ("average_precision", replace(GOOD, differences={"average_precision": difference(-0.2, -0.1)})),
        ("band=low: auc_roc", replace(GOOD, groups={"band": {"low": {"auc_roc": difference(-0.2, 0)}}})),
        ("fairness of band", replace(GOOD, gaps={"band": {"true_positive_rate": gap}})),
        ("latency", replace(GOOD, latency=5.1)),
        ("memory", replace(GOOD, memory=301)),
        ("explanations", replace(GOOD, agreement=0.59)),
    ):
        (other,) = [each for each in answer_gates(RULES, found) if each.standing != "passed"]
        assert (other.gate, other.standing) == (gate, "unknown" if gate == "minimum" else "failed")


def test_a_larger_harm_is_found_sooner() -> None:
    """Harm within the margin never is; a second baseline and a smaller alpha take longer."""
    traffic = Traffic(0.02, 0.03, 1_000, 7 * DAY)
    small, large = (time_to_roll_back(Release(), traffic, harm) for harm in (0.003, 0.01))
    assert small.events is not None
    assert large.events is not None
    assert small.events > 5 * large.events
    assert small.days == pytest.approx(small.events / 1_000 + 7)
    assert time_to_roll_back(Release(), traffic, 0.001).events is None
    two = time_to_roll_back(Release(), traffic, 0.01, baselines=2)
    rare = time_to_roll_back(Release(false_rollbacks_per_year=0.1), traffic, 0.01)
    assert two.events is not None
    assert rare.events is not None
    assert large.events < two.events < rare.events


def test_a_champion_is_made_once_all_shares_had_their_time() -> None:
    """Evidence, then each share; never where it is as bad as the margin."""
    rules = Release(canary=(0.05, 0.25, 1.0), each=DAY, minimum=5_000)
    traffic = Traffic(0.02, 0.03, 1_000, 7 * DAY)
    dark = time_to_advance(rules, traffic)
    assert dark.events is not None
    assert dark.events >= 5_000
    assert dark.days is not None
    assert time_to_champion(rules, traffic) == pytest.approx(dark.days + 2 * (1 + 7)), "a day of each share matures"
    assert time_to_champion(replace(rules, each=0), traffic) == pytest.approx(dark.days), "passed at once"
    assert time_to_champion(rules, traffic, harm=0.001) is None
    assert time_to_champion(rules, replace(traffic, events_a_day=0)) is None
