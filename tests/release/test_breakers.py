"""What trips at once, and what trips when a candidate fails oftener than its champion."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.columnar.packing import pack, unpack
from headrace.domain.release.breakers import BatchReport, ErrorRate, LatencyBreaker, broken
from loadtests.release.rollouts import upper_bound

ROW = np.array([0.5, 0.2])


@pytest.mark.parametrize(
    ("report", "breaker"),
    [
        (BatchReport(2, ROW), None),
        (BatchReport(0, np.empty(0)), None),
        (BatchReport(2, np.array([0.5, np.inf])), "not_finite"),
        (BatchReport(3, ROW), "shape"),
        (BatchReport(2, ROW.reshape(2, 1)), "shape"),
        (BatchReport(2, None), "shape"),
        (BatchReport(2, None, error="KeyError"), "exception"),
        (BatchReport(2, None, error="bad_alloc", out_of_memory=True), "out_of_memory"),
    ],
)
def test_one_batch_is_enough(report: BatchReport, breaker: str | None) -> None:
    """Each breaker by its name."""
    found = broken(report)
    assert (found and found.breaker) == breaker


def test_latency_trips_after_so_many_in_a_row() -> None:
    """One batch in time begins anew."""
    breaker, trips = LatencyBreaker(50, most=3), []
    for took in (60, 60, 40, 60, 60, 60):
        breaker, trip = breaker.take(took)
        trips.append(trip is not None)
    assert trips == [False] * 5 + [True]


def rollout(draw: np.random.Generator, worse: float) -> ErrorRate:
    """Batches of a share that grows and a rate of errors that changes, the candidate's `worse` times as high."""
    rate = ErrorRate()
    top = 0.0
    for batch in range(60):
        canary = 20 if batch < 20 else 100 if batch < 40 else 300
        chance = 0.002 if batch % 7 else 0.05
        errors = draw.binomial(canary, min(worse * chance, 1)), draw.binomial(400 - canary, chance)
        top = max(top, rate.take(canary, 400 - canary, *(int(each) for each in errors)))
        if top >= math.log(20):
            break
    return rate


def test_equal_arms_trip_as_seldom_as_promised() -> None:
    """Looked at after every batch, while the share and the rate change; five times as many errors are found."""
    draw = np.random.default_rng(5)
    runs = 600
    false = sum(rollout(draw, 1).tripped(0.05) is not None for _ in range(runs))
    assert upper_bound(false, runs) <= 0.05
    found = sum(rollout(draw, 5).tripped(0.05) is not None for _ in range(50))
    assert found >= 45


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1), st.floats(0, 1)), max_size=20))
def test_evidence_of_errors_is_a_supermartingale(batches: list[tuple[int, int, float, float]]) -> None:
    """Of one more error of either arm, by the chance that it is theirs, it wins nothing; a checkpoint holds it."""
    rate = ErrorRate()
    for candidate, champion, first, second in batches:
        before = rate.log
        if candidate and champion:
            share = candidate / (candidate + champion)
            gains = []
            for errors in ((1, 0), (0, 1)):
                fork = ErrorRate.load(rate.save())
                gains.append(math.exp(fork.take(candidate, champion, *errors) - before))
            assert share * gains[0] + (1 - share) * gains[1] <= 1 + 1e-9
        rate.take(candidate, champion, int(first * candidate), int(second * champion))
    again = ErrorRate.load(unpack(pack(rate.save())))
    assert (again.log, again.candidate_errors) == (rate.log, rate.candidate_errors)


def test_more_errors_than_rows_are_refused() -> None:
    """A count that cannot be is a mistake of whoever counts."""
    with pytest.raises(ValueError, match="3 errors in 2 rows"):
        ErrorRate().take(2, 2, 3, 0)
