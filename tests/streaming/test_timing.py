"""How far time has come, when some records are dated wrongly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from headrace.streaming.watermarks.event_time import (
    CREDIBLE_OFFSET,
    FIRM_OFFSET,
    LEAST,
    NEVER,
    RECENT,
    Clock,
    Recent,
    Seen,
)
from tests.watermarks import Backfill

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
YEAR = 365 * DAY
NOW = 1_760_000_000_000
LATENESS = 10 * MINUTE
Ints = npt.NDArray[np.int64]


def advance(clock: Clock, times: Any, stamps: Any = None, created: bool = False) -> npt.NDArray[np.bool_]:
    """Take up records, all written now unless it is said; which of them are late."""
    times = np.asarray(times, np.int64)
    stamps = np.full(len(times), NOW) if stamps is None else np.asarray(stamps, np.int64)
    written = np.full(len(times), created)
    late, firm, credible = np.zeros(len(times), np.bool_), *np.zeros((2, len(times)), np.int64)
    seen = Seen(times, stamps, written, np.arange(len(times)), np.ones(len(times), np.bool_))
    clock.advance(seen, LATENESS, late, firm, credible)
    assert late.tolist() == ((firm != NEVER) & (times < firm - LATENESS)).tolist()
    return late


def with_one(times: Ints, at: int, time: int) -> Ints:
    """The same with one time more."""
    return np.insert(times, at, time)


def test_in_order() -> None:
    """Of records in order both times are the newest's, and none is late."""
    clock, times = Clock(), NOW - YEAR + np.arange(1_000) * 5_000
    assert not advance(clock, times).any()
    assert clock.credible == times[-1]
    assert times[-9] <= clock.firm <= times[-1]
    assert clock.ahead == 0


@pytest.mark.parametrize("at", [0, 1, 7, 200, 999])
@pytest.mark.parametrize("ahead", [11 * MINUTE, HOUR, HOUR + MINUTE, 5 * HOUR, 20 * HOUR, 90 * DAY, YEAR])
def test_one_ahead_in_a_backfill(ahead: int, at: int) -> None:
    """One record dated ahead moves nothing, be it the first."""
    times = NOW - 2 * YEAR + np.arange(1_000) * 5_000
    odd = with_one(times, at, int(times[at]) + ahead)
    clock = Clock()
    for time in odd:
        assert not advance(clock, [time]).any()
        assert clock.credible <= times[-1]
    assert clock.credible == times[-1]
    assert times[-9] <= clock.firm <= times[-1]


@pytest.mark.parametrize("created", [False, True])
@pytest.mark.parametrize("ahead", [HOUR, 5 * HOUR, 23 * HOUR])
def test_one_ahead_in_a_live_stream(ahead: int, created: bool) -> None:
    """Nor does it in a live stream, where the producer's stamp may be as wrong as its time."""
    stamps = NOW + np.arange(1_000) * 5_000
    times = stamps - 2_000
    odd = with_one(times, 500, int(times[500]) + ahead)
    written = with_one(stamps, 500, int(stamps[500]) + (ahead if created else 0))
    clock = Clock()
    assert not advance(clock, odd, written, created).any()
    assert times[-9] <= clock.firm <= times[-1]
    assert clock.credible == times[-1]


def test_a_broken_producer() -> None:
    """Of a producer whose clock is hours ahead a fifth of a stream may come: the others are not late for it."""
    draw = np.random.default_rng(1)
    stamps = NOW + np.arange(50_000) * 500
    broken = draw.random(len(stamps)) < 0.2
    for created in (False, True):
        clock = Clock()
        late = advance(clock, stamps + np.where(broken, 5 * HOUR, 0), stamps + created * broken * 5 * HOUR, created)
        assert not late.any()
        assert clock.firm <= stamps[-1] + LATENESS
    for ahead in (20 * MINUTE, HOUR, 5 * HOUR):
        clock = Clock()
        assert not advance(clock, stamps - YEAR + np.where(broken, ahead, 0)).any()
        assert clock.credible <= stamps[-1] - YEAR + LATENESS


def test_a_burst_of_one_broken_producer() -> None:
    """Three records in a row are believed once; where such a run was wrong, the next one has to be far longer."""
    times = NOW - YEAR + np.arange(300) * 5_000
    odd = times.copy()
    for start in (100, 102, 150, 151, 200, 201, 202, 203, 204):
        odd[start] += 5 * HOUR
    clock = Clock()
    assert not advance(clock, odd).any()
    assert clock.credible == times[-1]
    clock = Clock()
    advance(clock, np.insert(times, 100, times[100:103] + 5 * HOUR))
    assert clock.credible == times[102] + 5 * HOUR


def test_late_records_are_late() -> None:
    """A record further behind the others than is allowed is late, in a backfill and in a live stream."""
    times = NOW - YEAR + np.arange(1_000) * 5_000
    odd = with_one(with_one(times, 500, int(times[500]) - LATENESS - MINUTE), 700, int(times[699]) - LATENESS)
    assert np.flatnonzero(advance(Clock(), odd)).tolist() == [500]
    stamps = NOW + np.arange(100) * HOUR
    assert np.flatnonzero(
        advance(Clock(), with_one(stamps, 50, NOW), with_one(stamps, 50, int(stamps[50])))
    ).tolist() == [50]


@pytest.mark.parametrize("gap", [10 * HOUR, 60 * HOUR, 30 * DAY])
def test_gaps_of_a_live_stream(gap: int) -> None:
    """After a night, a week-end, an outage the first record is believed at once: the broker's time went on as well."""
    stamps = np.concatenate([NOW + np.arange(100) * 5_000, [NOW + gap]])
    clock = Clock()
    advance(clock, stamps - 2_000, stamps)
    assert clock.credible == stamps[-1] - 2_000
    assert clock.credible - 5_000 <= clock.firm <= clock.credible
    assert clock.ahead == 0


def test_gaps_of_a_backfill() -> None:
    """After a gap in a backfill the first record waits for others that confirm it; none is refused."""
    before, after = NOW - YEAR + np.arange(100) * 5_000, NOW - YEAR + 3 * DAY + np.arange(100) * 5_000
    clock = Clock()
    advance(clock, before)
    advance(clock, after[:2])
    assert clock.credible == before[-1]
    assert clock.ahead == 2
    assert not advance(clock, after[2:3]).any()
    assert clock.credible == after[2]
    assert not advance(clock, after[3:]).any()
    assert clock.credible == after[-1]
    assert after[-9] <= clock.firm <= after[-1]


def test_sparse_streams() -> None:
    """A record a day is believed: live by the broker's time, in a backfill as soon as that is seen to be usual."""
    days = NOW + np.arange(200) * DAY
    clock = Clock()
    assert not advance(clock, days, days).any()
    assert clock.credible == days[-1]
    assert clock.firm >= days[-2]
    clock = Clock()
    assert not advance(clock, days - 3 * YEAR).any()
    assert clock.credible == days[-1] - 3 * YEAR
    assert clock.ahead < LEAST
    clock = Clock()  # half-hourly steps, one key
    assert not advance(clock, NOW - YEAR + np.arange(200) * 30 * MINUTE).any()
    assert clock.ahead < 4


def test_nobody_goes_back() -> None:
    """Neither time falls; what is firm lies beyond no more than half of the newest records, but for the lateness."""
    draw = np.random.default_rng(2)
    times = NOW - YEAR + np.cumsum(draw.integers(0, 20_000, 5_000)) - draw.integers(0, HOUR, 5_000)
    odd = draw.random(5_000) < 0.1
    times = np.where(odd, times + draw.integers(0, 100 * DAY, 5_000), times)
    clock, last = Clock(), (NEVER, NEVER)
    for at in range(5_000):
        advance(clock, times[at : at + 1])
        assert clock.firm >= last[0]
        assert clock.credible >= last[1]
        last = clock.firm, clock.credible
        if at + 1 >= LEAST:
            newest = np.sort(times[max(at + 1 - RECENT, 0) : at + 1])
            assert clock.firm >= min(newest[(len(newest) - 1) // 2], newest[-1 - len(newest) // 8])


def test_batches_and_snapshots_do_not_show() -> None:
    """State is a fold: the same however records are cut, and whether it was kept and taken up again."""
    draw = np.random.default_rng(3)
    times = NOW - YEAR + np.cumsum(draw.integers(-30_000, 60_000, 3_000)) + (draw.random(3_000) < 0.02) * 40 * DAY
    stamps = NOW + np.arange(3_000) * 100
    whole = Clock()
    late = advance(whole, times, stamps)
    cut, parts = Clock(), []
    for start in range(0, 3_000, 37):
        rows = slice(start, start + 37)
        parts.append(advance(cut, times[rows], stamps[rows]))
        cut = Clock(cut.state)
    assert np.concatenate(parts).tolist() == late.tolist()
    moved = [FIRM_OFFSET, CREDIBLE_OFFSET]  # within the batch here
    assert np.array_equal(np.delete(whole.state, moved), np.delete(cut.state, moved))


def test_states_of_an_earlier_version() -> None:
    """A clock kept when the few newest times were kept twice goes on where it was."""
    times = NOW - YEAR + np.arange(200) * 5_000
    clock = Clock()
    advance(clock, times)
    before = np.insert(clock.state, 11, times[-5:])
    before[[7, 8]] = 200, 3
    again = Clock(before)
    assert np.array_equal(again.state, clock.state)


def test_backfills_go_by_the_slow_rule() -> None:
    """Of streams with gaps, with disorder and with wrong times both times are those of the rule said slowly."""
    draw = np.random.default_rng(5)
    for seed in range(20):
        times = NOW - YEAR + np.cumsum(draw.choice([0, 5_000, 60_000, 20 * MINUTE], 400, p=[0.3, 0.5, 0.19, 0.01]))
        times += np.where(draw.random(400) < 0.1, -draw.integers(0, HOUR, 400), 0)
        times += np.where(draw.random(400) < 0.02 * (seed % 4), draw.integers(0, 6 * HOUR, 400), 0)
        clock, slow = Clock(), Backfill(LATENESS)
        for time in times.tolist():
            advance(clock, [time])
            slow.take(time)
            assert (clock.firm, clock.credible) == (slow.firm, slow.credible)
            assert clock.credible >= clock.firm


def test_recent() -> None:
    """Of times in no order: the largest that does not lie far beyond most of them; the largest of a few that agree."""
    recent = Recent()
    assert recent.reached(DAY) == NEVER
    recent.take(np.array([NOW - YEAR]))
    assert recent.reached(DAY) == NOW - YEAR
    times = NOW - YEAR + np.random.default_rng(4).permutation(1_000) * MINUTE
    recent.take(times)
    assert recent.reached(DAY) == times[-RECENT:].max()
    recent.take(np.array([NOW] * 20))
    assert recent.reached(DAY) <= times.max()
    daily = Recent()
    daily.take(NOW - YEAR + np.arange(100) * DAY)
    assert daily.reached(DAY) == NOW - YEAR + 99 * DAY
