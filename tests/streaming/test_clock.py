"""Time as services see it, whatever is done to the machine's clock."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headrace.streaming.process.clock import SteadyClock

steps = st.tuples(st.floats(0, 60), st.floats(-100_000, 100_000))


@given(st.lists(steps, min_size=1, max_size=50))
def test_it_goes_on_at_half_speed_at_least_and_never_back(moves: list[tuple[float, float]]) -> None:
    """Whatever the wall clock is set to: what is due after n seconds is due, after 2 n at the latest."""
    now, wall = [0.0], [1_000_000.0]
    steady = SteadyClock(lambda: wall[0], lambda: now[0])
    told = [(0.0, steady())]
    for passed, jump in moves:
        now[0] += passed
        wall[0] += passed + jump
        told.append((now[0], steady()))
    for (before, first), (after, second) in pairwise(told):
        assert second - first >= 0.5 * (after - before) - 1e-6
    assert told[-1][1] >= wall[0]


@given(st.lists(st.floats(0, 60), min_size=1, max_size=50))
def test_it_is_the_wall_clock_where_nobody_sets_that(passed: list[float]) -> None:
    """Undisturbed it says what the wall clock says."""
    now = [0.0]
    steady = SteadyClock(lambda: 1_000_000 + now[0], lambda: now[0])
    for seconds in passed:
        now[0] += seconds
        assert abs(steady() - 1_000_000 - now[0]) < 1e-6
