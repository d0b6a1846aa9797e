"""Nanoseconds per record to read and write Avro: ours beside pyruhvro and fastavro, in one run.

Run as `python loadtests/bench_codec.py [--records N] [--json PATH]`. All start from and end at what the pipeline has:
a list of messages with their five-byte header, and a record batch. Each contender's best of several rounds counts;
rounds alternate, so that a busy machine spoils all alike. fastavro does a tenth of the records.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyruhvro

from headrace.streaming.contracts.examples import plain
from headrace.streaming.contracts.schemas import Schema, load_schema
from headrace.streaming.records.avro_codec import AvroCodec

SCHEMAS = Path(__file__).parents[1] / "schemas"
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
HEADER = b"\0\0\0\0\1"
ROUNDS = 7


class One:
    """One schema under the id 1."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def id_of(self, subject: str, schema: Schema) -> int:
        """Always 1."""
        return 1

    def writers(self, subject: str) -> Mapping[int, Schema]:
        """The schema."""
        return {1: self.schema}


def fields(**kinds: Any) -> list[dict[str, Any]]:
    """Field definitions."""
    return [{"name": name, "type": kind} for name, kind in kinds.items()]


def events(n: int) -> tuple[Schema, pa.RecordBatch]:
    """Card transactions, five fields."""
    schema = load_schema(SCHEMAS / "card_transaction.avsc")
    rng = np.random.default_rng(1)
    columns = [
        pa.array(np.arange(n)),
        pa.array(1_522_540_800_000 + np.arange(n) * 900).view(pa.timestamp("ms", tz="UTC")),
        pa.array(rng.integers(0, 5_000, n)),
        pa.array(rng.integers(0, 10_000, n)),
        pa.array(rng.gamma(2.0, 25.0, n).round(2)),
    ]
    return schema, pa.RecordBatch.from_arrays(columns, schema=schema.arrow)


def predictions(n: int) -> tuple[Schema, pa.RecordBatch]:
    """Predictions with identity, model, times and the features of three views: 31 fields, in nested records."""
    windows = [f"{what}_{days}d" for what in ("nb_tx", "avg_amount") for days in (1, 7, 30)]

    def view(title: str, /, **kinds: Any) -> dict[str, Any]:
        return {"type": "record", "name": title, "fields": fields(**kinds)}

    numbers = {name: "long" if name.startswith("nb") else "double" for name in windows}
    parts = {
        "model": view("model_identity", name="string", version="string", digest="string"),
        "event": view("event_fields", amount="double"),
        "calendar": view("calendar_features", weekend="int", night="int"),
        "customer": view("customer_features", **numbers),
        "terminal": view("terminal_features", **numbers),
    }
    definition = fields(
        prediction_id="string", event_id="string", entity="string", event_time=MILLIS, ingest_time=MILLIS,
        predicted_time=MILLIS, arm="string", plan_version="long", score="double", decision="boolean",
        terminal_age=["null", "long"], missing_age=["null", "long"], **parts,
    )  # fmt: skip
    schema = load_schema({"type": "record", "name": "prediction", "namespace": "headrace", "fields": definition})
    rng = np.random.default_rng(2)

    def column(name: str, kind: pa.DataType) -> pa.Array:
        if pa.types.is_struct(kind):
            children = [column(part.name, part.type) for part in kind]
            return pa.StructArray.from_arrays(children, fields=list(kind))
        if pa.types.is_string(kind):
            if name == "digest":
                return pa.array(["9f" * 32] * n)
            if name == "prediction_id":
                return pa.array([f"{i:032x}" for i in range(n)])
            return pa.array([f"{i}" for i in rng.integers(0, 10**6, n)] if name.endswith("d") else ["card_fraud"] * n)
        if pa.types.is_boolean(kind):
            return pa.array(rng.random(n) < 0.01)
        if pa.types.is_timestamp(kind):
            return pa.array(1_522_540_800_000 + np.arange(n) * 900).view(kind)
        if name.endswith("age"):
            return pa.array(rng.integers(0, 5_000, n), mask=rng.random(n) < 0.2)
        if pa.types.is_floating(kind):
            return pa.array(rng.gamma(2.0, 25.0, n))
        return pa.array(rng.integers(0, 100, n).astype(kind.to_pandas_dtype()))

    columns = [column(field.name, field.type) for field in schema.arrow]
    return schema, pa.RecordBatch.from_arrays(columns, schema=schema.arrow)


def best(contenders: Mapping[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """Nanoseconds per record of each contender's best round."""
    found = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, (work, records) in contenders.items():
            start = time.perf_counter()
            work()
            found[name] = min(found[name], (time.perf_counter() - start) / records * 1e9)
    return found


def measure(schema: Schema, columns: pa.RecordBatch) -> dict[str, dict[str, float]]:
    """Both directions, all contenders, after checking that they agree."""
    n, few = columns.num_rows, columns.num_rows // 10
    codec = AvroCodec("bench-value", schema, One(schema))
    messages = codec.encode(columns)
    assert codec.decode(messages).columns.equals(columns)
    text = json.dumps(schema.definition)
    parsed = fastavro.parse_schema(plain(schema.definition))
    rows = _without_times(columns.slice(0, few)).to_pylist()

    def pyruhvro_reads() -> pa.RecordBatch:
        return pyruhvro.deserialize_array([message[5:] for message in messages], text)

    def pyruhvro_writes() -> list[bytes]:
        [array] = pyruhvro.serialize_record_batch(columns, text, 1)
        return [HEADER + body for body in array.to_pylist()]

    def fastavro_reads() -> list[Any]:
        return [fastavro.schemaless_reader(io.BytesIO(message[5:]), parsed) for message in messages[:few]]

    def fastavro_writes() -> list[bytes]:
        found = []
        for row in rows:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, parsed, row)
            found.append(HEADER + out.getvalue())
        return found

    assert pyruhvro_writes() == messages
    assert fastavro_writes() == messages[:few]
    assert fastavro_reads() == rows
    return {
        "read": best(
            {
                "headrace": (lambda: codec.decode(messages), n),
                "pyruhvro": (pyruhvro_reads, n),
                "fastavro": (fastavro_reads, few),
            }
        ),
        "write": best(
            {
                "headrace": (lambda: codec.encode(columns), n),
                "pyruhvro": (pyruhvro_writes, n),
                "fastavro": (fastavro_writes, few),
            }
        ),
    }


def small(schema: Schema, columns: pa.RecordBatch) -> dict[str, dict[str, float]]:
    """Microseconds for a whole small batch, as they come when it is quiet."""
    codec = AvroCodec("bench-value", schema, One(schema))
    found: dict[str, dict[str, float]] = {}
    for size in (1, 10, 100):
        part = columns.slice(0, size)
        messages = codec.encode(part)
        work: dict[str, tuple[Callable[[], object], int]] = {
            "read": (lambda messages=messages: [codec.decode(messages) for _ in range(50)], 50_000),
            "write": (lambda part=part: [codec.encode(part) for _ in range(50)], 50_000),
        }
        found[str(size)] = best(work)
    return found


def _without_times(columns: pa.RecordBatch) -> pa.RecordBatch:
    kinds = [pa.int64() if pa.types.is_timestamp(field.type) else field.type for field in columns.schema]
    arrays = [column.cast(kind) for column, kind in zip(columns.columns, kinds, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=columns.schema.names)


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    for name, made in (("events", events), ("predictions", predictions)):
        schema, columns = made(options.records)
        figures[name] = {"ns_per_record": measure(schema, columns), "us_per_batch": small(schema, columns)}
        for verb, by in figures[name]["ns_per_record"].items():
            ratios = ", ".join(f"{who} {ns:,.0f} ({ns / by['headrace']:.1f}x)" for who, ns in by.items())
            print(f"{name:12} {verb:6} ns per record: {ratios}")
        for size, by in figures[name]["us_per_batch"].items():
            print(f"{name:12} batch of {size:>3}, us: read {by['read']:.0f}, write {by['write']:.0f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
