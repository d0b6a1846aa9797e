"""The containers of compose.yaml as processes on real parts: events in, predictions out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from headrace.devparts import process
from headrace.devparts.maven import fetch, java
from tests.compose.system import SERVICES, System, services
from tests.conftest import started

ROWS = 500


@pytest.fixture(scope="module")
def compose_registry(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The registry with the variables of compose.yaml, healthy by the health check of compose.yaml."""
    directory = tmp_path_factory.mktemp("compose-registry")
    (port,) = process.free_ports(1)
    described = services()["registry"]
    own = {"kafka:9092": kafka, "8080": str(port)}

    def here(text: str) -> str:
        for there, place in own.items():
            text = text.replace(there, place)
        return text.replace("$$", "$")

    env = {name: here(value) for name, value in described["environment"].items()}
    check = [here(word) for word in described["healthcheck"]["test"][1:]]

    def start() -> None:
        jar = next(fetch("registry").glob("*.jar"))
        argv = [java(), "-Xmx160m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(jar)]
        running = process.start("registry", argv, directory, env=env, with_parent=True)
        running.wait_until(lambda: subprocess.run(check, capture_output=True).returncode == 0, 90)

    started(start)
    yield f"http://127.0.0.1:{port}/apis/ccompat/v7"
    found = process.find("registry", directory)
    assert found is not None
    found.stop()


@pytest.fixture
def system(kafka: str, redis_server: str, compose_registry: str, tmp_path: Path) -> Iterator[System]:
    """The jobs and services, on this machine's parts."""
    addresses = {
        "kafka:9092": kafka,
        "redis://redis:6379/0": redis_server,
        "http://registry:8080/apis/ccompat/v7": compose_registry,
    }
    system = System(tmp_path / "system", addresses)
    yield system
    system.kill()


def transactions(path: Path, rows: int) -> None:
    """Made-up card transactions in a file."""
    made = path.with_name("all.parquet")
    command = ["generate", "card_fraud", str(made), "--days", "3", "--customers", "300", "--terminals", "600"]
    subprocess.run([sys.executable, "-m", "headrace.cli", *command], check=True, capture_output=True)
    table = pq.read_table(made)
    assert table.num_rows >= rows
    pq.write_table(table.slice(0, rows), path)


def predictions(kafka: str, registry: str, topic: str, count: int, seconds: float) -> list[dict[str, Any]]:
    """What a stranger reads: Confluent's deserialiser, the registry and a consumer of committed records."""
    client = SchemaRegistryClient({"url": registry})
    decode = AvroDeserializer(client)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"stranger-{topic}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    found = []
    end = time.monotonic() + seconds
    try:
        while len(found) < count and time.monotonic() < end:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                found.append(decode(message.value(), SerializationContext(topic, MessageField.VALUE)))
    finally:
        consumer.close()
        client.close()
    return found


@pytest.mark.slow  # three processes, a registry that keeps its schemas in Kafka, and a cold start of each
def test_events_become_predictions(system: System, kafka: str, compose_registry: str, tmp_path: Path) -> None:
    """The commands and variables of compose.yaml turn 500 events into 500 predictions, and drain on SIGTERM."""
    system.run("schemas")
    assert "applied" in system.run("topics")
    assert "no changes" in system.run("topics")
    for service in SERVICES:
        system.start(service)
    for service in SERVICES:
        system.wait(lambda service=service: system.healthy(service), f"{service} healthy")
    digest = system.play()

    transactions(tmp_path / "events.parquet", ROWS)
    told = json.loads(system.run("cli", "publish", "card_fraud", str(tmp_path / "events.parquet"), "--json"))
    assert told["sent"] == ROWS
    found = predictions(kafka, compose_registry, f"{system.name}.predictions", ROWS, 90)
    assert len(found) == ROWS, system.logs()
    assert len({row["prediction_id"] for row in found}) == ROWS
    events = pq.read_table(tmp_path / "events.parquet")
    assert {row["event_id"] for row in found} == set(events["transaction_id"].cast(pa.string()).to_pylist())
    assert {row["model"]["digest"] for row in found} == {digest}
    assert all(0 < row["score"] <= 1 for row in found)

    for service in SERVICES:
        system.wait(lambda service=service: ready(system, service), f"{service} ready")
        assert "headrace_records_total" in get(system, service, "/metrics")
    assert system.stop() == dict.fromkeys(SERVICES, 0)


def get(system: System, service: str, path: str) -> str:
    """A page of a service."""
    with urllib.request.urlopen(f"http://127.0.0.1:{system.ports[service]}{path}", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def ready(system: System, service: str) -> bool:
    """Whether a service says that it is ready."""
    try:
        return get(system, service, "/readyz") == "ready\n"
    except OSError:
        return False
