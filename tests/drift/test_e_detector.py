"""Bets against a reference: sums as the literature has them, few false alarms, real ones soon."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from headrace.domain.drift.bets import bets_on, inflation_of
from headrace.domain.drift.e_detector import HALF_LIVES, LEARNING, EDetector
from headrace.domain.drift.reference_bins import ReferenceBins, category_bins, numeric_bins
from headrace.errors import ContractError

ASKED = 10_000
"""Events in which one false alarm is asked for."""
FEATURES = 4


def detector(bins: list[ReferenceBins], z: float = 2.0) -> EDetector:
    """Of features whose rows do not depend on one another."""
    return EDetector(bins, [bets_on(each, z) for each in bins], z)


def blocks(bins: list[ReferenceBins], rows: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.int64]:
    """Rows x features as counts, so many rows a block."""
    width = max(len(each.counts) for each in bins)
    places = np.stack([each.place(pa.array(rows[:, at])) for at, each in enumerate(bins)], axis=1)
    parts = places[: len(rows) // size * size].reshape(-1, size, len(bins))
    return np.stack([(parts == place).sum(axis=1) for place in range(width)], axis=2).astype(np.int64)


def test_blocks_of_one_event_are_the_sums_of_the_literature() -> None:
    """R <- (R + 1) L for every bet, and M is their weighted sum."""
    draw = np.random.default_rng(3)
    bins = [numeric_bins(draw.normal(size=5_000)) for _ in range(2)]
    made = detector(bins)
    rows = draw.normal(0.3, size=(40, 2))
    sums = made.begin()
    found = made.advance(sums, blocks(bins, rows, 1))
    plain = 0.0
    for at, each in enumerate(bins):
        bets = bets_on(each)
        paid = np.exp(bets.log_pays[:, each.place(pa.array(rows[:, at]))])
        for bet in paid:
            total = 0.0
            for pay in bet:
                total = (total + 1) * pay
            plain += total * (1 - LEARNING) / len(bets.names) / 2
    learnt = sums.learning.sum() * LEARNING / len(HALF_LIVES) / 2
    assert found[-1] == pytest.approx(plain + learnt)
    assert made.by_feature(sums).sum() == pytest.approx(found[-1])


def test_a_block_counts_no_more_than_its_events_in_any_order() -> None:
    """What is lost with the order is lost for the alarm: the mean over all orders is never below what a block gives."""
    draw = np.random.default_rng(4)
    bins = [numeric_bins(draw.normal(size=5_000))]
    made = detector(bins)
    rows = draw.normal(0.5, size=(16, 1))
    together = made.begin()
    made.advance(together, blocks(bins, rows, 16))
    apart = []
    for _ in range(400):
        sums = made.begin()
        made.advance(sums, blocks(bins, draw.permutation(rows), 1))
        apart.append(sums.standing)
    assert np.all(together.standing <= np.mean(apart, axis=0) * 1.05)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2_000, 50_000])
def test_false_alarms_stay_within_what_was_asked_for(rows: int) -> None:
    """In as many events as one is asked for, the mean over 40 streams with references of their own is at most one."""
    alarms = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        bins = [numeric_bins(draw.normal(size=rows)) for _ in range(FEATURES)]
        made = detector(bins)
        counts = blocks(bins, draw.normal(size=(ASKED, FEATURES)), 16)
        found, at = 0, 0
        while at < len(counts):
            over = np.flatnonzero(made.advance(made.begin(), counts[at:]) >= ASKED)
            if not len(over):
                break
            found, at = found + 1, at + int(over[0]) + 1
        alarms.append(found)
    mean, error = float(np.mean(alarms)), float(np.std(alarms) / np.sqrt(len(alarms)))
    assert mean + 1.64 * error <= 1.0, alarms


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "within"),
    [
        (lambda x, draw: x + 0.5, 400),
        (lambda x, draw: x * 1.5, 400),
        (lambda x, draw: np.where(draw.random(len(x)) < 0.05, np.nan, x), 400),
        (lambda x, draw: np.sign(x) * (np.abs(x) + 1) / 2, 800),
    ],
    ids=["shift", "variance", "missing", "two modes"],
)
def test_a_change_of_one_feature_is_seen_soon_and_its_feature_named(change: object, within: int) -> None:
    """After 5,000 events without any, the median over streams is within so many."""
    delays = []
    for seed in range(9):
        draw = np.random.default_rng(seed)
        bins = [numeric_bins(draw.normal(size=20_000)) for _ in range(FEATURES)]
        made = detector(bins)
        before, after = draw.normal(size=(4_992, FEATURES)), draw.normal(size=(4_800, FEATURES))
        after[:, 1] = change(after[:, 1], draw)  # type: ignore[operator]  # a function
        sums = made.begin()
        made.advance(sums, blocks(bins, before, 16))
        counts = blocks(bins, after, 16)
        for at in range(len(counts)):
            if made.advance(sums, counts[at : at + 1])[0] >= ASKED:
                assert int(np.argmax(made.by_feature(sums))) == 1
                delays.append((at + 1) * 16)
                break
        else:
            delays.append(len(after) * 10)
    assert float(np.median(delays)) <= within, delays


def test_categories_that_come_new_fall_into_a_bin_of_their_own() -> None:
    """An unseen level, a missing value and a known one have different bins; numbers have none here."""
    bins = category_bins(pa.array(["a"] * 60 + ["b"] * 40))
    assert bins.place(pa.array(["b", "c", None, "a"])).tolist() == [1, 2, 3, 0]
    assert bins.frequencies.sum() == pytest.approx(1.0)
    with pytest.raises(ContractError, match="double"):
        bins.place(pa.array([1.0]))
    with pytest.raises(ContractError, match="string"):
        numeric_bins(np.arange(100.0)).place(pa.array(["a"]))


def test_what_follows_on_itself_is_worth_less() -> None:
    """Rows that depend on those before inflate sums of blocks, and their bets pay less for the same."""
    draw = np.random.default_rng(5)
    noise, rows = draw.normal(size=50_000), np.zeros(50_000)
    for at in range(1, len(rows)):
        rows[at] = 0.9 * rows[at - 1] + noise[at]
    inflation = inflation_of(rows)
    assert 12 < inflation < 26  # (1 + .9) / (1 - .9) in the limit
    bins = numeric_bins(rows)
    assert np.abs(bets_on(bins, inflation=inflation).log_pays).max() < np.abs(bets_on(bins).log_pays).max() / 10
