"""Programs that know nothing of headrace write its events and read its predictions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.wiring import read_contracts
from headrace.operations.topics.schema_ids import derived_schemas, register_with
from headrace.streaming.kafka.client import Producer
from headrace.streaming.process.settings import Settings
from tests.integration import strange
from tests.integration.strange import SHIPMENT, START, publish, shipments, written
from tests.project import Project

JAVA = [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829), ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107)]  # fmt: skip
"""Keys and what Java's `Utils.murmur2` makes of them, from Kafka's own UtilsTest.testMurmur2."""
PARTITIONS = 4


@pytest.fixture(scope="module")
def running(
    kafka: str, redis_server: str, registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A project whose ids come from a real registry, with its services running."""
    directory = tmp_path_factory.mktemp("strangers")
    source = strange.freight(directory / "source")
    project = Project(source, f"test_{uuid.uuid4().hex[:12]}", directory / "project", kafka, redis_server, PARTITIONS)
    register_with(registry, derived_schemas(str(project.path)))
    (directory / "project" / "schemas" / "ids.json").unlink()  # What follows has the registry alone.
    project.settings = {"HEADRACE_REGISTRY": registry, "HEADRACE_CHECKPOINT_S": "1"}
    project.contracts = read_contracts(Settings(pipeline=str(project.path), bootstrap=kafka, registry=registry))
    project.champion()
    for member in ("enrich-0", "views-0", "score-0"):
        project.start(member)
    yield project
    project.close()


@pytest.fixture
def kcat(kafka: str) -> Any:
    """Runs kcat against the broker; its standard output."""
    if shutil.which("kcat") is None:
        assert not os.environ.get("CI"), "kcat is missing: apt-get install kcat"
        pytest.skip("kcat is not installed (Debian, Ubuntu: sudo apt-get install kcat)")

    def run(*arguments: str | bytes, given: bytes = b"") -> bytes:
        command: list[str | bytes] = ["kcat", "-b", kafka, *arguments]
        return subprocess.run(command, input=given, capture_output=True, timeout=60, check=True).stdout

    return run


@pytest.fixture
def client(registry: str) -> Iterator[SchemaRegistryClient]:
    """A stranger's connection to the real registry."""
    with SchemaRegistryClient({"url": registry}) as made:
        yield made


def answered(project: Project, names: Sequence[str]) -> list[dict[str, Any]]:
    """Predictions of these events, once they are there."""
    total = len(written(project, "events"))
    project.await_count("predictions", total)
    return [row for row in project.read("predictions").to_pylist() if row["event_id"] in set(names)]


def test_kcat_reads_predictions(running: Project, kcat: Any) -> None:
    """A consumer of committed records gets each prediction once, keyed by its entity, in the Confluent wire format."""
    publish(running, "events", shipments(running, 200))
    answered(running, ["s0"])
    topic = f"{running.name}.predictions"
    told = kcat("-C", "-t", topic, "-e", "-q", "-X", "isolation.level=read_committed", "-f", "%k %S %p\\n")
    lines = [line.split() for line in told.decode().splitlines()]
    keys = [key for key, _, _ in lines]
    assert len(lines) == len(running.read("predictions"))
    assert set(keys) == {f"sender-{number}" for number in range(strange.SENDERS)}
    homes = {(key, partition) for key, _, partition in lines}
    assert len(homes) == strange.SENDERS, "an entity's predictions lie in one partition"
    first = kcat("-C", "-t", topic, "-c", "1", "-e", "-q", "-f", "%s")
    assert first[:1] == b"\x00"


def test_a_confluent_deserializer_reads_what_services_wrote(running: Project, client: SchemaRegistryClient) -> None:
    """With the registry and nothing else a stranger decodes predictions, features and dead letters."""
    publish(running, "events", [*shipments(running, 50, 1_000), replace(shipments(running, 1)[0], value=b"no avro")])
    running.await_count("dead-letters", 1)
    running.await_count("predictions", 50)
    running.await_count("checkpoints", 1)
    decode = AvroDeserializer(client)
    for logical in ("predictions", "features", "dead-letters", "view.depot", "plans", "checkpoints"):
        wanted = running.read(logical).to_pylist()
        topic = f"{running.name}.{logical}"
        context = SerializationContext(topic, MessageField.VALUE)
        found = [decode(message.value(), context) for message in written(running, logical).values()]
        assert len(found) >= len(wanted) > 0, logical  # Marks of idle partitions may come in between.
    predicted = [
        decode(m.value(), SerializationContext("", MessageField.VALUE))
        for m in written(running, "predictions").values()
    ]
    ours = {row["event_id"]: row for row in running.read("predictions").to_pylist()}
    for theirs in predicted:
        row = ours[theirs["event_id"]]
        assert theirs["score"] == row["score"]
        assert theirs["sender"] == row["sender"]
        assert theirs["event_time"] == row["event_time"]


def test_a_confluent_serializers_events_are_taken(running: Project, client: SchemaRegistryClient) -> None:
    """Events of a producer that takes the registered schema and writes with its own library are predicted."""
    before = running.count("predictions")
    serializer = AvroSerializer(
        client,
        json.dumps(SHIPMENT),
        conf={"auto.register.schemas": False, "use.latest.version": True},
    )
    topic = f"{running.name}.events"
    context = SerializationContext(topic, MessageField.VALUE)
    producer = Producer(running.connection)
    for number in range(20):
        event = {
            "id": f"stranger-{number}", "sent_at": START + 10**6, "sender": "sender-0", "depot": "depot-0",
            "weight": 1.5, "size": 3, "route": "sea", "tags": ["fragile"], "notes": {"a": b"b"},
        }  # fmt: skip
        producer.send_one(topic, "sender-0", serializer(event, context))
    producer.flush()
    running.await_count("predictions", before + 20)
    found = [row for row in running.read("predictions").to_pylist() if row["event_id"].startswith("stranger-")]
    assert len(found) == 20
    assert {row["event"]["weight"] for row in found} == {1.5}


def test_a_header_whose_name_is_no_text(running: Project, kcat: Any) -> None:
    """Kafka allows any bytes as a header's name: such a record is refused without its headers, and stops nobody."""
    refused, answered = running.count("dead-letters"), running.count("predictions")
    kcat("-P", "-t", f"{running.name}.events", "-k", "sender-1", "-H", b"\xff\xfe=1", given=b"no avro, bad header\n")
    publish(running, "events", shipments(running, 5, 12_000))
    running.await_count("dead-letters", refused + 1)
    running.await_count("predictions", answered + 5)
    (letter,) = [row for row in running.read("dead-letters").to_pylist() if row["value"] == b"no avro, bad header"]
    assert letter["headers"] == []
    assert "names that are no text" in letter["detail"]


def test_all_producers_agree_on_partitions(running: Project, kcat: Any, kafka: str) -> None:
    """Ours, Java's and kcat's murmur2 put a key into the same partition, so an entity's events stay together."""
    keys = [key for key, _ in JAVA] + [f"sender-{number}" for number in range(50)] + ["\u00fc\u4e16\U0001f600", "1"]
    topic = f"{running.name}.labels"
    ours = Producer(running.connection)
    ours.send(topic, keys, [b"ours"] * len(keys))
    ours.flush()
    lines = "".join(f"{key}\tkcat\n" for key in keys).encode()
    kcat("-P", "-t", topic, "-K", "\t", "-X", "partitioner=murmur2_random", given=lines)
    homes: dict[tuple[bytes | None, bytes | None], int] = {}
    for (partition, _), message in written(running, "labels").items():
        homes[message.key(), message.value()] = partition
    computed = partitions_of(strings(keys), PARTITIONS).tolist()
    for key, where in zip(keys, computed, strict=True):
        assert homes[key.encode(), b"ours"] == homes[key.encode(), b"kcat"] == where
    for key, number in JAVA:
        assert homes[key.encode(), b"ours"] == (number & 0x7FFFFFFF) % PARTITIONS


def strings(keys: Sequence[str]) -> Any:
    """Keys as a column."""
    return pa.array(keys, pa.string())


def test_a_plain_consumer_sees_no_aborted_record(running: Project, kafka: str) -> None:
    """A confluent consumer with its own defaults, which read committed records, counts what headrace counts."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": running.name,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([f"{running.name}.predictions"])
    ended, seen = set(), 0
    while len(ended) < PARTITIONS:
        message = consumer.poll(1.0)
        if message is not None and message.error() is not None:
            ended.add(message.partition())
        elif message is not None:
            seen += 1
    consumer.close()
    assert seen == running.count("predictions")
