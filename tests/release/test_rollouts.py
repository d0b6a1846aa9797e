"""Whole releases by chance: in small what docs/rollouts.md has in large."""

from __future__ import annotations

import math

from headrace.domain.release.margin import Margin
from loadtests.release.machine_rollouts import RULES, harm_found, late_harm, small_steps, wrong_decisions
from loadtests.release.simulated_pairs import beyond


def test_equal_models_are_put_back_as_seldom_as_promised() -> None:
    """At the margin, looked at after every event; the rules that others use are wrong far oftener."""
    found = wrong_decisions("rare", 1.5, Margin(0.0, beyond("rare", 1.5)[0]), 300)
    assert found.rolled_back <= RULES.alpha
    assert found.daily_test > 3 * RULES.alpha
    assert found.strikes > 10 * RULES.alpha
    assert wrong_decisions("balanced", 0.3, Margin(0.05), 100).rolled_back <= RULES.alpha


def test_harm_is_put_back_about_as_soon_as_can_be() -> None:
    """Within one and a half times what the best bet takes."""
    found = harm_found("balanced", 2.5, 60)
    assert found.ratio <= 1.5
    assert math.isfinite(found.events)


def test_small_steps_do_not_add_up() -> None:
    """Held against the champion alone each is let in; against the last approved model, all together lose the margin."""
    kept, alone = (small_steps(approves, 3) for approves in (False, True))
    assert kept.most <= RULES.margin_share
    assert alone.worse > 2 * RULES.margin_share


def test_harm_that_begins_with_the_promotion_is_put_back() -> None:
    """Not much later than harm from the start: before bets were shared out anew it took 2.6 times as long."""
    late, ratio, early = late_harm("balanced", 1.5, 41)
    assert late < 2 * early
    assert ratio <= 2.2, "1.76 in 101 rollouts"
