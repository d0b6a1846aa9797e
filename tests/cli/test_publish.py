"""From a file to a topic and back, on a real broker."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from headrace.streaming.kafka.client import Producer
from tests.cli.terminal import Terminal
from tests.project import Project

ROWS = 20_000
START = 1_522_540_800_000


def transactions(path: Path, rows: int = ROWS) -> pa.Table:
    """Write payments to a file whose amount has another name."""
    draw = np.random.default_rng(5)
    table = pa.table(
        {
            "transaction_id": np.arange(rows),
            "tx_datetime": pa.array(START + np.arange(rows) * 1000, pa.timestamp("ms")),
            "customer_id": draw.integers(0, 500, rows),
            "terminal_id": draw.integers(0, 900, rows),
            "tx_amount": draw.lognormal(3, 1, rows).round(2),
            "fraud": (draw.random(rows) < 0.01).astype(np.int8),
        }
    )
    pyarrow.csv.write_csv(table, path) if path.suffix == ".csv" else pq.write_table(table, path)
    return table


def test_what_is_published_is_exported(headrace: Terminal, project: Project, tmp_path: Path) -> None:
    """A file comes back whole from its topic: same values, the entity as key, each entity in one partition in order."""
    table = transactions(tmp_path / "in.parquet")
    told = headrace.json("publish", project.path, "in.parquet", "--map", "amount=tx_amount")
    assert told["sent"] == ROWS
    told = headrace.json("export", project.path, "events", "out.parquet")
    assert (told["records"], told["unreadable"]) == (ROWS, 0)
    out = pq.read_table(tmp_path / "out.parquet").sort_by("transaction_id")
    assert out["amount"].to_pylist() == table["tx_amount"].to_pylist()
    assert out["_key"].cast(pa.string()).to_pylist() == table["customer_id"].cast(pa.string()).to_pylist()
    places = out.group_by("customer_id").aggregate([("_partition", "count_distinct")])
    assert set(places["_partition_count_distinct"].to_pylist()) == {1}
    for partition in (0, 1):
        offsets = out.filter(pa.compute.equal(out["_partition"], partition))["_offset"].to_numpy()
        assert (np.diff(offsets) > 0).all()


def test_labels_and_times_of_a_csv(headrace: Terminal, project: Project, tmp_path: Path) -> None:
    """Labels come from the columns that the pipeline names, chosen by the time they became known."""
    table = transactions(tmp_path / "in.csv", 1_000)
    ripe = "2018-04-08T00:10"  # a week and 600 events later
    told = headrace.json("publish", project.path, "in.csv", "--to", "labels", "--to", ripe, "--source", "chargeback")
    assert told["sent"] == 600
    labels = project.read("labels").sort_by("_timestamp")
    found = dict(zip(labels["event_id"].to_pylist(), labels["value"].to_pylist(), strict=True))
    truth = zip(table["transaction_id"].to_pylist()[:600], table["fraud"].to_pylist(), strict=False)
    assert found == {str(event): float(value) for event, value in truth}
    assert set(labels["source"].to_pylist()) == {"chargeback"}


def test_a_steady_pace_is_held(headrace: Terminal, project: Project, tmp_path: Path) -> None:
    """With --rate no record reaches the broker before it is due, however late those before it were."""
    transactions(tmp_path / "in.parquet", 600)
    headrace.json("publish", project.path, "in.parquet", "--map", "amount=tx_amount", "--rate", 300)
    stamps = np.sort(project.read("events")["_timestamp"].to_numpy())
    early = stamps[0] + np.arange(600) * 1000 / 300 - stamps
    assert early.max() < 500  # the first one may be late itself


def test_what_was_interrupted_goes_on_where_it_was(headrace: Terminal, project: Project, tmp_path: Path) -> None:
    """Ctrl-C makes what was begun durable and says how to write the rest: in all, each row is written once."""
    transactions(tmp_path / "in.csv", 600)
    arguments = ("publish", project.path, "in.csv", "--map", "amount=tx_amount", "--rate", 100)
    with headrace.start(*arguments) as process:
        end = time.monotonic() + 120
        while not project.count("events"):
            assert time.monotonic() < end
            time.sleep(0.1)  # Polls the broker: there is no event to wait for.
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=400)
    assert process.returncode == 130, errors
    (done,) = re.findall(r"the same command with --skip (\d+)", errors)
    assert f"{done} of 600 records written" in out
    told = headrace.json(*arguments[:-2], "--skip", done)
    assert told["sent"] == 600 - int(done)
    assert sorted(project.read("events")["transaction_id"].to_pylist()) == list(range(600))


def test_unreadable_records_are_counted(headrace: Terminal, project: Project) -> None:
    """An export leaves records out that no reader could read, says how many and fails."""
    producer = Producer(project.connection)
    producer.send(f"{project.name}.events", ["1"], [b"garbage"])
    producer.close()
    code, out, _ = headrace.run("export", project.path, "events", "out.parquet", "--json")
    assert code == 1
    assert '"records": 0, "unreadable": 1' in out


def test_predictions_of_an_empty_topic(headrace: Terminal, project: Project) -> None:
    """There may be no predictions yet."""
    code, out, _ = headrace.run("predictions", project.path, "--json")
    assert (code, out) == (0, "")
