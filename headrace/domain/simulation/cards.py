"""Card transactions by the published process of the Fraud Detection Handbook.

Customers and terminals lie on a square of 100 by 100; a customer pays at terminals within a radius. Three kinds of
fraud are laid over the payments: (1) any amount above 220; (2) every day two terminals are compromised for 28 days, all
their payments being fraudulent; (3) every day three customers' cards are copied for 14 days, a third of their payments
being fraudulent and five times as high.

The process may shift on a day: from its midnight on it is no longer large amounts that are frauds (1), but small ones
(4), by which somebody tries out whether a card works. Payments lie as before; something else is true of them.

References:
    Y.-A. Le Borgne, W. Siblini, B. Lebichot, G. Bontempi: Reproducible Machine Learning for Credit Card Fraud Detection
    - Practical Handbook, Université Libre de Bruxelles, 2022, chapter 3.2, "Transaction data simulator". Written from
    its description: numbers are drawn all at once, so that seeds do not give the Handbook's own transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SIDE = 100.0
DAY = 86_400  # seconds
LARGE_AMOUNT = 220.0
SMALL_AMOUNT = 4.0
"""Below it, payments after the shift are tries. The Handbook knows no shift; the number is ours."""
TERMINALS_A_DAY, TERMINAL_DAYS = 2, 28
CUSTOMERS_A_DAY, CUSTOMER_DAYS = 3, 14
COPIED_SHARE, COPIED_FACTOR = 3, 5.0

_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("transaction_id", pa.int64()),
    ("tx_datetime", pa.timestamp("ms", "UTC")),
    ("customer_id", pa.int64()),
    ("terminal_id", pa.int64()),
    ("amount", pa.float64()),
    ("fraud", pa.int8()),
    ("fraud_scenario", pa.int8()),
]
SCHEMA = pa.schema(_COLUMNS)


@dataclass(frozen=True, slots=True)
class Customers:
    """Customer profiles, one entry a customer: place, amounts in currency units, payments a day."""

    x: Floats
    y: Floats
    mean_amount: Floats
    std_amount: Floats
    daily: Floats

    @classmethod
    def draw(cls, count: int, rng: np.random.Generator) -> Customers:
        """Draw profiles: places uniform, mean amount U(5, 100), its deviation half of it, payments a day U(0, 4)."""
        mean = rng.uniform(5, 100, count)
        return cls(rng.uniform(0, SIDE, count), rng.uniform(0, SIDE, count), mean, mean / 2, rng.uniform(0, 4, count))


@dataclass(frozen=True, slots=True)
class Reach:
    """Which terminals each customer can reach: those of customer c are `terminals[first[c]:first[c + 1]]`."""

    first: Ints
    terminals: Ints

    @classmethod
    def within(cls, radius: float, customers: Customers, x: Floats, y: Floats) -> Reach:
        """Terminals nearer than the radius, found on a grid of cells as wide as it: a few hundred pairs a customer."""
        cells = max(1, int(SIDE // radius))
        width = SIDE / cells
        order = np.lexsort((np.minimum(x // width, cells - 1), np.minimum(y // width, cells - 1)))
        cell = (np.minimum(y // width, cells - 1) * cells + np.minimum(x // width, cells - 1))[order]
        column, row = np.minimum(customers.x // width, cells - 1), np.minimum(customers.y // width, cells - 1)
        owners, found = [], []
        for up in (-1, 0, 1):
            # Three neighbouring cells of one row are one run of the sorted terminals.
            inside = (row + up >= 0) & (row + up < cells)
            left = (row + up) * cells + np.maximum(column - 1, 0)
            right = (row + up) * cells + np.minimum(column + 1, cells - 1)
            start = np.searchsorted(cell, left, "left")
            stop = np.where(inside, np.searchsorted(cell, right, "right"), start)
            owner, place = expand(start, stop)
            owners.append(owner)
            found.append(order[place])
        owner, terminal = np.concatenate(owners), np.concatenate(found)
        near = (customers.x[owner] - x[terminal]) ** 2 + (customers.y[owner] - y[terminal]) ** 2 < radius**2
        owner, terminal = owner[near], terminal[near]
        by_owner = np.lexsort((terminal, owner))
        return cls(np.searchsorted(owner[by_owner], np.arange(len(customers.x) + 1)), terminal[by_owner])


def generate(
    customers: int = 5_000,
    terminals: int = 10_000,
    days: int = 30,
    start: int = 1_522_540_800_000,
    radius: float = 5.0,
    seed: int = 0,
    shift_day: int | None = None,
) -> pa.Table:
    """Transactions in time order; the same arguments give the same table.

    Args:
        customers: how many there are.
        terminals: how many there are.
        days: length of the whole.
        start: midnight of the first day, milliseconds since the epoch; 2018-04-01 unless told otherwise.
        radius: how far a customer goes.
        seed: of the random numbers.
        shift_day: from which day on, the first being 0, other payments are frauds; None: the process stays as it is.
            All but the labels is the same with and without.

    Returns:
        Columns as in `SCHEMA`; times are whole seconds, amounts have two decimals, ids count from 0 in time order.
    """
    rng = np.random.default_rng(seed)
    people = Customers.draw(customers, rng)
    reach = Reach.within(radius, people, rng.uniform(0, SIDE, terminals), rng.uniform(0, SIDE, terminals))
    customer, second, terminal, amount = _payments(people, reach, days, rng)
    day = second // DAY
    scenario = np.zeros(len(day), np.int8)
    shifted = np.zeros(len(day), np.bool_) if shift_day is None else day >= shift_day
    scenario[(amount > LARGE_AMOUNT) & ~shifted] = 1
    scenario[(amount < SMALL_AMOUNT) & shifted] = 4
    _, compromised = _victims(terminal, day, terminals, days, TERMINALS_A_DAY, TERMINAL_DAYS, rng)
    scenario[compromised] = 2
    drawn, copied = _victims(customer, day, customers, days, CUSTOMERS_A_DAY, CUSTOMER_DAYS, rng)
    fraudulent = np.unique(copied[_share(drawn, COPIED_SHARE, rng)])
    scenario[fraudulent] = 3
    amount[fraudulent] = np.round(amount[fraudulent] * COPIED_FACTOR, 2)
    milliseconds: Any = pa.array(start + second * 1000)
    time = milliseconds.cast(SCHEMA.field("tx_datetime").type)
    ids = np.arange(len(second))
    columns: list[Any] = [ids, time, customer, terminal, amount, (scenario > 0).astype(np.int8), scenario]
    return pa.table([pa.array(c) for c in columns], schema=SCHEMA)


def _payments(people: Customers, reach: Reach, days: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints, Floats]:
    """Customer, second since the start, terminal and amount of every payment, in time order."""
    counts = rng.poisson(people.daily, (days, len(people.daily)))
    counts[:, np.diff(reach.first) == 0] = 0  # whoever reaches no terminal pays nowhere
    cell, _ = expand(np.zeros(counts.size, np.int64), counts.ravel())
    day, customer = np.divmod(cell, len(people.daily))
    within = rng.normal(DAY / 2, 20_000, len(customer)).astype(np.int64)
    kept = (within > 0) & (within < DAY)  # the Handbook drops payments that fall out of their day
    day, customer, within = day[kept], customer[kept], within[kept]
    mean: Floats = people.mean_amount[customer]
    amount: Floats = rng.normal(mean, people.std_amount[customer])
    amount[:] = np.where(amount < 0, rng.uniform(0, 2 * mean), amount).round(2)
    first = reach.first[customer]
    terminal = reach.terminals[first + rng.integers(0, reach.first[customer + 1] - first)]
    second = day * DAY + within
    order = np.argsort(second, kind="stable")
    return customer[order], second[order], terminal[order], amount[order]


def _victims(
    owner: Ints, day: Ints, owners: int, days: int, a_day: int, lasting: int, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Draw so many different owners every day and find their payments of that day and the days after.

    Returns the day of the draw and the payment, for each payment that is met (by two draws: twice).
    """
    key = owner * days + day
    order = np.argsort(key, kind="stable")
    chosen = np.stack([rng.choice(owners, min(a_day, owners), replace=False) for _ in range(days)])
    drawn = np.repeat(np.arange(days), chosen.shape[1])
    begin = chosen.ravel() * days
    start = np.searchsorted(key[order], begin + drawn)
    stop = np.searchsorted(key[order], begin + np.minimum(drawn + lasting, days))
    draw, place = expand(start, stop)
    return drawn[draw], order[place]


def _share(group: Ints, of: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A mask that takes one in `of` at random within each group of equal, adjacent numbers, rounded down."""
    order = np.lexsort((rng.random(len(group)), group))
    sizes = np.bincount(group)
    rank = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    mask = np.zeros(len(group), np.bool_)
    mask[order] = rank < np.repeat(sizes // of, sizes)
    return mask


def expand(start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """All places of many ranges: (number of the range, place) for each place in [start, stop).

    >>> expand(np.array([3, 0, 7]), np.array([5, 0, 8]))
    (array([0, 0, 2]), array([3, 4, 7]))
    """
    lengths = stop - start
    which = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(which)) + np.repeat(start - (np.cumsum(lengths) - lengths), lengths)
    return which, place
