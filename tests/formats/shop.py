"""One event in five forms: a producer's Avro, JSON, Protobuf, and a row that Debezium tells of, bare or by Connect."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2, wrappers_pb2

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.pipeline.workspace import Workspace
from headrace.streaming.contracts.schemas import Schema, load_writer
from headrace.streaming.records.codec import Codec

ID = 7
AVRO: dict[str, Any] = {
    "type": "record",
    "name": "Click",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "visitor", "type": "long"},
        {"name": "seen", "type": {"type": "array", "items": "string"}, "default": []},
        {
            "name": "basket",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "Basket",
                    "fields": [
                        {"name": "price", "type": "double"},
                        {"name": "agent", "type": ["null", "string"], "default": None},
                    ],
                },
            ],
        },
        {"name": "mobile", "type": ["null", "boolean"], "default": None},
        {"name": "hash", "type": {"type": "fixed", "name": "hash", "size": 2}},
    ],
}
_BASKET = {
    "type": ["object", "null"],
    "required": ["price"],
    "properties": {"price": {"type": "number"}, "agent": {"type": ["string", "null"]}},
}
JSON: dict[str, Any] = {
    "type": "object",
    "required": ["id", "at", "visitor", "basket"],
    "properties": {
        "id": {"type": "string"},
        "at": {"type": "integer"},
        "visitor": {"type": "integer"},
        "basket": _BASKET,
        "mobile": {"type": ["boolean", "null"]},
    },
}
DEBEZIUM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "op": {"type": "string"},
        "before": {},
        "after": {
            "anyOf": [
                {"type": "null"},
                {**JSON, "properties": {**JSON["properties"], "at": {"type": "string", "format": "date-time"}}},
            ]
        },
    },
}
CONNECT: dict[str, Any] = {"type": "object", "properties": {"schema": {"type": "object"}, "payload": DEBEZIUM}}
FIELDS = (
    "{id: PREid, at: PREat, visitor: PREvisitor, price: PREbasket.price, agent: PREbasket.agent, mobile: PREmobile}"
)
PIPELINE = """
pipeline: PIPELINE
events: {topic: shop.clicks, schema: click, id: id, time: at, key: visitor, fields: FIELDS, MORE}
views:
  visitor: {key: visitor, windows: [1h], features: {clicks: count, spent: sum(price)}}
model: {name: web, inputs: [price, visitor.*]}
"""
FORMS = {
    "avro": "format: avro",
    "json": "format: json, times: {at: micros}",
    "protobuf": "format: protobuf, message: shop.Click",
    "debezium": "format: json, envelope: debezium, times: {at: {unit: iso, zone: Europe/Paris, ambiguous: latest}}",
    "connect": "format: json, envelope: debezium_connect, times: {at: {unit: iso, zone: Europe/Paris}}",
}
PREFIXES = {"debezium": "after.", "connect": "payload.after."}


def descriptors(texts: bool = True) -> descriptor_pb2.FileDescriptorSet:
    """What protoc makes of the messages; without `texts`, of ones that have bytes in place of them."""
    kinds = descriptor_pb2.FieldDescriptorProto
    text = kinds.TYPE_STRING if texts else kinds.TYPE_BYTES
    wrapper = f".google.protobuf.{'String' if texts else 'Bytes'}Value"
    found = descriptor_pb2.FileDescriptorSet()
    for known in (timestamp_pb2, wrappers_pb2):
        found.file.add().ParseFromString(known.DESCRIPTOR.serialized_pb)
    names = [file.name for file in found.file]
    file = found.file.add(name="shop.proto", package="shop", syntax="proto3", dependency=names)
    file.message_type.add(name="Other")
    click = file.message_type.add(name="Click")
    click.field.add(name="id", number=1, type=text, label=1)
    click.field.add(name="at", number=2, type=kinds.TYPE_MESSAGE, label=1, type_name=".google.protobuf.Timestamp")
    click.field.add(name="visitor", number=3, type=kinds.TYPE_SINT64, label=1)
    click.field.add(name="seen", number=4, type=text, label=3)
    click.field.add(name="basket", number=5, type=kinds.TYPE_MESSAGE, label=1, type_name=".shop.Click.Basket")
    click.field.add(name="mobile", number=6, type=kinds.TYPE_BOOL, label=1, oneof_index=0, proto3_optional=True)
    click.oneof_decl.add(name="_mobile")
    basket = click.nested_type.add(name="Basket")
    basket.field.add(name="price", number=1, type=kinds.TYPE_DOUBLE, label=1)
    basket.field.add(name="agent", number=2, type=kinds.TYPE_MESSAGE, label=1, type_name=wrapper)
    return found


def message_class(texts: bool = True) -> Any:
    """The message, of the official library."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors(texts).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Click"))


def contracts(directory: Path, form: str, schemas: Mapping[str, Any] = {}, **changes: str) -> Contracts:
    """A pipeline whose events are clicks in a form; `changes`: words of its file, and others for them."""
    for folder in ("pipelines", "schemas"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    described = {"json": JSON, "debezium": DEBEZIUM, "connect": CONNECT}
    made = {"avro": (AVRO, "avsc"), **{name: (schema, "schema.json") for name, schema in described.items()}}
    if form == "protobuf":
        (directory / "schemas" / "click.desc").write_bytes(descriptors().SerializeToString())
    else:
        schema, ending = made[form]
        (directory / "schemas" / f"click.{ending}").write_text(json.dumps(schemas.get(form, schema)))
    text = PIPELINE.replace("MORE", FORMS[form]).replace("FIELDS", FIELDS).replace("PIPELINE", "web")
    text = text.replace("PRE", PREFIXES.get(form, ""))
    for old, new in changes.items():
        assert old in text, f"the pipeline says nothing of {old}"
        text = text.replace(old, new)
    path = directory / "pipelines" / "web.yaml"
    path.write_text(text)
    workspace = Workspace.of(path)
    return Contracts(load(path, workspace), workspace, KnownIds({ID: load_writer(AVRO)}), {})


@dataclass(frozen=True)
class KnownIds:
    """Ids of a registry, whatever the subject."""

    known: Mapping[int, Schema | str]
    asked: list[str] = field(default_factory=list)

    def id_of(self, subject: str, schema: Schema) -> int:
        """None is written."""
        raise AssertionError(subject)

    def writers(self, subject: str) -> Mapping[int, Schema | str]:
        """All of them."""
        self.asked.append(subject)
        return self.known


def codec(directory: Path, form: str, **changes: str) -> Codec:
    """How clicks in a form are read."""
    return contracts(directory, form, **changes).channel("events-feed").codec


def avro(click: Mapping[str, Any], schema: dict[str, Any] = AVRO, number: int = ID) -> bytes:
    """A record in the Confluent wire format."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), dict(click))
    return b"\0" + number.to_bytes(4, "big") + out.getvalue()
