"""Card payments that are made up, answered by real services, and their features counted one by one."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
import pyarrow as pa

from tests.catalogue.made import BEGIN, DAY

WINDOWS = {"1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
DELAY = 7 * DAY


@dataclass(frozen=True)
class Payments:
    """Payments in the order of their times, and which of them were reported as fraud, a week and more after."""

    events: pa.RecordBatch
    labels: pa.RecordBatch

    @property
    def times(self) -> list[int]:
        """Event times, ms."""
        found: list[int] = self.events["tx_datetime"].cast(pa.int64()).to_pylist()
        return found

    def customer(self, customer: int, time: int) -> dict[str, float]:
        """Features of a customer at a time, payment by payment."""
        own = [
            (at, amount)
            for at, who, amount in zip(
                self.times, self.events["customer_id"].to_pylist(), self.events["amount"].to_pylist(), strict=True
            )
            if who == customer
        ]
        found = {}
        for name, length in WINDOWS.items():
            amounts = [amount for at, amount in own if time - length < at <= time]
            found[f"customer.nb_tx_{name}"] = float(len(amounts))
            found[f"customer.avg_amount_{name}"] = sum(amounts) / len(amounts) if amounts else nan
        return found

    def terminal(self, terminal: int, time: int) -> dict[str, float]:
        """Features of a terminal at a time: of payments a week ago and before, with the labels known by then."""
        known = self.labels["label_time"].cast(pa.int64()).to_pylist()
        frauds = dict(zip(self.labels["event_id"].to_pylist(), known, strict=True))
        ids = map(str, self.events["transaction_id"].to_pylist())
        own = [
            (at, name)
            for at, name, where in zip(self.times, ids, self.events["terminal_id"].to_pylist(), strict=True)
            if where == terminal
        ]
        found = {}
        for window, length in WINDOWS.items():
            there = [name for at, name in own if time - DELAY - length < at <= time - DELAY]
            bad = sum(frauds.get(name, time + 1) <= time for name in there)
            found[f"terminal.nb_tx_{window}"] = float(len(there))
            found[f"terminal.risk_{window}"] = bad / len(there) if there else 0.0
        return found


def payments(count: int = 1_500, days: int = 45, seed: int = 5) -> Payments:
    """So many payments of 12 customers at 8 terminals; one in five is fraud, and reported 7 to 10 days later."""
    draw = np.random.default_rng(seed)
    times = np.sort(draw.choice(days * DAY // 1000, count, replace=False)) * 1000 + BEGIN
    millis = pa.timestamp("ms", tz="UTC")
    events = {
        "transaction_id": pa.array(np.arange(count)),
        "tx_datetime": pa.array(times).cast(millis),
        "customer_id": pa.array(draw.integers(0, 12, count)),
        "terminal_id": pa.array(draw.integers(100, 108, count)),
        "amount": pa.array(np.round(draw.lognormal(3, 1, count), 2)),
    }
    bad = np.flatnonzero(draw.random(count) < 0.2)
    known = times[bad] + 7 * DAY + draw.integers(0, 3 * DAY // 1000, len(bad)) * 1000
    order = np.argsort(known, kind="stable")
    labels = {
        "event_id": pa.array(bad[order].astype(str)),
        "value": pa.array(np.ones(len(bad))),
        "label_time": pa.array(known[order]).cast(millis),
        "source": pa.array(["bank"] * len(bad)),
    }
    return Payments(pa.RecordBatch.from_pydict(events), pa.RecordBatch.from_pydict(labels))
