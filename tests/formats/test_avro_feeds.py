"""Avro of a producer's own: types that headrace has not are read where a field is used, and stepped over where not."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest

from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import Schema, load_writer
from headrace.streaming.records.avro_codec import AvroCodec
from tests.formats import shop

FIXED = {"type": "fixed", "name": "raw", "size": 3}
STRANGE: dict[str, Any] = {
    "type": "record",
    "name": "Click",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": {"type": "fixed", "name": "uid", "size": 16, "logicalType": "uuid"}},
        {"name": "skipped", "type": ["null", "string", FIXED, {"type": "array", "items": "long"}]},
        {"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "visitor", "type": ["int", "null", "long", "string"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2}},
        {
            "name": "tax",
            "type": {"type": "fixed", "name": "tax", "size": 5, "logicalType": "decimal", "precision": 9, "scale": 3},
        },
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "time-millis"}]},
        {"name": "weight", "type": ["double", "long"]},
        {"name": "raw", "type": "raw"},
        {"name": "unit", "type": {"type": "string", "logicalType": "nobody-knows"}},
        {"name": "took", "type": {"type": "fixed", "name": "took", "size": 12, "logicalType": "duration"}},
    ],
}
FIELDS = "id: id, at: at, visitor: visitor, price: price, tax: tax, day: day, weight: weight, raw: raw, unit: unit"
EVENT = {
    "id": UUID(int=5),
    "skipped": [1, 2],
    "at": 1_717_200_000_123_456,
    "visitor": 7,
    "price": Decimal("12345678901234.56"),
    "tax": Decimal("-1.125"),
    "day": 5,
    "weight": 2.5,
    "raw": b"\x00\xff\x10",
    "unit": "kg",
    "took": b"0" * 12,
}


def written(event: Mapping[str, Any], schema: dict[str, Any] = STRANGE, number: int = shop.ID) -> bytes:
    """A record of the strange schema; uuids as their bytes, and local times as numbers, as fastavro writes neither."""
    plain = json.loads(json.dumps(schema).replace(', "logicalType": "uuid"', "").replace("local-timestamp-micros", "x"))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(plain), {**event, "id": event["id"].bytes})
    return b"\0" + number.to_bytes(4, "big") + out.getvalue()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose producer's schema is the strange one."""
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds" / "strange.avsc").write_text(json.dumps(STRANGE))
    return tmp_path


def opened(project: Path, known: Mapping[int, Schema | str], **changes: str) -> Any:
    """The codec of the strange records, with these ids."""
    fields = shop.FIELDS.replace("PRE", "")
    told = {
        "schema: click": "schema: strange",
        fields: "{" + FIELDS + "}",
        "format: avro": "format: avro, times: {at: {unit: micros, zone: Europe/Paris}}",
    } | changes
    made = shop.contracts(project, "avro", **told)
    return type(made)(made.pipeline, made.workspace, shop.KnownIds(known), {}).channel("events-feed").codec


def test_types_that_headrace_has_not_are_read_where_they_are_used(project: Path) -> None:
    """Decimals, fixed ones, uuids, times of day, wider unions, unknown logical types; others are stepped over."""
    codec = opened(project, {shop.ID: load_writer(STRANGE)})
    others = [
        {**EVENT, "visitor": None, "skipped": None, "day": None, "weight": 7},
        {**EVENT, "visitor": 1 << 40, "skipped": b"abc"},
        {**EVENT, "visitor": "v-9", "skipped": "text"},
    ]
    found = codec.decode([written(event) for event in (EVENT, *others)])
    assert [(bad.row, bad.detail) for bad in found.bad] == [(1, "`visitor` is null")]
    first, third, fourth = found.columns.to_pylist()
    assert first["id"] == "00000000-0000-0000-0000-000000000005"
    assert first["at"].isoformat() == "2024-05-31T22:00:00.123000+00:00"  # Paris shows midnight
    assert first["price"] == 12345678901234.56
    told = [first[name] for name in ("tax", "day", "weight", "raw", "unit")]
    assert told == [-1.125, 5, 2.5, "00ff10", "kg"]
    assert [row["visitor"] for row in (first, third, fourth)] == ["7", str(1 << 40), "v-9"]


def test_what_a_union_cannot_hold_exactly_is_refused(project: Path) -> None:
    """A whole number that a number of 64 bits would round is none, for its own record alone."""
    codec = opened(project, {shop.ID: load_writer(STRANGE)})
    found = codec.decode([written({**EVENT, "weight": ("long", weight)}) for weight in (1, (1 << 53) + 1, 1 << 53)])
    assert found.rows.tolist() == [0, 2]
    assert "`weight` is a number that 64 bits would round" in found.bad[0].detail


def test_versions_are_read_side_by_side_by_their_paths(project: Path) -> None:
    """One with fields in another order and more of them is read; one that lacks a field, or has another type, is not.

    Its records are refused with the field that stands in the way, and do not harm the others.
    """
    fields = STRANGE["fields"]
    turned = {**STRANGE, "fields": [*fields[:2], {"name": "new", "type": ["null", "long"]}, *reversed(fields[2:])]}
    lacking = {**STRANGE, "fields": [one for one in fields if one["name"] != "tax"]}
    other = {**STRANGE, "fields": [{**one, "type": "long"} if one["name"] == "unit" else one for one in fields]}
    known = {number: load_writer(schema) for number, schema in enumerate((STRANGE, turned, lacking, other), 1)}
    codec = opened(project, known)
    assert isinstance(codec._scanner._codec, AvroCodec)
    values = [
        written(EVENT, STRANGE, 1),
        written({**EVENT, "new": 3}, turned, 2),
        written(EVENT, lacking, 3),
        written({**EVENT, "unit": 4}, other, 4),
        written(EVENT, STRANGE, 9),
    ]
    found = codec.decode(values)
    assert found.rows.tolist() == [0, 1]
    assert found.columns.slice(0, 1).equals(found.columns.slice(1, 1))
    assert [bad.reason for bad in found.bad] == ["unknown_schema"] * 3
    assert "tax: not in this version" in found.bad[0].detail
    assert "unit: long in this version cannot be read as string" in found.bad[1].detail


def test_subjects_follow_the_strategy_of_the_producer(project: Path) -> None:
    """By the topic, by the record, by both, or as it is called; records of other subjects may share the topic."""
    wanted = {
        "": "shop.clicks-value",
        "subject: topic, ": "shop.clicks-value",
        "subject: record, ": "shop.Click",
        "subject: topic_record, ": "shop.clicks-shop.Click",
        "subject: my-own, ": "my-own",
    }
    for told, subject in wanted.items():
        codec = opened(project, {1: load_writer(STRANGE)}, **{"id: id, time": f"{told}id: id, time"})
        assert codec._scanner._codec._ids._ids.asked == [subject]
    codec = opened(
        project, {1: load_writer(STRANGE)}, **{"id: id, time": "subject: record, others: skip, id: id, time"}
    )
    found = codec.decode([written(EVENT, STRANGE, 1), written(EVENT, STRANGE, 2), b"\1"])
    assert (found.rows.tolist(), found.skipped) == ([0], {"other_record": 1})
    assert [bad.reason for bad in found.bad] == ["truncated"]


def test_without_ids_it_is_said_where_they_come_from(project: Path) -> None:
    """A producer's ids are its registry's: a file of pins that has none is no place to look."""
    made = shop.contracts(project, "avro")
    (project / "ids.json").write_text("{}")
    from headrace.streaming.contracts.schemas import PinnedIds

    with pytest.raises(ContractError, match="set HEADRACE_REGISTRY"):
        type(made)(made.pipeline, made.workspace, PinnedIds(project / "ids.json"), {}).channel("events-feed")
