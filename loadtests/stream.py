"""The transactions that load tests play: the real ones where they are, else made-up ones; the same on every run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.domain.simulation import cards
from headrace.errors import ConfigurationError

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "fraud"
"""The Handbook's transactions and features, in a folder beside the repository."""
A_DAY = 9_400
"""Transactions of 5,000 simulated customers in a day, about."""
WEEK = 7 * 86_400_000
"""After which the truth about a transaction is known, milliseconds."""
TIME = "tx_datetime"


@dataclass(frozen=True, slots=True)
class Stream:
    """Card transactions in time order.

    Attributes:
        events: columns of the events topic.
        fraud: int8 label of each.
        source: where they come from, for the reader of the figures.
    """

    events: pa.RecordBatch
    fraud: pa.Array
    source: str

    def __len__(self) -> int:
        return int(self.events.num_rows)

    def part(self, start: int, stop: int) -> Stream:
        """Rows [start, stop), without copying."""
        return Stream(self.events.slice(start, stop - start), self.fraud.slice(start, stop - start), self.source)

    def ending(self, at: int) -> Stream:
        """The same transactions moved in time, so that the last one happens at `at`, milliseconds since the epoch."""
        place, times = self.events.schema.get_field_index(TIME), self._times()
        moved = pa.array(times + (at - int(times[-1])), self.events.schema.field(TIME).type)
        return Stream(self.events.set_column(place, TIME, moved), self.fraud, self.source)

    def labels(self, until: int | None = None) -> pa.RecordBatch:
        """What each turned out to be, a week later, in time order; `until`: those known by then, milliseconds."""
        known = self._times() + WEEK
        count = len(known) if until is None else int(np.searchsorted(known, until, "right"))
        columns = {
            "event_id": self.events["transaction_id"].slice(0, count).cast(pa.string()),
            "value": self.fraud.slice(0, count).cast(pa.float64()),
            "label_time": pa.array(known[:count], pa.timestamp("ms", "UTC")),
            "source": pa.array([""] * count, pa.string()),
        }
        return pa.RecordBatch.from_pydict(columns)

    def _times(self) -> npt.NDArray[np.int64]:
        times: npt.NDArray[np.int64] = self.events[TIME].cast(pa.int64()).to_numpy()
        return times


def transactions(rows: int, made_up: bool = False) -> Stream:
    """The first `rows` transactions from 2018-04-01 on.

    Raises:
        ConfigurationError: the real ones are fewer.
    """
    if made_up or not DATA.is_dir():
        days = rows // A_DAY + 8
        table = cards.generate(days=days, seed=1)
        source = f"made up: headrace.domain.simulation.cards, 5,000 customers, 10,000 terminals, {days} days, seed 1"
    else:
        table = pq.read_table(DATA / "transactions.parquet").rename_columns(
            ["transaction_id", "tx_datetime", "customer_id", "terminal_id", "amount", "fraud", "fraud_scenario"]
        )
        source = "the Fraud Detection Handbook's published transactions, from 2018-04-01"
    if table.num_rows < rows:
        raise ConfigurationError(f"there are {table.num_rows:,} transactions ({source}), not {rows:,}")
    table = table.slice(0, rows)
    kinds = {field.name: field.type for field in cards.SCHEMA}
    columns = {name: table[name].cast(kinds[name]).combine_chunks() for name in cards.SCHEMA.names[:6]}
    fraud = columns.pop("fraud")
    return Stream(pa.RecordBatch.from_pydict(columns), fraud, source)
