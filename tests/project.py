"""A pipeline of one's own on real parts, for tests and load tests; its services are processes that can die."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.training.bootstrap import train_offline
from headrace.operations.plan_changes.plan_topic import publish_plan
from headrace.operations.services import SERVICES
from headrace.operations.topics.schema_ids import derived_schemas, pin
from headrace.operations.topics.topic_plan import topics_of
from headrace.streaming.contracts.topic_changes import apply as apply_changes
from headrace.streaming.contracts.topic_changes import plan
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, ranges, read_table
from headrace.streaming.process.settings import Settings
from tests.members import Members

WEEK = 7 * 86_400_000


class Project(Members):
    """A copy of a pipeline under a name of its own, with topics, pinned ids and a model store.

    Args:
        source: the pipeline file; the folders `schemas` and `topics` beside its folder come along.
        name: what the pipeline is called here.
        directory: takes the project.
        bootstrap, redis: the real parts.
        partitions: of every topic that has no fixed number.
    """

    restarted = (*Members.restarted, -signal.SIGKILL)  # where memory is short, the kernel kills

    def __init__(
        self, source: Path, name: str, directory: Path, bootstrap: str, redis: str, partitions: int = 4
    ) -> None:
        super().__init__(bootstrap, directory)
        self.name = name
        self.redis = redis
        self._read: dict[str, tuple[pa.Table, dict[int, Range]]] = {}
        (directory / "pipelines").mkdir(parents=True)
        self.path = directory / "pipelines" / f"{name}.yaml"
        lines = source.read_text().splitlines()
        self.path.write_text(
            "\n".join(f"pipeline: {name}" if line.startswith("pipeline:") else line for line in lines) + "\n"
        )
        own = source.parent.parent / "schemas"
        (directory / "schemas").mkdir()
        for schema in (path for ending in ("avsc", "schema.json", "desc") for path in own.glob(f"*.{ending}")):
            shutil.copy(schema, directory / "schemas")
        if (topics_folder := source.parent.parent / "topics").is_dir():
            shutil.copytree(topics_folder, directory / "topics")
        pin(directory / "schemas" / "ids.json", derived_schemas(str(self.path)))
        admin = Admin(bootstrap)
        _, topics = topics_of(str(self.path), partitions, 1)
        apply_changes(admin, plan({}, topics))
        self.contracts: Contracts = read_contracts(Settings(pipeline=str(self.path), bootstrap=bootstrap))

    @property
    def connection(self) -> Connection:
        return Connection(self.bootstrap)

    def command(self, member: str) -> list[str]:
        """Of the service that the member's name begins with (`enrich-0`)."""
        kind = SERVICES[member.partition("-")[0]]
        return [kind.module]

    def own(self) -> dict[str, str]:
        return {
            "HEADRACE_PIPELINE": str(self.path),
            "HEADRACE_REDIS": self.redis,
            "HEADRACE_MODELS": str(self.directory / "models"),
            "HEADRACE_MODEL_CACHE": str(self.directory / "cache"),
        }

    def publish(self, rows: pa.RecordBatch, key: str, logical: str = "events") -> None:
        """Write events, or records of another topic, in their order, keyed by a column."""
        channel = self.contracts.channel(logical)
        producer = Producer(self.connection)
        for start in range(0, rows.num_rows, 10_000):
            part = rows.slice(start, 10_000)
            producer.send(channel.name, part[key].cast(pa.string()).to_pylist(), channel.codec.encode(part))
            producer.poll()
        producer.flush()

    def read(self, logical: str) -> pa.Table:
        """All committed records of a topic; those that were read before are not read again."""
        channel = self.contracts.channel(logical)
        there = ranges(self.connection, channel.name)
        table, known = self._read.get(channel.name, (None, {}))
        if table is None or any(_of_another(part, known.get(part.partition)) for part in there):
            table, known = read_table(self.connection, channel, there), {}
        elif new := [replace(part, start=known[part.partition].stop) if part.partition in known else part
                     for part in there if part != known.get(part.partition)]:  # fmt: skip  # one list
            table = pa.concat_tables([table, read_table(self.connection, channel, new)])
        self._read[channel.name] = table, {part.partition: part for part in there}
        return table

    def count(self, logical: str) -> int:
        """How many committed records a topic holds."""
        return int(self.read(logical).num_rows)

    def champion(self, trees: int = 20) -> None:
        """Train a model on made-up features of this pipeline and make it the champion."""
        draw = np.random.default_rng(1)
        count = 4_000
        schema = self.contracts.channel("features").codec.reader.arrow
        features = pa.table([_made_up(field.type, count, draw) for field in schema], schema=schema)
        labels = pa.table(
            {
                "event_id": features["event_id"],
                "value": draw.integers(0, 2, count).astype(float),
                "label_time": features["event_time"],
            }
        )
        store = ModelStore(str(self.directory / "models"), self.directory / "trained")
        package, uri = train_offline(self.contracts.pipeline, features, labels, store, "1", trees=trees)
        publish_plan(self.connection, self.contracts.channel("plans"), self.name, package, uri, "test")

    def await_count(
        self, logical: str, count: int, seconds: float = 180, between: Callable[[], None] | None = None
    ) -> pa.Table:
        """Wait until a topic holds so many records; the table. Fails with the members' logs when they do not come."""
        end = time.monotonic() + seconds
        while True:
            table = self.read(logical)
            if table.num_rows >= count:
                return table
            assert time.monotonic() < end, f"{table.num_rows} of {count} {logical} after {seconds:g} s\n{self.logs()}"
            (between or self.assert_alive)()
            time.sleep(0.3)  # Polls the broker: there is no event to wait for.


def _of_another(part: Range, known: Range | None) -> bool:
    """Whether a topic was made anew, or records were deleted, since a partition of it was read."""
    return known is not None and (part.start != known.start or part.stop < known.stop)


def _made_up(kind: pa.DataType, count: int, draw: np.random.Generator) -> pa.Array:
    """Values of an Arrow type: rising ids and times, random numbers."""
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays([_made_up(part.type, count, draw) for part in kind], fields=list(kind))
    if pa.types.is_string(kind):
        return pa.array([str(number) for number in range(count)])
    if pa.types.is_timestamp(kind):
        return pa.array(np.arange(count) * 600_000).cast(kind)
    if pa.types.is_floating(kind):
        return pa.array(draw.lognormal(3, 1, count)).cast(kind)
    return pa.array(draw.integers(0, 50, count)).cast(kind)


def handbook_transactions(path: Path, rows: slice | None = None) -> pa.RecordBatch:
    """The Handbook's transactions as `card_transaction` events, in their order."""
    table = pq.read_table(path)
    if rows is not None:
        start, stop, _ = rows.indices(table.num_rows)
        table = table.slice(start, stop - start)
    table = table.combine_chunks()
    columns = {
        "transaction_id": table["transaction_id"].cast(pa.int64()),
        "tx_datetime": table["tx_datetime"].cast(pa.timestamp("ms", tz="UTC")),
        "customer_id": table["customer_id"].cast(pa.int64()),
        "terminal_id": table["terminal_id"].cast(pa.int64()),
        "amount": table["tx_amount"],
    }
    return pa.RecordBatch.from_pydict({name: column.combine_chunks() for name, column in columns.items()})


def handbook_labels(path: Path, rows: slice | None = None) -> pa.RecordBatch:
    """What each of the Handbook's transactions turned out to be, known a week after it, in their order."""
    table = pq.read_table(path)
    if rows is not None:
        start, stop, _ = rows.indices(table.num_rows)
        table = table.slice(start, stop - start)
    millis = pa.timestamp("ms", tz="UTC")
    known = table["tx_datetime"].cast(pa.int64()).to_numpy() + WEEK
    columns = {
        "event_id": table["transaction_id"].cast(pa.string()).combine_chunks(),
        "value": table["tx_fraud"].cast(pa.float64()).combine_chunks(),
        "label_time": pa.array(known).cast(millis),
        "source": pa.array(["handbook"] * table.num_rows),
    }
    return pa.RecordBatch.from_pydict(columns)


def ties(customers: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """True for transactions that share customer and second with another: their order is not told by the data."""
    pair = customers.astype(np.int64) << 32 | times_ms // 1000
    _, which, often = np.unique(pair, return_inverse=True, return_counts=True)
    return np.asarray(often[which] > 1)


def differences(found: pa.Table, wanted: pa.Table, skip: Iterable[int] = ()) -> dict[str, int]:
    """How many rows differ from the Handbook's features, by feature; both sorted by transaction id, same rows.

    Flags and counts must be equal, means and risks within a millionth. `skip`: rows left out.
    """
    pairs = [("calendar.weekend", "tx_during_weekend", 0.0), ("calendar.night", "tx_during_night", 0.0)]
    for days in (1, 7, 30):
        pairs += [
            (f"customer.nb_tx_{days}d", f"customer_id_nb_tx_{days}day_window", 0.0),
            (f"customer.avg_amount_{days}d", f"customer_id_avg_amount_{days}day_window", 1e-6),
            (f"terminal.nb_tx_{days}d", f"terminal_id_nb_tx_{days}day_window", 0.0),
            (f"terminal.risk_{days}d", f"terminal_id_risk_{days}day_window", 1e-6),
        ]
    keep = np.ones(found.num_rows, bool)
    keep[list(skip)] = False
    result = {}
    for ours, theirs, tolerance in pairs:
        view, _, name = ours.partition(".")
        own = found[view].combine_chunks().field(name).to_numpy(zero_copy_only=False)[keep]
        other = wanted[theirs].to_numpy()[keep]
        wrong = ~np.isclose(own, other, rtol=tolerance, atol=0)
        if wrong.any():
            result[ours] = int(wrong.sum())
    return result
