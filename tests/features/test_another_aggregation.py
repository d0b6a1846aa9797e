"""The page that adds a function over windows: its file and its entry are all it takes, every other part follows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.domain.aggregations.registry import ENTRIES
from tests.contributing.page import files
from tests.contributing.tree import Tree
from tests.sources import ROOT

FILES = files("aggregation")
FILE, REGISTRY = "headrace/domain/aggregations/spread.py", "headrace/domain/aggregations/registry.py"
BEFORE_IMPORT = "from headrace.domain.aggregations.scans.variance import Std, Var\n"
BEFORE_ENTRY = "    Max(),\n"
IMPORT = "from headrace.domain.aggregations.spread import Spread\n"

ASKED = """
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.domain.pipeline.check import load
from headrace.stores.online import MemoryStore
from headrace.streaming.records.batch import Batch
from services.enrich.service import Enrich
from services.views.service import Views

DAY, ROWS, PART = 86_400_000, 600, 150
pipeline = load(Path(sys.argv[1]))
random = np.random.default_rng(2)
times = np.sort(random.choice(46 * DAY, ROWS, replace=False))
swapped = np.arange(ROWS)
near = np.flatnonzero(np.diff(times) < 600_000)
for row in near[::2]:
    swapped[[row, row + 1]] = swapped[[row + 1, row]]
times = times[swapped]
customer, terminal = random.integers(0, 7, ROWS), random.integers(0, 9, ROWS)
amount = np.round(random.gamma(2, 30, ROWS), 2)
columns = pa.RecordBatch.from_pydict(
    {
        "transaction_id": pa.array(np.arange(ROWS)),
        "tx_datetime": pa.array(times, pa.timestamp("ms", tz="UTC")),
        "customer_id": pa.array(customer),
        "terminal_id": pa.array(terminal),
        "amount": pa.array(amount),
    }
)
keys = pa.array(customer).cast(pa.string()).cast(pa.binary())
batch = Batch("events", columns, keys, np.zeros(ROWS, np.int32), np.arange(ROWS), times)
store = MemoryStore()
enrich = Enrich(pipeline, store)
(view,) = pipeline.foreign_views
views = Views(pipeline, view, store, behind_s=0.0)
enrich.start({"events": 1, "view.terminal": 2})
views.start({"events": 1, "view.terminal": 2})
found = []
for start in range(0, ROWS, PART):
    admission = enrich.admit(batch.slice(slice(start, start + PART)), 0.0)
    for emit in admission.emits:
        size = len(emit.partition)
        zeros = np.zeros(size, np.int64)
        told = Batch("view.terminal", emit.columns, pa.nulls(size, pa.binary()), emit.partition, zeros + start, zeros)
        views.process(told, 0.0)
    output = enrich.process(admission.batch, 0.0)
    assert not output.held and not output.rejects, output
    found += [emit.columns for emit in output.emits if emit.topic == "features"]
features = pa.Table.from_batches(found)
assert features.num_rows == ROWS, features.num_rows
seen = 0
for name, entities, delay in (("customer", customer, 0), ("terminal", terminal, 7 * DAY)):
    for days in (1, 7, 30):
        given = features.column(name).combine_chunks().field(f"spread_{days}d").to_numpy(zero_copy_only=False)
        for row in range(ROWS):
            end = times[row] - delay
            known = np.arange(ROWS) <= row if name == "customer" else np.ones(ROWS, bool)
            inside = known & (entities == entities[row]) & (end - days * DAY < times) & (times <= end)
            rows = np.flatnonzero(inside)
            wanted = np.ptp(amount[rows]) if len(rows) else (-1.0 if name == "terminal" else np.nan)
            assert np.array_equal(given[row], wanted, equal_nan=True), (name, days, row, given[row], wanted)
            seen += len(rows) > 1
print(seen)
"""


@pytest.mark.kernels
@pytest.mark.timeout(600)  # kernels that call a function over windows are compiled anew
def test_spread(tmp_path: Path) -> None:
    """`spread`, added by one file and one entry, is parsed, kept and answered: in memory and through the store."""
    tree = Tree(tmp_path / "tree")
    tree.add(FILE, FILES[FILE])
    tree.enter(REGISTRY, BEFORE_IMPORT, IMPORT)
    tree.enter(REGISTRY, BEFORE_ENTRY, FILES[REGISTRY])
    told = (ROOT / "pipelines/card_fraud.yaml").read_text()
    for old, new in (
        ("avg_amount: mean(amount)}", "avg_amount: mean(amount), spread: spread(amount)}"),
        ("risk: mean(label)}", "spread: spread(amount)}"),
        ("missing: 0", "missing: -1"),
    ):
        assert told.count(old) == 1, f"{old} in {told}"
        told = told.replace(old, new)
    pipeline = tmp_path / "pipelines/card_fraud.yaml"
    pipeline.parent.mkdir()
    pipeline.write_text(told)
    ran = subprocess.run(
        [sys.executable, "-c", ASKED, str(pipeline)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tree.directory), "PYTHONSAFEPATH": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    assert int(ran.stdout) > 1_000, "windows that hold several events"


def test_page() -> None:
    """The page that says what a pipeline file may hold lists every function over windows, with what it does."""
    rows = [line for line in (ROOT / "docs/own_use_case.md").read_text().splitlines() if line.startswith("| `")]
    for function in ENTRIES:
        more = f", {function.parameter}" if function.parameter else ""
        form = f"{function.name}(field{more})" if function.takes_field else function.name
        labels = "yes" if function.of_labels else "no"
        assert f"| `{form}` | {function.gloss} | {function.type} | {labels} |" in rows
