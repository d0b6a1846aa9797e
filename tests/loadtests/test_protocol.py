"""The Handbook's protocol on its own data: its published figures come out, with features computed by plain NumPy."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.model_build import Recipe, train
from loadtests.protocol import (
    AS_OF,
    CONTENDERS,
    DAY,
    START,
    TESTED,
    TRAINED,
    Contender,
    card_precision,
    judged,
    under_test,
)
from loadtests.stream import DATA

Rows = dict[str, np.ndarray]
# Ten forests take minutes on two cores; they are the load test's.
PLAYED = [contender for contender in CONTENDERS if contender.trainer != "random_forest"]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Transactions of the training and the test days: time, customer, fraud, and the 15 inputs [n, 15]."""
    if not DATA.is_dir():
        pytest.skip(f"the real data is not on this machine ({DATA})")
    table = pq.read_table(DATA / "transactions.parquet").sort_by("transaction_id")  # in time order, too
    times = table["tx_datetime"].cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    near = slice(int(np.searchsorted(times, START - 38 * DAY)), int(np.searchsorted(times, TESTED[1])))
    times = times[near]
    names = ("customer_id", "terminal_id", "tx_amount", "tx_fraud")
    customers, terminals, amounts, fraud = (table[name].to_numpy()[near] for name in names)
    weekend = (times // DAY + 3) % 7 >= 5
    night = times % DAY // 3_600_000 <= 6
    columns = [amounts, weekend, night]
    for count, total in windows(customers, times, amounts, 0):
        columns += [count, total / count]
    for count, total in windows(terminals, times, fraud, 7 * DAY):
        columns += [count, np.where(count > 0, total / np.maximum(count, 1), 0)]
    kept = times >= START
    matrix = np.column_stack([column[kept] for column in columns])
    return {"time": times[kept], "customer": customers[kept], "fraud": fraud[kept], "matrix": matrix}


def windows(keys: np.ndarray, times: np.ndarray, values: np.ndarray, delay: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Count and sum over 1, 7 and 30 days up to `delay` before each row, itself included where there is none."""
    order = np.lexsort((np.arange(len(keys)), times, keys))
    line = keys[order].astype(np.int64) * 10**13 + times[order]
    sums = np.concatenate([[0.0], np.cumsum(values[order])])
    first = np.searchsorted(keys[order], keys[order])
    ends = np.arange(1, len(line) + 1)
    if delay:
        ends = np.maximum(np.searchsorted(line, line - delay, side="right"), first)
    found = []
    for days in (1, 7, 30):
        begins = np.maximum(np.searchsorted(line, line - delay - days * DAY, side="right"), first)
        count, total = np.empty(len(keys)), np.empty(len(keys))
        count[order], total[order] = ends - begins, sums[ends] - sums[begins]
        found.append((count, total))
    return found


def test_days_and_rows(rows: Rows) -> None:
    """Training and test hold as many transactions and frauds as the Handbook says."""
    times, fraud = rows["time"], rows["fraud"]
    trained = (times >= TRAINED[0]) & (times < TRAINED[1])
    mask = under_test(times, rows["customer"], fraud)
    assert (trained.sum(), fraud[trained].sum()) == (67240, 598)
    assert (mask.sum(), fraud[mask].sum()) == (58264, 385)
    assert (TRAINED[1] - 1 + 7 * DAY) < AS_OF


@pytest.mark.rehearsal
@pytest.mark.parametrize("contender", PLAYED, ids=[contender.title for contender in PLAYED])
def test_published_figures(rows: Rows, contender: Contender) -> None:
    """Each model reaches the published figures within its spread over seeds; what has none, to the third digit."""
    times = rows["time"]
    matrix = np.asfortranarray(rows["matrix"], dtype=np.float32)
    names = tuple(f"f{i}" for i in range(matrix.shape[1]))
    data = Dataset(names, matrix, rows["fraud"], times).part(slice(0, int(np.searchsorted(times, TRAINED[1]))))
    reached = []
    for seed in range(contender.seeds):
        recipe = Recipe(
            "m", "1", trainer=contender.trainer, parameters=contender.parameters, seed=seed, holdout=0.0, as_of=AS_OF
        )
        scores = open_session(train(data, recipe), SessionSettings(device="cpu", rows=512)).run(matrix)
        reached.append(astuple(judged(times, rows["customer"], scores, rows["fraud"], seed)))
    least, most = np.min(reached, axis=0), np.max(reached, axis=0)
    if contender.published is None:
        assert (least > (0.86, 0.59, 0.26)).all(), "about as good as the others"
    else:
        published = np.array(astuple(contender.published))
        assert (least - 5e-4 <= published).all(), (least, most)
        assert (published <= most + 5e-4).all(), (least, most)


def test_found_customers_are_left_out() -> None:
    """Whoever was found is not found again, and an honest customer may come up every day."""
    days = np.array([0, 0, 1, 1]) * DAY
    customers, fraud = np.array([1, 2, 1, 2]), np.array([1, 0, 1, 0])
    scores = np.array([0.9, 0.5, 0.9, 0.5])
    assert card_precision(days, customers, scores, fraud, k=1) == 0.5
