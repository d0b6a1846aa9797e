"""What any stranger may write to a topic: records byte by byte, and the values that go wrong in every way."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import Message, TopicPartition
from headrace.streaming.kafka.poll_result import told_apart
from headrace.streaming.kafka.reader import ranges
from tests.project import Project

PIPELINE = """\
pipeline: freight
events: {schema: shipment, id: id, time: sent_at, key: sender, allowed_lateness: 1m}
rules:
  weight: {range: [0, 1000], else: reject}
  size: {required: true, else: reject}
  route: {one_of: [sea, rail], else: reject}
views:
  sender: {key: sender, windows: [1h], features: {sent: count, mean_weight: mean(weight)}}
  depot: {key: depot, windows: [1h], delay: 2m, features: {seen: count}, missing: 0, idle_after: 1s}
model: {name: freight, inputs: [weight, size, sender.*, depot.*]}
labels: {id: id, value: lost}
"""
SHIPMENT = {
    "type": "record",
    "name": "shipment",
    "doc": "Something was sent. Tags and notes are there to be lied about.",
    "fields": [
        {"name": "id", "type": "string", "doc": "Identity."},
        {"name": "sent_at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When."},
        {"name": "sender", "type": "string", "doc": "Who sent it."},
        {"name": "depot", "type": "string", "doc": "From where."},
        {"name": "weight", "type": "double", "doc": "Kilograms."},
        {"name": "size", "type": ["null", "int"], "default": None, "doc": "Class."},
        {"name": "route", "type": "string", "doc": "How."},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "doc": "Any words."},
        {"name": "notes", "type": {"type": "map", "values": "bytes"}, "doc": "Anything."},
    ],
}
START = 1_700_000_000_000
"""Event time of the first shipment, ms."""
SENDERS = 40


@dataclass(frozen=True, slots=True)
class Raw:
    """A record as a producer that knows no rules may write it; `reason`: why it is refused, empty if it is good."""

    key: bytes | None
    value: bytes | None
    reason: str = ""
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    partition: int = -1


def freight(directory: Path) -> Path:
    """The pipeline file of a project about shipments, made in a directory."""
    (directory / "pipelines").mkdir(parents=True)
    (directory / "schemas").mkdir()
    (directory / "schemas" / "shipment.avsc").write_text(json.dumps(SHIPMENT))
    path = directory / "pipelines" / "freight.yaml"
    path.write_text(PIPELINE)
    return path


def shipments(project: Project, count: int, first: int = 0, **changed: Any) -> list[Raw]:
    """Good records, ten a second of event time; `changed` overrides fields, which may make them bad."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"s{number}",
            "sent_at": START + number * 100,
            "sender": f"sender-{number % SENDERS}",
            "depot": f"depot-{number % 7}",
            "weight": float(number % 900),
            "size": number % 5,
            "route": "sea",
            "tags": [],
            "notes": [],
            **changed,
        }
        for number in range(first, first + count)
    ]
    codec = project.contracts.channel("events").codec
    values = codec.encode(pa.RecordBatch.from_pylist(rows, schema=codec.reader.arrow))
    return [Raw(str(row["sender"]).encode(), value) for row, value in zip(rows, values, strict=True)]


def hostile(project: Project, first: int, now_ms: int) -> list[Raw]:
    """One record of every kind that must be refused; their own times and senders disturb nobody's windows."""

    def one(reason: str, **changed: Any) -> Raw:
        return replace(shipments(project, 1, first, **changed)[0], reason=reason)

    good = one("")
    assert good.value is not None
    head, body = good.value[:5], good.value[5:]
    before_tags = body[:-2]  # An empty array and an empty map are a zero each.
    endless = b"\xff" * 11

    def avro(reason: str, value: bytes) -> Raw:
        return replace(good, value=head + value, reason=reason)

    def whole(reason: str, value: bytes | None) -> Raw:
        return replace(good, value=value, reason=reason)

    day = 86_400_000
    return [
        whole("null_value", None),
        whole("truncated", b""),
        whole("truncated", head),
        whole("truncated", head[:3]),
        whole("truncated", good.value[:-1]),
        whole("truncated", good.value[: len(good.value) // 2]),
        whole("trailing_bytes", good.value + b"\x00"),
        whole("trailing_bytes", good.value + good.value),
        whole("unknown_schema", b"\x00" + struct.pack(">I", 4_000_000_000) + body),
        whole("wrong_magic", b"\x01" + good.value[1:]),
        whole("wrong_magic", b'{"id": "json, not avro"}'),
        avro("malformed", endless),
        # Text of 2^61 bytes, of a negative length, of bytes that are no text.
        avro("truncated", varint(2**61) + body),
        avro("malformed", varint(-1) + body),
        avro("malformed", varint(2) + b"\xff\xfe" + body),
        # Arrays of 2^40 items and maps of 2^40 entries; a block that claims a size; a count of the least long.
        avro("truncated", before_tags + varint(2**40) + b"\x00\x00"),
        avro("truncated", before_tags + b"\x00" + varint(2**40) + b"\x00"),
        avro("truncated", before_tags + varint(-(2**40)) + varint(2**40) + b"\x00\x00"),
        avro("malformed", before_tags + varint(-(2**63)) + b"\x00\x00"),
        # Nested without end for a reader of recursive schemas; nothing in ours nests.
        avro("truncated", b"\x02" * 5_000),
        whole("oversize", head + b"\x00" * 1_000_000),
        whole("oversize", head + b"\x00" * 7_000_000),
        one("out_of_range", weight=-0.01),
        one("out_of_range", weight=1000.5),
        one("out_of_range", weight=float("nan")),
        one("out_of_range", weight=float("inf")),
        one("out_of_range", weight=float("-inf")),
        one("missing", size=None),
        # Names are repeated in what we write: a long one would be too large for our own topics.
        one("too_long", id="x" * 1_001),
        one("too_long", depot="\u00e9" * 400_000),
        one("too_long", sender="x" * 500_000),
        one("not_allowed", route="air"),
        one("in_the_future", sent_at=now_ms + 2 * day),
        one("out_of_range", sent_at=2**62),
        one("out_of_range", sent_at=-(2**62)),
        one("too_late", id="long ago", sent_at=START - day),
        replace(good, key=None, reason="null_key"),
        replace(good, key=b"", reason="wrong_key"),
        replace(good, key=b"somebody else", reason="wrong_key"),
        replace(good, key=b"\xff\xfe\x00", reason="wrong_key"),
        replace(good, key=b"k" * 100_000, reason="wrong_key"),
    ]


def varint(number: int) -> bytes:
    """A long as Avro writes it."""
    zigzag = (number << 1) ^ (number >> 63)
    written = bytearray()
    while zigzag > 0x7F:
        written.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*written, zigzag])


def publish(project: Project, logical: str, records: Iterable[Raw]) -> None:
    """Write records as they are, in their order."""
    producer = Producer(project.connection)
    for raw in records:
        topic = f"{project.name}.{logical}"
        producer.send_one(topic, raw.key, raw.value, partition=raw.partition, headers=raw.headers or None)
    producer.flush()


def written(project: Project, logical: str) -> dict[tuple[int, int], Message]:
    """All committed records of a topic as they lie there, by partition and offset."""
    return {(int(m.partition() or 0), int(m.offset() or 0)): m for m in _messages(project.connection, project, logical)}


def _messages(connection: Connection, project: Project, logical: str) -> list[Message]:
    topic = f"{project.name}.{logical}"
    open_ranges = {part.partition: part for part in ranges(connection, topic) if part.stop > part.start}
    consumer = Consumer(connection)
    found = []
    try:
        consumer.assign([TopicPartition(topic, part.partition, part.start) for part in open_ranges.values()])
        while open_ranges:
            records, ends = told_apart(consumer.poll(1_000, 0.1), topic)
            found += records
            for partition in ends:
                open_ranges.pop(partition, None)
    finally:
        consumer.close()
    return found
