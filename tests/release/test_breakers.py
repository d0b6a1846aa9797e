"""What trips when a candidate is too slow, or errs at more entities than its champion."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace.domain.release.breakers import ALPHA, ErrorRate, LatencyBreaker
from loadtests.release.rollouts import upper_bound

TARGET = 0.05


def trips(*batches: tuple[float, float | None]) -> list[bool]:
    """Of batches that the candidate and the champion took so long for, which trip."""
    breaker, found = LatencyBreaker(TARGET), []
    for took, champion in batches:
        breaker, trip = breaker.take(took, champion)
        found.append(trip is not None)
    return found


def test_latency_trips_after_so_many_in_a_row() -> None:
    """One batch in time begins anew."""
    over, within = (0.06, 0.01), (0.04, None)
    assert trips(over, over, within, over, over, over) == [False] * 5 + [True]


def test_a_machine_that_is_slow_for_both_trips_nothing() -> None:
    """Neither in a row, nor in between, nor with a batch of a minute; nor where nobody knows of the champion."""
    over, stalled = (0.06, 0.01), (60.0, 0.06)
    assert not any(trips(*[stalled] * 20, *[over, over, stalled] * 20, *[over, over, (0.06, None)] * 20))


def test_one_batch_of_many_times_the_target_is_enough() -> None:
    """Nobody waits for two more of a second each."""
    assert trips((20 * TARGET, 0.01)) == [True]
    assert trips((19.9 * TARGET, 0.01)) == [False]


def rollout(draw: np.random.Generator, worse: float, once: bool = True, entities: int = 6_000) -> float:
    """The most evidence that there was, while the share grows: errors of entities, each of which errs many times.

    `worse`: times as many entities err where the candidate answers; `once`: an entity's errors count once, as they do.
    """
    rate, top = ErrorRate(), 0.0
    places = draw.random(entities)
    err = draw.random(entities)
    for batch in range(60):
        share = 0.05 if batch < 20 else 0.25 if batch < 40 else 0.75
        met = draw.integers(0, entities, 300)
        tried = places[met] < share
        bad = err[met] < np.where(tried, worse * 0.01, 0.01)
        noise = 0.0 if once else draw.random() * 1e-9  # another entity each time
        top = max(top, rate.take(share, places[met[bad & tried]] + noise, places[met[bad & ~tried]] + noise))
    return top


def test_equal_arms_trip_as_seldom_as_promised() -> None:
    """Looked at after every batch, while the share grows; five times as many errors are found."""
    draw = np.random.default_rng(5)
    runs = 400
    false = sum(rollout(draw, 1) >= math.log(20) for _ in range(runs))
    assert upper_bound(false, runs) <= 0.05
    found = sum(rollout(draw, 5) >= -math.log(ALPHA) for _ in range(50))
    assert found >= 45


def test_one_entity_that_errs_for_ever_convicts_nobody() -> None:
    """All its errors come to one arm, whoever is to blame; were each counted, equal arms would trip often."""
    rate = ErrorRate()
    for _ in range(1_000):
        rate.take(0.05, candidate=[0.01])
    assert rate.tripped() is None
    draw = np.random.default_rng(6)
    assert sum(rollout(draw, 1, False, 300) >= math.log(20) for _ in range(40)) > 8


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_evidence_of_errors_is_a_supermartingale(batches: list[tuple[float, int, int]]) -> None:
    """Of one more error of either arm, by the chance that it is theirs, it wins nothing."""
    places = iter(np.random.default_rng(1).random(10_000).tolist())
    told: list[tuple[float, list[float], list[float]]] = []

    def after(*further: tuple[float, list[float], list[float]]) -> float:
        rate = ErrorRate()
        for each in (*told, *further):
            rate.take(*each)
        return rate.log

    for share, candidate, champion in batches:
        before = after()
        gains = [
            math.exp(after((share, [next(places)], [])) - before),
            math.exp(after((share, [], [next(places)])) - before),
        ]
        assert share * gains[0] + (1 - share) * gains[1] <= 1 + 1e-9
        told.append((share, [next(places) for _ in range(candidate)], [next(places) for _ in range(champion)]))


def test_all_and_none_say_nothing_whose_an_error_is() -> None:
    """Nobody is there to be compared with."""
    rate = ErrorRate()
    for place in np.linspace(0.01, 0.99, 90).tolist():
        rate.take(1.0, candidate=[place])
        rate.take(0.0, champion=[place])
    assert (rate.log, rate.candidate_errors) == (0.0, 0)
