"""Enrich and views against the Fraud Detection Handbook's own features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headrace.domain.pipeline.check import load
from headrace.stores.online import MemoryStore
from tests.enrich.simulation import World

ROOT = Path(__file__).parents[2]
DATA = ROOT / "../shared/data/fraud"
ROWS = 100_000


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the Handbook's transactions in ../shared/data/fraud")
def test_parity() -> None:
    """Flags and counts equal the Handbook's, means and risks within a millionth, in whatever order partitions go."""
    table = pq.read_table(DATA / "transactions.parquet").slice(0, ROWS).combine_chunks()
    events = pa.RecordBatch.from_pydict(
        {
            "transaction_id": table["transaction_id"].combine_chunks().cast(pa.int64()),
            "tx_datetime": table["tx_datetime"].combine_chunks().cast(pa.timestamp("ms", tz="UTC")),
            "customer_id": table["customer_id"].combine_chunks().cast(pa.int64()),
            "terminal_id": table["terminal_id"].combine_chunks().cast(pa.int64()),
            "amount": table["tx_amount"].combine_chunks(),
        }
    )
    world = World(load(ROOT / "pipelines/card_fraud.yaml"), MemoryStore(), seed=7, now=4e9)
    week = 7 * 86_400_000
    labels = {
        "event_id": table["transaction_id"].combine_chunks().cast(pa.string()),
        "value": table["tx_fraud"].combine_chunks().cast(pa.float64()),
        "label_time": pa.array(table["tx_datetime"].cast(pa.int64()).to_numpy() + week),
    }
    world.publish(events)
    world.publish_labels(pa.RecordBatch.from_pydict(labels))
    world.run(rows=4_000, restarts=0.01)
    found = world.answers()
    assert not world.rejects
    assert len(found) == ROWS
    order = pc.sort_indices(found["event_id"].cast(pa.int64()))
    found = found.take(order)

    seconds = table["tx_datetime"].cast(pa.int64()).to_numpy() // 1000
    pair = table["customer_id"].to_numpy().astype(np.int64) << 32 | seconds
    _, which, often = np.unique(pair, return_inverse=True, return_counts=True)
    tied = often[which] > 1
    assert tied.sum() < 20
    wanted = pq.read_table(DATA / "features_2018-04_to_2018-06.parquet").filter(
        pc.field("transaction_id").isin(table["transaction_id"])
    )
    wanted = wanted.take(pc.sort_indices(wanted["transaction_id"]))
    assert wanted["transaction_id"].to_pylist() == found["event_id"].cast(pa.int64()).to_pylist()
    tied = tied[pc.sort_indices(table["transaction_id"]).to_numpy()]

    def compare(view: str, name: str, theirs: str, tolerance: float = 0.0) -> None:
        own = found[view].combine_chunks().field(name).to_numpy(zero_copy_only=False)[~tied]
        other = wanted[theirs].to_numpy()[~tied]
        # Theirs keep a residue of what left a window: of payments of 0.00, one mean is -3.6e-15.
        np.testing.assert_allclose(own, other, rtol=tolerance, atol=tolerance / 1_000, err_msg=theirs)

    compare("calendar", "weekend", "tx_during_weekend")
    compare("calendar", "night", "tx_during_night")
    for days in (1, 7, 30):
        compare("customer", f"nb_tx_{days}d", f"customer_id_nb_tx_{days}day_window")
        compare("customer", f"avg_amount_{days}d", f"customer_id_avg_amount_{days}day_window", 1e-6)
        compare("terminal", f"nb_tx_{days}d", f"terminal_id_nb_tx_{days}day_window")
        compare("terminal", f"risk_{days}d", f"terminal_id_risk_{days}day_window", 1e-6)
    assert set(found["terminal_age"].to_pylist()) == {0}
