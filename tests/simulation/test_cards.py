"""The card simulator follows the Handbook's description."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headrace.domain.simulation import cards

REAL = Path(__file__).parents[2] / "../shared/data/fraud/transactions.parquet"


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Sixty days of a tenth of the Handbook's customers and terminals, as dense as the Handbook's."""
    return cards.generate(customers=2000, terminals=4000, days=60, seed=7)


def column(table: pa.Table, name: str) -> np.ndarray:
    """One column as numbers; times in milliseconds."""
    values = table[name]
    return np.asarray(values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values)


def test_deterministic() -> None:
    """A seed names its transactions; another seed gives others."""
    assert cards.generate(50, 500, 5, seed=1).equals(cards.generate(50, 500, 5, seed=1))
    assert not cards.generate(50, 500, 5, seed=1).equals(cards.generate(50, 500, 5, seed=2))


def test_order_and_schema(table: pa.Table) -> None:
    """Transactions come in time order, numbered from 0, all within the days asked for."""
    assert table.schema == cards.SCHEMA
    assert table.num_rows > 200_000
    times = column(table, "tx_datetime")
    assert (np.diff(times) >= 0).all()
    np.testing.assert_array_equal(column(table, "transaction_id"), np.arange(table.num_rows))
    assert times[0] >= 1_522_540_800_000
    assert times[-1] < 1_522_540_800_000 + 60 * 86_400_000


def test_reach_is_all_pairs() -> None:
    """The grid finds the terminals that a comparison of all pairs finds, at the square's edges too."""
    rng = np.random.default_rng(3)
    people = cards.Customers.draw(200, rng)
    x, y = rng.uniform(0, 100, 500), rng.uniform(0, 100, 500)
    for radius in (0.5, 5.0, 30.0, 60.0, 200.0):
        reach = cards.Reach.within(radius, people, x, y)
        near = (people.x[:, None] - x) ** 2 + (people.y[:, None] - y) ** 2 < radius**2
        for customer in range(200):
            found = reach.terminals[reach.first[customer] : reach.first[customer + 1]]
            np.testing.assert_array_equal(found, np.flatnonzero(near[customer]))


def test_large_amounts(table: pa.Table) -> None:
    """Every amount above 220 is fraud, whatever else is."""
    amount, fraud = column(table, "amount"), column(table, "fraud")
    assert fraud[amount > 220].all()
    np.testing.assert_array_equal(fraud, column(table, "fraud_scenario") > 0)
    assert amount.min() >= 0


def test_compromised_terminals(table: pa.Table) -> None:
    """While a terminal is compromised, for 28 days, all its payments are fraudulent."""
    days = (column(table, "tx_datetime") - 1_522_540_800_000) // 86_400_000
    scenario, terminal = column(table, "fraud_scenario"), column(table, "terminal_id")
    lasted = []
    for one in np.unique(terminal[scenario == 2]):
        mine = terminal == one
        first, last = days[mine & (scenario == 2)][[0, -1]]
        if last - first < 28:  # else it was drawn twice
            lasted.append(last - first)
            assert (scenario[mine & (days >= first) & (days <= last)] != 0).all()
    assert 100 <= len(lasted) <= 120
    assert max(lasted) == 27


def test_shares_follow_the_published_data(table: pa.Table) -> None:
    """Density, amounts, hours and the mix of frauds are those of the Handbook's own transactions."""
    if not REAL.exists():
        pytest.skip("the Handbook's transactions are not beside the repository")
    real = pq.read_table(REAL, columns=["tx_datetime", "tx_amount", "tx_fraud_scenario"])
    real = real.filter(pc.field("tx_datetime") < real["tx_datetime"][0].as_py().replace(month=5, day=31, hour=0))
    a_day = table.num_rows / 60 / 2000
    assert a_day == pytest.approx(real.num_rows / 60 / 5000, rel=0.05)
    calm, real_calm = column(table, "fraud_scenario") == 0, column(real, "tx_fraud_scenario") == 0
    ours, theirs = column(table, "amount")[calm], column(real, "tx_amount")[real_calm]
    np.testing.assert_allclose(np.quantile(ours, [0.1, 0.5, 0.9]), np.quantile(theirs, [0.1, 0.5, 0.9]), rtol=0.1)
    seconds, real_seconds = (column(t, "tx_datetime") // 1000 % 86_400 for t in (table, real))
    np.testing.assert_allclose(
        np.quantile(seconds, [0.1, 0.5, 0.9]), np.quantile(real_seconds, [0.1, 0.5, 0.9]), rtol=0.02
    )


def test_mix_of_frauds() -> None:
    """With the Handbook's numbers of customers and terminals its shares of the three frauds come out."""
    if not REAL.exists():
        pytest.skip("the Handbook's transactions are not beside the repository")
    ours = column(cards.generate(days=60, seed=3), "fraud_scenario")
    real = column(pq.read_table(REAL, columns=["tx_fraud_scenario"]), "tx_fraud_scenario")[: len(ours)]
    for scenario in (1, 2, 3):
        assert (ours == scenario).mean() == pytest.approx((real == scenario).mean(), rel=0.25)


def test_a_shift_changes_what_is_true_and_nothing_else() -> None:
    """From its midnight on small payments are frauds and large ones are none; the payments stay the same."""
    same, shifted = cards.generate(500, 1000, 12, seed=3), cards.generate(500, 1000, 12, seed=3, shift_day=6)
    payments = ["transaction_id", "tx_datetime", "customer_id", "terminal_id", "amount"]
    assert same.select(payments).equals(shifted.select(payments))
    day = (column(shifted, "tx_datetime") - column(shifted, "tx_datetime")[0]) // 86_400_000
    late = column(shifted, "tx_datetime") >= 1_522_540_800_000 + 6 * 86_400_000
    assert day.max() >= 11
    assert same.filter(pa.array(~late)).equals(shifted.filter(pa.array(~late)))
    amount, scenario = column(shifted, "amount"), column(shifted, "fraud_scenario")
    small = (amount < cards.SMALL_AMOUNT) & late
    assert column(shifted, "fraud")[small].all()
    assert small.sum() > 20
    assert not (scenario[late] == 1).any(), "a large amount is a fraud still"
    assert not (scenario[~late] == 4).any(), "a small amount is one before its time"
