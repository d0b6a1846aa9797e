"""Bets against a reference: sums as the literature has them, few false alarms, real ones soon."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.drift.bets import bets_on, inflation_of, proved_bets_on, upper_bound
from headrace.domain.drift.e_detector import HALF_LIVES, LEARNING, LOOKED, NOTHING, EDetector
from headrace.domain.drift.reference_bins import Bytes, Floats, ReferenceBins, category_bins, numeric_bins
from headrace.errors import ContractError

ASKED = 10_000
"""Events in which one false alarm is asked for."""
FEATURES = 4


def detector(bins: list[ReferenceBins], z: float = 2.0) -> EDetector:
    """Of features whose rows do not depend on one another."""
    return EDetector(bins, [bets_on(each, z) for each in bins], z)


def placed(bins: list[ReferenceBins], rows: Floats) -> Bytes:
    """The bin of each value, events x columns."""
    return np.stack([each.place(pa.array(rows[:, at])) for at, each in enumerate(bins)], axis=1)


def test_sums_are_those_of_the_literature() -> None:
    """R <- (R + 1) L for every bet, and M is their weighted sum, looked at every few events."""
    draw = np.random.default_rng(3)
    bins = [numeric_bins(draw.normal(size=5_000)) for _ in range(2)]
    made = detector(bins)
    rows = draw.normal(0.3, size=(10 * LOOKED, 2))
    state = made.begin()
    found = made.advance(state, placed(bins, rows))
    assert len(found) == 10
    plain = 0.0
    for at, each in enumerate(bins):
        bets = bets_on(each)
        paid = np.exp(bets.log_pays[:, each.place(pa.array(rows[:, at]))])
        for bet, weight in zip(paid, bets.weights, strict=True):
            total = 0.0
            for pay in bet:
                total = (total + 1) * pay
            plain += total * (1 - LEARNING) * weight / 2
    learnt = state.sums[:, -len(HALF_LIVES) :].sum() * LEARNING / len(HALF_LIVES) / 2
    assert found[-1] == pytest.approx(plain + learnt)
    assert made.by_column(state).sum() == pytest.approx(found[-1])


@pytest.mark.parametrize("cuts", [(1, 2, 3), (63, 64, 65, 700), tuple(range(5, 990, 7))])
def test_cuts_change_nothing(cuts: tuple[int, ...]) -> None:
    """Events one by one or all at once: the same sums to the last bit, and the same looks at them."""
    draw = np.random.default_rng(4)
    bins = [numeric_bins(draw.normal(size=5_000)), numeric_bins(draw.integers(0, 3, 5_000).astype(float))]
    made = detector(bins)
    places = placed(bins, np.column_stack([draw.normal(0.5, size=1_000), draw.integers(0, 3, 1_000)]))
    places[draw.random(places.shape) < 0.2] = NOTHING
    whole, cut = made.begin(), made.begin()
    evidence = made.advance(whole, places)
    parts = [made.advance(cut, places[low:high]) for low, high in pairwise([0, *cuts, 1_000])]
    assert np.array_equal(np.concatenate(parts), evidence)
    assert np.array_equal(whole.sums, cut.sums)
    assert np.array_equal(whole.pays, cut.pays)


def test_events_that_say_nothing_of_a_column_change_nothing_of_it() -> None:
    """They pay nothing and begin nothing: as if they had not been."""
    draw = np.random.default_rng(5)
    bins = [numeric_bins(draw.normal(size=5_000))]
    made = detector(bins)
    places = placed(bins, draw.normal(size=(400, 1)))
    apart = np.full((1_200, 1), NOTHING, np.uint8)
    apart[1::3] = places
    alone, among = made.begin(), made.begin()
    made.advance(alone, places)
    made.advance(among, apart)
    assert np.array_equal(alone.sums, among.sums)
    assert among.events.tolist() == [400]


def test_what_is_begun_scales_the_sums() -> None:
    """With a thousandth begun at each event, M is a thousandth of what it is with 1."""
    draw = np.random.default_rng(7)
    bins = [numeric_bins(draw.normal(size=5_000))]
    made = detector(bins)
    places = placed(bins, draw.normal(0.2, size=(800, 1)))
    ones, parts = made.begin(), made.begin()
    whole = made.advance(ones, places)
    found = made.advance(parts, places, np.full(800, 1e-3))
    assert found == pytest.approx(whole / 1_000)
    silent = made.begin()
    assert not made.advance(silent, places, np.zeros(800)).any()


def test_a_silent_column_is_no_part_of_the_sum() -> None:
    """Its own sums go on as before, and the others are what they are without it."""
    draw = np.random.default_rng(8)
    bins = [numeric_bins(draw.normal(size=5_000)) for _ in range(2)]
    made = detector(bins)
    places = placed(bins, draw.normal(0.3, size=(400, 2)))
    heard, silent = made.begin(), made.begin()
    made.advance(heard, places)
    found = made.advance(silent, places, silent=np.array([True, False]))
    assert np.array_equal(heard.sums, silent.sums)
    assert found[-1] == pytest.approx(made.by_column(heard)[1])


def test_learning_bets_are_worth_no_more_than_one_in_the_mean() -> None:
    """Whatever they have seen, the mean of what they pay under the reference is below 1."""
    draw = np.random.default_rng(6)
    bins = [numeric_bins(draw.normal(size=20_000))]
    made = detector(bins)
    state = made.begin()
    made.advance(state, placed(bins, draw.normal(0.4, 1.3, size=(3_000, 1))))
    means = bins[0].frequencies @ state.pays[0, :, -len(HALF_LIVES) :]
    assert np.all(means < 1)
    assert np.all(means > 0.8)


def test_a_bet_owes_less_the_less_long_it_has_to_win() -> None:
    """What is taken from a bet's mean falls with its growth and with the reference, and is never beyond z errors."""
    p, strong, weak = np.full(10, 0.1), np.linspace(0.2, 1.8, 10), np.linspace(0.9, 1.1, 10)

    def owed(pays: Floats, rows: int, z: float = 2.0) -> float:
        return upper_bound(pays, p, rows, z, 1.0, float(p @ (pays * np.log(pays))))

    def error(pays: Floats, rows: int) -> float:
        return float(np.sqrt(p @ (pays - 1) ** 2 / rows))

    assert owed(strong, 50_000) / error(strong, 50_000) < 0.4
    assert owed(weak, 10_000) == pytest.approx(np.log1p(2 * error(weak, 10_000)))
    assert owed(strong, 5_000) > 5 * owed(strong, 50_000)
    assert owed(strong, 500, z=0.5) < owed(strong, 500)


@pytest.mark.parametrize("bins", [numeric_bins(np.arange(9_000.0)), category_bins(pa.array(["a", "b", "c"] * 3_000))])
def test_weights_share_out_what_is_laid_on_a_feature(bins: ReferenceBins) -> None:
    """They are above 0 and sum to 1, and each bet has a name of its own."""
    bets = bets_on(bins)
    assert len(set(bets.names)) == len(bets.names) == len(bets.weights)
    assert bets.weights.min() > 0
    assert bets.weights.sum() == pytest.approx(1.0)


def test_a_proved_bet_has_a_mean_of_at_most_one() -> None:
    """In all of 60 references of 4,000 rows, for every bet, though its level allows one in twenty to be beyond."""
    truth, draw, least = np.array([0.05, 0.25, 0.3, 0.25, 0.15, 0.0]), np.random.default_rng(11), []
    for _ in range(60):
        half, others = draw.multinomial(2_000, truth), draw.multinomial(2_000, truth)
        bins = ReferenceBins(half, edges=np.arange(4.0))
        bets = proved_bets_on(bins, others, 0.05)
        assert bets.names
        least.append(float((np.exp(bets.log_pays) @ truth).max()))
    assert max(least) <= 1
    assert min(least) > 0.8


def test_nothing_is_proved_by_no_rows() -> None:
    """Without other rows there is no bet, and without bets no alarm."""
    bins = numeric_bins(np.arange(1_000.0))
    bets = proved_bets_on(bins, np.zeros(len(bins.counts), np.int64), 0.01)
    assert bets.names == ()
    made = EDetector([bins], [bets], learning=0.0)
    assert not made.advance(made.begin(), np.zeros((1_000, 1), np.uint8)).any()


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2_000, 50_000])
def test_false_alarms_stay_within_what_was_asked_for(rows: int) -> None:
    """In as many events as one is asked for, the mean over 40 streams with references of their own is at most one."""
    alarms = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        bins = [numeric_bins(draw.normal(size=rows)) for _ in range(FEATURES)]
        made = detector(bins)
        places = placed(bins, draw.normal(size=(ASKED, FEATURES)))
        found, at = 0, 0
        while at < len(places):
            over = np.flatnonzero(made.advance(made.begin(), places[at:]) >= ASKED)
            if not len(over):
                break
            found, at = found + 1, at + (int(over[0]) + 1) * LOOKED
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
        state = made.begin()
        made.advance(state, placed(bins, before))
        over = np.flatnonzero(made.advance(state.copy(), placed(bins, after)) >= ASKED)
        delays.append((int(over[0]) + 1) * LOOKED if len(over) else 10 * len(after))
        made.advance(state, placed(bins, after)[: delays[-1]])
        assert int(np.argmax(made.by_column(state))) == 1
    assert float(np.median(delays)) <= within, delays


@pytest.mark.parametrize("to", [0.5, -0.5, np.nan])
def test_a_constant_that_changes_is_seen_at_once(to: float) -> None:
    """Upwards, downwards or to nothing: within some rows, though no row of the reference was like it."""
    bins = numeric_bins(np.zeros(5_000))
    made = detector([bins])
    rows = np.zeros((2_000, 1))
    rows[1_000:] = to
    over = np.flatnonzero(made.advance(made.begin(), placed([bins], rows)) >= ASKED)
    assert 1_000 <= over[0] * LOOKED < 1_010


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


def test_numbers_that_differ_in_their_last_digits_are_in_one_bin() -> None:
    """Scores of a small tree are few; a runtime that rounds otherwise changes no bin."""
    leaves = np.random.default_rng(9).choice([0.1, 0.30000001, 0.7, 1.0], 5_000)
    bins = numeric_bins(leaves)
    for sign in (1, -1):
        assert np.array_equal(bins.place(pa.array(leaves * (1 + sign * 1e-6))), bins.place(pa.array(leaves)))
