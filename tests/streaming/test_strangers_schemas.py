"""Versions of a schema with types that we cannot read: stepped over where nobody reads them, else refused with why."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

import fastavro
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import Schema, load_schema, load_writer
from headrace.streaming.records.avro_codec import AvroCodec
from headrace.streaming.records.codec import Codec

QUICK = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def record(name: str, **fields: Any) -> dict[str, Any]:
    """The definition of a record."""
    return {"type": "record", "name": name, "fields": [{"name": each, "type": kind} for each, kind in fields.items()]}


def listed(items: Any) -> dict[str, Any]:
    """The definition of an array."""
    return {"type": "array", "items": items}


OURS = load_schema(record("thing", id="long", part=["null", record("part", x="string")], tags=listed("double")))
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
FIXED = {"type": "fixed", "name": "digest", "size": 4}
WIDE = ["null", "string", "long", {"type": "array", "items": "int"}]
FOREIGN: list[tuple[Any, Any]] = [
    (DECIMAL, Decimal("12.50")),
    (FIXED, b"abcd"),
    ({**FIXED, "name": "money", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("-3.25")),
    ({"type": "fixed", "name": "none", "size": 0}, b""),
    ({"type": "int", "logicalType": "time-millis"}, time(12, 30)),
    ({"type": "long", "logicalType": "time-micros"}, time(12, 30)),
    ({"type": "long", "logicalType": "local-timestamp-millis"}, 5),
    ({"type": "long", "logicalType": "timestamp-nanos"}, 5),
    ({"type": "string", "logicalType": "a company's own"}, "word"),
    ("null", None),
    (["string"], "alone"),
    (["string", "long"], 2**60),
    (WIDE, None),
    (WIDE, "text"),
    (WIDE, [1, 2, 3]),
    (["null", DECIMAL], Decimal("1.00")),
    (["null", DECIMAL], None),
    ({"type": "array", "items": WIDE}, [None, "a", 7, [1], []]),
    ({"type": "array", "items": FIXED}, [b"abcd"] * 3),
    ({"type": "map", "values": DECIMAL}, {"a": Decimal("1.00"), "b": Decimal("2.00")}),
    ({"type": "array", "items": {"type": "map", "values": ["long", "string"]}}, [{"a": 1}, {}, {"b": "c", "d": 4}]),
    (record("empty"), {}),
    (
        record(
            "deep",
            a="null",
            b=["null", "int", record("in", c=WIDE)],
            c={"type": "enum", "name": "e", "symbols": ["x", "y"]},
        ),
        {"a": None, "b": {"c": [1]}, "c": "y"},
    ),
]  # fmt: skip
VALUE = {"id": 7, "part": {"x": "y"}, "tags": [1.0, 2.0]}


class Versions:
    """Ids as a registry gives them."""

    def __init__(self, versions: Mapping[int, Schema | str]) -> None:
        self.versions = versions

    def id_of(self, subject: str, schema: Schema) -> int:
        return 1

    def writers(self, subject: str) -> Mapping[int, Schema | str]:
        return self.versions


def theirs(place: int, kind: Any) -> dict[str, Any]:
    """Our schema with a field more, at a place."""
    fields = list(OURS.definition["fields"])
    fields.insert(place, {"name": "foreign", "type": kind})
    return {**OURS.definition, "fields": fields}


def written(definition: dict[str, Any], *values: dict[str, Any]) -> list[bytes]:
    """Messages of version 2 as fastavro writes them."""
    schema, messages = fastavro.parse_schema(definition), []
    for value in values:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, value)
        messages.append(b"\0\0\0\0\2" + out.getvalue())
    return messages


def codec(definition: dict[str, Any]) -> Codec:
    """Reads version 2, and our own, which is 1."""
    return AvroCodec("t-value", OURS, Versions({1: OURS, 2: load_writer(definition)}))


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize(("kind", "value"), FOREIGN, ids=lambda part: str(part)[:40])
def test_a_foreign_field_is_stepped_over(kind: Any, value: Any, place: int) -> None:
    """Whatever the type of a field that we do not have, and wherever it stands, the record is read as ours."""
    definition = theirs(place, kind)
    values = [VALUE | {"foreign": value}, {"id": 8, "part": None, "tags": [], "foreign": value}] * 3
    decoded = codec(definition).decode(written(definition, *values))
    assert decoded.bad == []
    assert decoded.columns.to_pylist() == [VALUE, {"id": 8, "part": None, "tags": []}] * 3


def test_foreign_fields_below_ours_are_stepped_over() -> None:
    """In a nullable record, and in the items of an array of records, too."""
    ours = load_schema(record("top", one=["null", record("a", x="long")], many=listed(record("b", y="string"))))
    theirs = record(
        "top",
        one=["null", record("a", f=["null", FIXED], x="long")],
        many=listed(record("b", y="string", w=WIDE, d="digest")),
    )
    last = {"y": "q", "w": None, "d": b"abcd"}
    rows: list[dict[str, Any]] = [
        {"one": {"f": b"1234", "x": 1}, "many": [{"y": "p", "w": [1, 2], "d": b"abcd"}, last]},
        {"one": None, "many": []},
        {"one": {"f": None, "x": 2}, "many": [{"y": "r", "w": "s", "d": b"abcd"}]},
    ]
    reader = AvroCodec("t-value", ours, Versions({1: ours, 2: load_writer(theirs)}))
    assert reader.decode(written(theirs, *rows)).columns.to_pylist() == [
        {"one": {"x": 1}, "many": [{"y": "p"}, {"y": "q"}]},
        {"one": None, "many": []},
        {"one": {"x": 2}, "many": [{"y": "r"}]},
    ]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (DECIMAL, "id: logical type `decimal` of bytes is not supported"),
        (FIXED, "id: `fixed` is not supported"),
        (["null", "long", "string"], "id: a union must be of null and one other type"),
        ({"type": "long", "logicalType": "time-micros"}, "id: logical type `time-micros` of long"),
    ],
)
def test_a_foreign_type_of_a_field_that_we_read_is_refused_with_why(kind: Any, why: str) -> None:
    """The letter says what about the field we cannot read, and so does the log, once."""
    fields = [{"name": "id", "type": kind}, *OURS.definition["fields"][1:]]
    definition = {**OURS.definition, "fields": fields}
    with structlog.testing.capture_logs() as logs:
        reader = codec(definition)
        (bad,) = reader.decode([b"\0\0\0\0\2\0"]).bad
        reader.decode([b"\0\0\0\0\2\0"])
    assert (bad.reason, why in bad.detail, bad.detail.startswith("schema id 2: ")) == ("unknown_schema", True, True)
    assert [(line["id"], line["subject"], why in line["reason"]) for line in logs] == [(2, "t-value", True)]


def test_why_a_version_cannot_be_read_at_all_is_told() -> None:
    """Where the ids know no schema but why there is none, the letter says that."""
    (bad,) = AvroCodec("t-value", OURS, Versions({1: OURS, 2: "it is PROTOBUF"})).decode([b"\0\0\0\0\2\0"]).bad
    assert bad.detail == "schema id 2: it is PROTOBUF"


def test_a_stranger_s_own_logical_type_is_its_type() -> None:
    """Avro says to ignore a logical type that nobody knows: the field is read as what is below it."""
    fields = [
        {"name": "id", "type": {"type": "long", "logicalType": "customer-number"}},
        *OURS.definition["fields"][1:],
    ]
    definition = {**OURS.definition, "fields": fields}
    assert codec(definition).decode(written(definition, VALUE)).columns.to_pylist() == [VALUE]


@pytest.mark.parametrize(
    "kind",
    [
        listed("null"),
        listed({"type": "fixed", "name": "none", "size": 0}),
        listed(record("e")),
        {"type": "map", "values": ["null", record("n", o=["null", "long", "n"])]},
        record("loop", o=["null", "long", "loop"]),
        {"type": "fixed", "name": "f", "size": -1},
        {"type": "fixed", "name": "f", "size": "4"},
        ["null", "string", ["long"]],
        [],
    ],
    ids=str,
)
def test_what_could_be_abused_is_refused_of_strangers_too(kind: Any) -> None:
    """No arrays of nothing and no recursion, whoever wrote it: stepping over would take as much."""
    with pytest.raises(ContractError):
        load_writer(theirs(1, kind))


def test_what_we_write_stays_strict() -> None:
    """A schema of ours has none of these types: nothing of it may be stepped over."""
    for kind, _ in FOREIGN:
        with pytest.raises(ContractError):
            load_schema(theirs(0, kind))


def test_many_items_of_a_few_bytes_claim_no_more_than_they_are() -> None:
    """A block that claims more items than bytes remain is cut off, however little is kept of an item."""
    definition = theirs(3, {"type": "array", "items": WIDE})
    (message,) = written(definition, VALUE | {"foreign": []})
    claim = message[:-1] + bytes.fromhex("feffffffffffffffff01") + b"\0" * 20
    (bad,) = codec(definition).decode([claim]).bad
    assert bad.reason == "truncated"


@QUICK
@given(
    fields=st.lists(st.tuples(st.sampled_from(range(len(FOREIGN))), st.integers(0, 3)), min_size=1, max_size=4),
    noise=st.binary(max_size=6),
    place=st.integers(0, 60),
    cut=st.integers(0, 60),
)
def test_damaged_records_are_refused_or_read_as_a_strict_reader_does(
    fields: list[tuple[int, int]], noise: bytes, place: int, cut: int
) -> None:
    """Several foreign fields at once: whole records are read, cut ones refused, damaged ones never harm a neighbour."""
    kinds: list[dict[str, Any]] = list(OURS.definition["fields"])
    value = dict(VALUE)
    for number, (which, where) in enumerate(fields):
        kind, one = FOREIGN[which]
        kinds.insert(where, {"name": f"f{number}", "type": renamed(kind, number)})
        value[f"f{number}"] = one
    definition = {**OURS.definition, "fields": kinds}
    (message,) = written(definition, value)
    spoilt = message[:5] + (message[5 : 5 + place] + noise + message[5 + place + len(noise) :])
    short = message[: 5 + min(cut, len(message) - 6)] if len(message) > 5 else message
    decoded = codec(definition).decode([message, spoilt, short, message])
    assert {0, 3} <= set(decoded.rows.tolist())
    assert decoded.columns.to_pylist()[0] == decoded.columns.to_pylist()[-1] == VALUE
    assert 2 not in decoded.rows.tolist()


def renamed(kind: Any, number: int) -> Any:
    """A type whose names are its own."""
    match kind:
        case {"type": "fixed" | "record" | "enum", "name": name}:
            rest = {key: renamed(value, number) for key, value in kind.items()}
            return {**rest, "name": f"{name}{number}"}
        case dict():
            return {key: renamed(value, number) for key, value in kind.items()}
        case list():
            return [renamed(part, number) for part in kind]
        case _:
            return kind


def test_dates_and_our_own_logical_types_are_read_as_before() -> None:
    """What we can read is read, of strangers as well."""
    definition = theirs(0, {"type": "int", "logicalType": "date"})
    assert codec(definition).decode(written(definition, VALUE | {"foreign": date(2024, 5, 1)})).bad == []
