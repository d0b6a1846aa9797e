"""A producer's topic becomes a pipeline that takes its records as they are."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.domain.pipeline.check import check, load
from headrace.streaming.contracts.registry import RegistryIds
from headrace.streaming.contracts.schemas import load_writer
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.records.avro_codec import AvroCodec
from tests.cli.terminal import Terminal

COUNT = 600
BEGIN = datetime(2024, 6, 1, tzinfo=UTC)
READING = {
    "type": "record",
    "name": "reading",
    "fields": [
        {"name": "number", "type": "string"},
        {"name": "taken_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "device_id", "type": "string"},
        {"name": "heat", "type": ["null", "double"]},
    ],
}


@pytest.fixture
def headrace(terminal: Terminal, kafka: str, redis_server: str) -> Terminal:
    """The command line beside a broker and a store."""
    return Terminal(terminal.directory, {**terminal.env, "HEADRACE_BOOTSTRAP": kafka, "HEADRACE_REDIS": redis_server})


def written(kafka: str, topic: str, values: list[bytes]) -> None:
    """Write records as a stranger does, without keys."""
    Admin(kafka).create(topic, 2, 1, {})
    producer = Producer(Connection(kafka))
    producer.send(topic, [None] * len(values), values)
    producer.flush()
    producer.close()


def clicks() -> list[dict[str, Any]]:
    """Clicks with fields in fields; a price is not in all of them."""
    draw = np.random.default_rng(4)
    made = []
    for number in range(COUNT):
        at = (BEGIN + timedelta(seconds=30 * number)).isoformat().replace("+00:00", "Z")
        click = {"id": f"c{number}", "at": at, "seconds": float(draw.exponential(9)), "tags": ["a"]}
        made.append(
            {"click": click, "user": {"id": int(draw.integers(0, 40))}, "plan": str(draw.choice(["free", "pro"]))}
        )
        if number % 5:
            made[-1]["price"] = number % 7
    return made


def test_a_topic_of_json(headrace: Terminal, kafka: str, pipeline_name: str, tmp_path: Path) -> None:
    """Fields are named by their paths, the schema is what records showed, and each record has its features."""
    topic = f"web.clicks.{pipeline_name}"
    written(kafka, topic, [*(json.dumps(click).encode() for click in clicks()), b"none"])
    told = headrace.json("init", pipeline_name, "--from", topic)
    assert told["rows"] == COUNT
    path = tmp_path / "pipelines" / f"{pipeline_name}.yaml"
    assert check(path) == []
    pipeline = load(path)
    events = pipeline.events
    assert (events.id, events.time, events.key) == ("click_id", "click_at", "user_id")
    assert set(events.fields) == {"click_id", "click_at", "click_seconds", "user_id", "plan", "price"}
    assert events.fields["price"].nullable
    for line in ("schemas register", "topics apply"):
        options = ["--partitions", 2, "--replication", 1] if line == "topics apply" else []
        code, out, errors = headrace.run(*line.split(), pipeline_name, *options)
        assert code == 0, out + errors
    services = ["intake", "enrich"]
    code, out, errors = headrace.run("run", *services, "--pipeline", pipeline_name, "--until-idle", "3s", timeout=300)
    assert code == 0, out + errors
    assert headrace.json("export", pipeline_name, "features", "features.parquet")["records"] == COUNT
    found = pq.read_table(tmp_path / "features.parquet")
    assert sorted(found["event_id"].to_pylist()) == sorted(click["click"]["id"] for click in clicks())


@pytest.mark.parametrize("connect", [False, True])
def test_changes_that_debezium_tells(
    headrace: Terminal, kafka: str, pipeline_name: str, tmp_path: Path, connect: bool
) -> None:
    """The row is found in the envelope, also in Connect's; deletions and their tombstones are no events."""
    topic = f"db.orders.{pipeline_name}"
    draw = np.random.default_rng(6)
    changes: list[Any] = []
    for number in range(COUNT):
        at = int((BEGIN + timedelta(seconds=30 * number)).timestamp() * 1000)
        row = {"order_id": number, "customer_id": int(draw.integers(0, 30)), "created_at": at, "total": number % 90}
        changes.append({"before": None, "after": row, "op": "cr"[number % 2], "ts_ms": at + 5})
        if number % 50 == 0:
            changes += [{"before": row, "after": None, "op": "d", "ts_ms": at + 9}, None]
    wrapped = [{"schema": {"type": "struct", "fields": []}, "payload": change} for change in changes]
    told = [sent if change is not None else None for change, sent in zip(changes, wrapped, strict=True)]
    values = [None if one is None else json.dumps(one).encode() for one in (told if connect else changes)]
    written(kafka, topic, values)  # type: ignore[arg-type]  # tombstones are no bytes
    assert headrace.json("init", pipeline_name, "--from", topic)["rows"] == COUNT
    path = tmp_path / "pipelines" / f"{pipeline_name}.yaml"
    assert check(path) == []
    text, events = path.read_text(), load(path).events
    assert (events.id, events.time, events.key) == ("order_id", "created_at", "customer_id")
    assert set(events.fields) == {"order_id", "customer_id", "created_at", "total"}
    assert f"envelope: debezium{'_connect' * connect}\n" in text
    assert "12 records say that a row was deleted" in text
    for line in ("schemas register", "topics apply"):
        options = ["--partitions", 2, "--replication", 1] if line == "topics apply" else []
        code, out, errors = headrace.run(*line.split(), pipeline_name, *options)
        assert code == 0, out + errors
    code, out, errors = headrace.run("run", "intake", "--pipeline", pipeline_name, "--until-idle", "3s", timeout=300)
    assert code == 0, out + errors
    for logical, count in (("events", COUNT), ("dead-letters", 0)):
        assert headrace.json("export", pipeline_name, logical, f"{logical}.parquet")["records"] == count


def test_a_topic_of_avro(headrace: Terminal, kafka: str, registry: str, pipeline_name: str, tmp_path: Path) -> None:
    """Its schema is the registry's, or one from a file; without either that is said with the remedy."""
    topic = f"plant.readings.{pipeline_name}"
    schema, ids = load_writer(READING), RegistryIds(registry)
    ids.register(f"{topic}-value", schema)
    draw = np.random.default_rng(5)
    columns = {
        "number": [f"n{number}" for number in range(COUNT)],
        "taken_at": pa.array([BEGIN + timedelta(seconds=20 * number) for number in range(COUNT)]),
        "device_id": [f"d{number}" for number in draw.integers(0, 20, COUNT)],
        "heat": draw.normal(20, 3, COUNT),
    }
    rows = pa.RecordBatch.from_pydict(columns).cast(schema.arrow)
    written(kafka, topic, AvroCodec(f"{topic}-value", schema, ids).encode(rows))
    code, _, errors = headrace.run("init", pipeline_name, "--from", topic)
    assert code == 2
    assert "--schema FILE.avsc" in errors
    (tmp_path / "reading.avsc").write_text(json.dumps(READING))
    for options in (("--schema", "reading.avsc"), ("--registry", registry, "--replace")):
        assert headrace.json("init", pipeline_name, "--from", topic, *options)["rows"] == COUNT
        path = tmp_path / "pipelines" / f"{pipeline_name}.yaml"
        assert check(path) == []
        events = load(path).events
        assert (events.id, events.time, events.key) == ("number", "taken_at", "device_id")


def test_changes_that_debezium_tells_in_avro(
    headrace: Terminal, kafka: str, registry: str, pipeline_name: str, tmp_path: Path
) -> None:
    """The row in the envelope, which is null where it was deleted; what is said of the source is no field of it."""
    topic = f"db.readings.{pipeline_name}"
    source = {"type": "record", "name": "source", "fields": [{"name": "table", "type": "string"}]}
    fields = [{"name": "before", "type": ["null", READING], "default": None}]
    fields += [{"name": "after", "type": ["null", "reading"], "default": None}]
    fields += [{"name": "source", "type": source}, {"name": "op", "type": "string"}, {"name": "ts_ms", "type": "long"}]
    schema = {"type": "record", "name": "Envelope", "fields": fields}
    number = RegistryIds(registry).register(f"{topic}-value", load_writer(schema))
    values = []
    for at in range(COUNT):
        row = {
            "number": f"n{at}",
            "taken_at": BEGIN + timedelta(seconds=20 * at),
            "device_id": f"d{at % 20}",
            "heat": 2.5,
        }
        gone = at % 100 == 99
        change = {"before": row if gone else None, "after": None if gone else row, "source": {"table": "readings"}}
        out = io.BytesIO()
        fastavro.schemaless_writer(
            out, fastavro.parse_schema(schema), {**change, "op": "d" if gone else "c", "ts_ms": at}
        )
        values.append(b"\0" + number.to_bytes(4, "big") + out.getvalue())
    written(kafka, topic, values)
    assert headrace.json("init", pipeline_name, "--from", topic, "--registry", registry)["rows"] == COUNT - COUNT // 100
    path = tmp_path / "pipelines" / f"{pipeline_name}.yaml"
    assert check(path) == []
    events = load(path).events
    assert (events.id, events.time, events.key) == ("number", "taken_at", "device_id")
    assert set(events.fields) == {"number", "taken_at", "device_id", "heat"}
    assert "envelope: debezium\n" in path.read_text()


def test_what_is_no_topic_is_said(headrace: Terminal, kafka: str, pipeline_name: str) -> None:
    """A name of nothing, an empty topic, and records of no form that is read: each is refused with the reason."""
    cases = {"empty": [], "text": [b"hello"] * 3, "undated": [json.dumps({"id": f"e{n}"}).encode() for n in range(9)]}
    reasons = {"empty": "has no records", "text": "neither Avro", "undated": "no column is a time"}
    for name, values in cases.items():
        written(kafka, f"{name}.{pipeline_name}", values)
        code, _, errors = headrace.run("init", "found", "--from", f"{name}.{pipeline_name}")
        assert code == 2
        assert reasons[name] in errors
    code, _, errors = headrace.run("init", "found", "--from", f"nothing-{pipeline_name}")
    assert code == 2
    assert "neither a file nor a topic" in errors
