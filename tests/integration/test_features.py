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

from tests.project import Project, differences, handbook_labels, handbook_transactions, ties

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


def publish_interleaved(project: Project, events: pa.RecordBatch, labels: pa.RecordBatch) -> None:
    """Write events and labels side by side, as they would come when a week were a moment."""
    for start in range(0, events.num_rows, 10_000):
        project.publish(events.slice(start, 10_000), "customer_id")
        project.publish(labels.slice(start, 10_000), "event_id", "labels")


def test_features_equal_the_handbooks(card_fraud: Project, shared_data: Path) -> None:
    """A backfill at full speed gives the published features; here labels come first, below while the events do."""
    path, rows = shared_data / "fraud/transactions.parquet", slice(0, ROWS)
    events, labels = handbook_transactions(path, rows), handbook_labels(path, rows)
    card_fraud.publish(labels, "event_id", "labels")
    card_fraud.publish(events, "customer_id")
    for member in ("enrich-0", "views-0", "labels-0"):
        card_fraud.start(member)
    card_fraud.await_count("features", ROWS)
    assert_parity(card_fraud, shared_data, events)


@pytest.mark.faults
@pytest.mark.slow
def test_kills_joins_and_leaves_change_nothing(card_fraud: Project, shared_data: Path) -> None:
    """Every service is killed twice mid-run at least, members of enrich join and leave: features are the
    published ones, and each event has exactly one prediction.
    """
    path, rows = shared_data / "fraud/transactions.parquet", slice(0, ROWS)
    events, labels = handbook_transactions(path, rows), handbook_labels(path, rows)
    card_fraud.champion()
    # Small batches and commits make the run long enough to be struck often.
    card_fraud.settings = {"HEADRACE_BATCH_ROWS": "500", "HEADRACE_CHECKPOINT_S": "1"}
    members = ["enrich-0", "enrich-1", "views-0", "labels-0", "score-0"]
    for member in members:
        card_fraud.start(member)
    part = ROWS // (2 * len(members) + 1)
    publish_interleaved(card_fraud, events.slice(0, part), labels.slice(0, part))
    card_fraud.await_count("predictions", 1)
    draw = random.Random(11)
    strikes = [member for member in members for _ in range(2)]
    draw.shuffle(strikes)
    for number, member in enumerate(strikes):
        start = (number + 1) * part
        stop = ROWS if number == len(strikes) - 1 else start + part
        answered = card_fraud.count("predictions")
        publish_interleaved(card_fraud, events.slice(start, stop - start), labels.slice(start, stop - start))
        time.sleep(draw.uniform(0, 1))  # Strikes fall anywhere in a batch, a commit or a restore.
        card_fraud.stop(member, signal.SIGKILL)
        card_fraud.start(member)
        card_fraud.await_count("predictions", answered + 1, 60, between=card_fraud.revive)  # Alive again, and behind.
        if number == 4:
            card_fraud.start("enrich-2")
        if number == 7:
            card_fraud.stop("enrich-2")
        card_fraud.revive()
    predictions = card_fraud.await_count("predictions", ROWS, between=card_fraud.revive)
    assert_parity(card_fraud, shared_data, events)
    assert sorted(predictions["event_id"].cast(pa.int64()).to_pylist()) == sorted(events["transaction_id"].to_pylist())
    assert len(set(predictions["prediction_id"].to_pylist())) == ROWS
    assert card_fraud.count("dead-letters") == 0
