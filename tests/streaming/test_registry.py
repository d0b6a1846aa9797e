"""Ids from a real registry, and messages exchanged with Confluent's own serialisers."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka.schema_registry import Schema as Confluent
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from typer.testing import CliRunner

from headrace.cli.pipeline.schemas import app
from headrace.errors import ConfigurationError, ContractError, HeadraceError, Transient
from headrace.operations.topics.schema_ids import derived_schemas
from headrace.streaming.contracts.registry import RegistryIds
from headrace.streaming.contracts.schemas import Schema, load_schema
from headrace.streaming.records.avro_codec import AvroCodec


def record(*fields: dict[str, Any]) -> Schema:
    """A schema of these fields."""
    return load_schema({"type": "record", "name": "thing", "namespace": "headrace", "fields": list(fields)})


FIRST = record(
    {"name": "id", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "part", "type": {"type": "record", "name": "part", "fields": [{"name": "x", "type": ["null", "double"]}]}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
)
SECOND = record(*FIRST.definition["fields"], {"name": "note", "type": "string", "default": "-"})
BROKEN = record(*FIRST.definition["fields"], {"name": "note", "type": "string"})


def test_ids_come_from_the_registry(registry: str, unique: Callable[[str], str]) -> None:
    """A registered schema has an id to write and is read by it; later versions are found, unregistered ones refused."""
    subject = unique("orders") + "-value"
    ids = RegistryIds(registry)
    assert dict(ids.writers(subject)) == {}
    with pytest.raises(ContractError, match="headrace schemas register PIPELINE"):
        ids.id_of(subject, FIRST)
    number = ids.register(subject, FIRST)
    assert ids.register(subject, FIRST) == number
    assert ids.id_of(subject, FIRST) == number
    assert dict(ids.writers(subject)) == {number: FIRST}
    assert not ids.compatible(subject, BROKEN)
    with pytest.raises(ContractError, match="refuses POST"):
        ids.register(subject, BROKEN)
    assert ids.compatible(subject, SECOND)
    later = RegistryIds(registry).register(subject, SECOND)
    assert dict(ids.writers(subject)) == {number: FIRST, later: SECOND}


def test_confluent_s_serialisers_and_ours_understand_each_other(registry: str, unique: Callable[[str], str]) -> None:
    """AvroDeserializer reads what we write, and we read what AvroSerializer writes, ids from the same registry."""
    topic = unique("orders")
    subject = f"{topic}-value"
    ids = RegistryIds(registry)
    ids.register(subject, FIRST)
    codec = AvroCodec(subject, FIRST, ids)
    rows = [{"id": "é", "at": 1522540800123, "part": {"x": 0.5}, "tags": ["a"]}]
    rows.append({"id": "", "at": -1, "part": {"x": None}, "tags": []})
    columns = pa.RecordBatch.from_pylist(rows, FIRST.arrow)
    context = SerializationContext(topic, MessageField.VALUE)
    with SchemaRegistryClient({"url": registry}) as client:
        read = AvroDeserializer(client)
        assert [read(message, context) for message in codec.encode(columns)] == columns.to_pylist()
        latest = {"auto.register.schemas": False, "use.latest.version": True}
        write = AvroSerializer(client, FIRST.canonical, conf=latest)
        decoded = codec.decode([write(row, context) for row in columns.to_pylist()])
    assert not decoded.bad
    assert decoded.columns.equals(columns)


def test_a_pipeline_is_registered_by_a_command(registry: str) -> None:
    """`schemas register PIPELINE --registry URL` registers all its subjects; a second time changes nothing."""
    run = CliRunner().invoke
    first = run(app, ["register", "card_fraud", "--registry", registry, "--json"])
    assert first.exit_code == 0, first.output
    assert run(app, ["register", "card_fraud", "--registry", registry, "--json"]).stdout == first.stdout
    ids = RegistryIds(registry)
    for subject, schema in derived_schemas("card_fraud").items():
        assert ids.id_of(subject, schema) == json.loads(first.stdout)["ids"][subject]


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server with one answer for everything, and the Authorization headers that it saw."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, b"", Transient),
        (429, b"", Transient),
        (401, b"", ConfigurationError),
        (422, b'{"error_code": 42201, "message": "Invalid schema"}', ContractError),
        (200, b"<html>", ContractError),
    ],
)
def test_an_unhappy_registry_is_named_by_what_to_do(status: int, body: bytes, error: type[HeadraceError]) -> None:
    """Busy is worth a retry, a refusal is not; the password is sent, and is in no message."""
    with answering(status, body) as (address, seen):
        ids = RegistryIds(f"http://ada:s%20cret@{address}")
        with pytest.raises(error) as caught:
            ids.id_of("s", FIRST)
        assert seen == ["Basic YWRhOnMgY3JldA=="]
        assert "cret" not in str(caught.value)


def test_a_registry_that_is_not_there_may_come_later() -> None:
    """A connection refused is Transient; a URL that is none is a mistake."""
    with answering(200, b"") as (address, _):
        pass
    with pytest.raises(Transient, match="not reached"):
        RegistryIds(f"http://{address}", timeout=2.0).writers("s")
    with pytest.raises(ConfigurationError, match="http://host:8081"):
        RegistryIds("localhost:8081")


def test_a_version_that_is_not_safe_says_why(registry: str, unique: Callable[[str], str]) -> None:
    """A recursive schema that a stranger registered is not read: its records' letters say what is wrong with it."""
    subject = unique("trees") + "-value"
    loop = {"type": "record", "name": "n", "fields": [{"name": "next", "type": ["null", "n"]}]}
    with SchemaRegistryClient({"url": registry}) as client:
        number = client.register_schema(subject, Confluent(json.dumps(loop), "AVRO"))
    ids = RegistryIds(registry)
    assert "contains itself" in str(ids.writers(subject)[number])
    (bad,) = AvroCodec(subject, FIRST, ids).decode([b"\0" + number.to_bytes(4, "big") + b"\0"]).bad
    assert (bad.reason, bad.detail.split(":")[0]) == ("unknown_schema", f"schema id {number}")
    assert "contains itself" in bad.detail


def test_fields_of_a_registered_version_that_nobody_reads_are_stepped_over(
    registry: str, unique: Callable[[str], str]
) -> None:
    """A version with a decimal and a wide union that our schema has no field for: its records are read."""
    subject = unique("prices") + "-value"
    price = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    fields = [
        {"name": "price", "type": price},
        *FIRST.definition["fields"],
        {"name": "note", "type": ["null", "string", "long"]},
    ]
    theirs = {**FIRST.definition, "fields": fields}
    ours = {"id": "a", "at": datetime(2024, 5, 1, tzinfo=UTC), "part": {"x": 1.5}, "tags": ["b", "c"]}
    value = {"price": Decimal("12.50"), "note": 7, **ours}
    with SchemaRegistryClient({"url": registry}) as client:
        encode = AvroSerializer(client, json.dumps(theirs))
        message = encode(value, SerializationContext(subject.removesuffix("-value"), MessageField.VALUE))
    decoded = AvroCodec(subject, FIRST, RegistryIds(registry)).decode([message])
    assert decoded.bad == []
    assert decoded.columns.to_pylist() == [ours]
