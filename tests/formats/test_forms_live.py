"""The same events in every form, on a real broker and registry: each has the features that it has in all others."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    record_subject_name_strategy,
    topic_record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from headrace.domain.pipeline.wiring import read_contracts
from headrace.operations.topics.schema_ids import derived_schemas, register_with
from headrace.streaming.contracts.registry import RegistryIds
from headrace.streaming.contracts.schemas import load_writer
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.process.settings import Settings
from tests.formats import shop
from tests.formats.test_forms_agree import written
from tests.project import Project

COUNT = 600
START = 1_717_200_000_000_000
"""Microseconds."""
STRATEGIES = {"record": record_subject_name_strategy, "topic_record": topic_record_subject_name_strategy}
CLOCKS = ("ingest_time",)


def clicks() -> list[dict[str, Any]]:
    """Clicks of ten visitors over two days, some of them without a basket."""
    draw = np.random.default_rng(8)
    made = []
    for number in range(COUNT):
        price = {"price": float(draw.exponential(20)), "agent": "web" if number % 3 else None}
        made.append(
            {
                "id": f"c{number}",
                "at": START + number * 300_000_000,
                "visitor": int(draw.integers(-5, 5)),
                "basket": price if number % 7 else None,
                "mobile": (None, True, False)[number % 3],
            }
        )
    return made


def test_all_forms_have_the_same_features(kafka: str, registry: str, redis_server: str, tmp_path: Path) -> None:
    """Avro by a registry's id, JSON, Protobuf and Debezium's changes, each without keys in three partitions."""
    forms = [written(click) for click in clicks()]
    projects = {}
    for form in shop.FORMS:
        topic = f"shop.{uuid.uuid4().hex[:8]}.clicks"
        shop.contracts(tmp_path / form, form, **{"shop.clicks": topic})
        Admin(kafka).create(topic, 3, 1, {})
        values = [each[form] for each in forms]
        if form == "avro":
            number = RegistryIds(registry).register(f"{topic}-value", load_writer(shop.AVRO))
            values = [value[:1] + number.to_bytes(4, "big") + value[5:] for value in values]
        producer = Producer(Connection(kafka))
        producer.send(topic, [None] * COUNT, values)
        producer.flush()
        path = tmp_path / form / "pipelines" / "web.yaml"
        name = f"web_{uuid.uuid4().hex[:8]}"
        projects[form] = project = Project(path, name, tmp_path / f"{form}-project", kafka, redis_server, 2)
        if form == "avro":
            register_with(registry, derived_schemas(str(project.path)))
            project.settings["HEADRACE_REGISTRY"] = registry
            project.contracts = read_contracts(Settings(pipeline=str(project.path), bootstrap=kafka, registry=registry))
    try:
        for project in projects.values():
            for member in ("intake-0", "enrich-0"):
                project.start(member)
        found = {form: features(project) for form, project in projects.items()}
        assert {form: project.count("dead-letters") for form, project in projects.items()} == dict.fromkeys(projects, 0)
    finally:
        for project in projects.values():
            project.close()
    assert len(found["json"]) == COUNT
    for form, rows in found.items():
        apart = [(name, rows[name], row) for name, row in found["json"].items() if repr(rows[name]) != repr(row)]
        assert apart == [], form  # Texts, for NaN is not equal to itself.


@pytest.mark.parametrize("strategy", ["record", "topic_record"])
def test_kinds_of_records_share_a_topic(
    strategy: str, kafka: str, registry: str, redis_server: str, tmp_path: Path
) -> None:
    """As Confluent's own serializer writes them, by the record's name or with the topic's: others are counted."""
    topic = f"shop.{uuid.uuid4().hex[:8]}.clicks"
    space = f"shop{uuid.uuid4().hex[:8]}"  # By the record's name alone a subject is the whole registry's.
    options = {"subject.name.strategy": STRATEGIES[strategy]}
    context = SerializationContext(topic, MessageField.VALUE)
    note = {"type": "record", "name": "Note", "namespace": space, "fields": [{"name": "text", "type": "string"}]}
    click_schema = {**shop.AVRO, "namespace": space}
    made = [{**click, "hash": b"ab", "seen": ["a"]} for click in clicks()[:90]]
    with SchemaRegistryClient({"url": registry}) as client:
        a_click, a_note = (AvroSerializer(client, json.dumps(kind), conf=options) for kind in (click_schema, note))
        values = [a_click(click, context) if n % 3 else a_note({"text": "x"}, context) for n, click in enumerate(made)]
    more = f"subject: {strategy}, others: skip, schema: click, id: id, time: at"
    changes = {"shop.clicks": topic, "schema: click, id: id, time: at": more}
    shop.contracts(tmp_path / "s", "avro", {"avro": click_schema}, **changes)
    Admin(kafka).create(topic, 2, 1, {})
    producer = Producer(Connection(kafka))
    producer.send(topic, [None] * len(values), values)
    producer.flush()
    name = f"web_{uuid.uuid4().hex[:8]}"
    project = Project(tmp_path / "s/pipelines/web.yaml", name, tmp_path / "p", kafka, redis_server, 2)
    register_with(registry, derived_schemas(str(project.path)))
    project.settings["HEADRACE_REGISTRY"] = registry
    project.contracts = read_contracts(Settings(pipeline=str(project.path), bootstrap=kafka, registry=registry))
    try:
        project.start("intake-0")
        events = project.await_count("events", 60)
        assert set(events["id"].to_pylist()) == {click["id"] for n, click in enumerate(made) if n % 3}
        assert project.count("dead-letters") == 0
    finally:
        project.close()


def features(project: Project) -> dict[str, dict[str, Any]]:
    """Of each event, all that depends on it alone."""
    rows = project.await_count("features", COUNT).to_pylist()
    return {
        row["event_id"]: {name: value for name, value in row.items() if name[0] != "_" and name not in CLOCKS}
        for row in rows
    }
