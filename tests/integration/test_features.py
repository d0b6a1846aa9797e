"""Features through Kafka against the Handbook's own."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.project import Project, differences, handbook_transactions, ties

ROWS = 120_000


def assert_parity(project: Project, shared_data: Path, events: pa.RecordBatch) -> None:
    """Every event once on the features topic, with the Handbook's values."""
    found = project.read("features")
    doubled = [name for name, times in Counter(found["event_id"].to_pylist()).items() if times > 1]
    assert doubled == []
    found = found.take(pc.sort_indices(found["event_id"].cast(pa.int64())))
    events = events.take(pc.sort_indices(events["transaction_id"]))
    assert found["event_id"].cast(pa.int64()).to_pylist() == events["transaction_id"].to_pylist()
    wanted = pq.read_table(shared_data / "fraud/features_2018-04_to_2018-06.parquet")
    wanted = wanted.filter(pc.is_in(wanted["transaction_id"].cast(pa.int64()), events["transaction_id"]))
    wanted = wanted.take(pc.sort_indices(wanted["transaction_id"]))
    tied = ties(events["customer_id"].to_numpy(), events["tx_datetime"].cast(pa.int64()).to_numpy())
    assert differences(found, wanted, np.flatnonzero(tied)) == {}


@pytest.mark.parametrize("members", [1, 3])
def test_features_equal_the_handbooks(card_fraud: Project, shared_data: Path, members: int) -> None:
    """A backfill at full speed gives the published features, whatever the number of members."""
    events = handbook_transactions(shared_data / "fraud/transactions.parquet", slice(0, ROWS))
    card_fraud.publish(events, "customer_id")
    for member in range(members):
        card_fraud.start(f"enrich-{member}")
    card_fraud.start("views-0")
    card_fraud.await_count("features", ROWS)
    assert_parity(card_fraud, shared_data, events)
