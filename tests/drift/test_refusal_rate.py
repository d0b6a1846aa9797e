"""Refusals: an alarm soon after there are more, and no more false ones than are allowed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from headrace.columnar.packing import pack, unpack
from headrace.domain.drift.alarms import Alarm, DriftEnd
from headrace.domain.drift.allowance import MONTH
from headrace.domain.drift.reference_bins import Floats, Ints
from headrace.domain.drift.refusals.refusal_rate import LEARNT, RefusalRate
from headrace.domain.records.drift_parts import Flags

SECOND = 1_000
ALLOWED = 20.0
"""One over the false alarms a month: a twentieth of one."""


def told(refused: Flags, first: int = 0) -> tuple[Floats, Ints, Floats]:
    """Gaps, times and months of the refusals among records, a second apart; `first` passed before all."""
    at = np.flatnonzero(refused)
    gaps = np.diff(at, prepend=-1).astype(np.float64) - 1
    gaps[:1] += first
    spans = np.diff(at, prepend=-1) * SECOND
    spans[:1] = -1
    return np.column_stack([gaps, spans]), at * SECOND, np.diff(at, prepend=at[:1]) * SECOND / MONTH


def found(rate: RefusalRate, gaps: Floats, times: Ints, begun: Floats) -> Iterator[Alarm | DriftEnd]:
    """What follows."""
    return rate.fold(np.empty((len(times), 0), np.uint8), gaps, times, begun)


@pytest.mark.parametrize(
    ("before", "share", "most"), [(6_000, 0.01, 2_500), (6_000, 0.1, 150), (100_000, 0.01, 1_500), (100_000, 0.1, 150)]
)
def test_a_burst_after_none_is_seen_soon(before: int, share: float, most: int) -> None:
    """Within so many records, with the share about as it is, since its beginning; in each of 40 runs."""
    seen = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        refused = np.append(np.zeros(before, np.bool_), draw.random(20_000) < share)
        (alarm, *_) = found(RefusalRate(ALLOWED), *told(refused))
        assert isinstance(alarm, Alarm)
        (change,) = alarm.changes
        assert change.began is not None
        assert before <= change.began.time // SECOND <= alarm.time // SECOND
        assert share / 5 < change.recent[1]
        seen.append(alarm.time // SECOND - before)
    assert max(seen) < most


def test_few_records_are_refused_for_nothing() -> None:
    """Shares that stay: years of records, and no more alarms than are allowed in the mean."""
    alarms, months = 0, 0.0
    for seed, share in enumerate(np.repeat([0.0003, 0.002, 0.01, 0.05], 6)):
        refused = np.random.default_rng(seed).random(300_000) < share
        gaps, times, begun = told(refused)
        begun *= 100  # Records 100 seconds apart: as much time, in fewer of them.
        alarms += sum(isinstance(each, Alarm) for each in found(RefusalRate(ALLOWED), gaps, times, begun))
        months += float(begun.sum())
    assert months > 250
    assert alarms <= months / ALLOWED / 2


def test_a_burst_is_over_when_records_pass_again() -> None:
    """By the gap before the next refusal, or by what somebody tells who sees records pass; and the next is seen too."""
    refused = np.zeros(60_000, np.bool_)
    refused[20_000:20_400:10] = True
    refused[30_000] = True
    refused[40_000:40_400:10] = True
    steps = [*found(RefusalRate(ALLOWED), *told(refused))]
    assert [type(step) for step in steps] == [Alarm, DriftEnd, Alarm]
    first = told(refused[:30_000])
    rate = RefusalRate(ALLOWED)
    assert len([*found(rate, *first)]) == 1
    assert not [*rate.passed(50)]
    assert rate.standing()[0].changed
    (end,) = rate.passed(5_000)
    assert (end.event, end.time) == (40, 20_390 * SECOND)
    assert not [*rate.passed(5_000)]


def test_a_reference_says_how_far_it_is_and_begins_anew_when_asked() -> None:
    """Nothing alarms before there are enough records; what is accepted is usual from then on."""
    refused = np.random.default_rng(5).random(4 * LEARNT) < 0.05
    rate = RefusalRate(ALLOWED)
    early = np.arange(len(refused)) < LEARNT // 2
    gaps, times, begun = told(refused & early)
    assert not [*found(rate, gaps, times, begun)]
    (standing,) = rate.standing()
    assert standing.learning == pytest.approx(LEARNT // 2, abs=100)
    assert not [*found(rate, *told(refused))]
    more = np.random.default_rng(6).random(4 * LEARNT) < 0.3
    (alarm, *_) = found(rate, *told(more))
    assert isinstance(alarm, Alarm)
    rate.begin_anew([alarm.changes[0].column])
    assert not [*found(rate, *told(more))]
    assert rate.standing()[0].learning is None


def test_state_goes_on_anywhere() -> None:
    """Taken up by another one after any refusal: the same alarms, ends and evidence."""
    refused = np.random.default_rng(7).random(30_000) < np.repeat([0.002, 0.05, 0.002], 10_000)
    gaps, times, begun = told(refused)
    whole = RefusalRate(ALLOWED)
    wanted = [(type(each), each.event, each.time) for each in found(whole, gaps, times, begun)]
    assert {kind for kind, _, _ in wanted} == {Alarm, DriftEnd}
    rate, met = RefusalRate(ALLOWED), []
    for low in range(0, len(times), 7):
        part = slice(low, low + 7)
        met += [(type(e), e.event, e.time) for e in found(rate, gaps[part], times[part], begun[part])]
        saved, rate = unpack(pack(rate.save())), RefusalRate(ALLOWED)
        rate.load(saved)
    assert met == wanted
    assert (rate.evidence, rate.events) == (whole.evidence, whole.events)
