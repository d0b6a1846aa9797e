"""Verdicts on single messages, versions of a schema in one batch, and the bounds on memory."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest

from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import Schema, load_schema
from headrace.streaming.records.avro_codec import AvroCodec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ids:
    """Ids given by the test; counts how often it is asked."""

    def __init__(self, **versions: Schema) -> None:
        self.versions = {int(name[1:]): schema for name, schema in versions.items()}
        self.asked = 0

    def id_of(self, subject: str, schema: Schema) -> int:
        return next(number for number, known in self.versions.items() if known == schema)

    def writers(self, subject: str) -> Mapping[int, Schema]:
        self.asked += 1
        return dict(self.versions)


def record(*fields: dict[str, Any], name: str = "thing") -> Schema:
    """A schema of these fields."""
    return load_schema({"type": "record", "name": name, "fields": list(fields)})


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    """A field's definition."""
    return {"name": name, "type": kind, **more}


EVENT = record(field("id", "long"), field("name", "string"), field("amount", ["null", "double"], default=None))


def events(n: int) -> pa.RecordBatch:
    """EVENT's columns, n rows; every third amount is null."""
    rows = [{"id": i, "name": f"é{i}", "amount": None if i % 3 == 0 else i / 2} for i in range(n)]
    return pa.RecordBatch.from_pylist(rows, EVENT.arrow)


def framed(number: int, schema: Schema, **value: Any) -> bytes:
    """A message as fastavro writes it, in the wire format."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema.definition), value)
    return b"\0" + number.to_bytes(4, "big") + out.getvalue()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda m: None, "null_value"),
        (lambda m: b"", "truncated"),
        (lambda m: m[:4], "truncated"),
        (lambda m: m[:5], "truncated"),
        (lambda m: m[:-1], "truncated"),
        (lambda m: b"\1" + m[1:], "wrong_magic"),
        (lambda m: b"\0\0\0\0\x09" + m[5:], "unknown_schema"),
        (lambda m: b"\0\xff\xff\xff\xff" + m[5:], "unknown_schema"),
        (lambda m: m + b"\0", "trailing_bytes"),
        (lambda m: m + bytes(1000), "oversize"),
        (lambda m: m[:5] + b"\xff" * 10, "malformed"),
        (lambda m: m[:5] + b"\x02\x01", "malformed"),
        (lambda m: m[:5] + b"\x02\x04\xc3\x28\x00", "malformed"),
        (lambda m: m[:5] + b"\x02\x00\x04", "malformed"),
    ],
)
def test_a_bad_record_is_named_and_its_neighbours_go_on(spoil: Any, reason: str) -> None:
    """One bad message among good ones is refused with its reason; the others are read, in order."""
    codec = AvroCodec("t-value", EVENT, Ids(v7=EVENT), max_bytes=500)
    messages: list[bytes | None] = [*codec.encode(events(9))]
    messages[4] = spoil(messages[4])
    decoded = codec.decode(messages)
    assert [(bad.row, bad.reason) for bad in decoded.bad] == [(4, reason)]
    assert decoded.bad[0].detail
    assert decoded.rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert decoded.columns.equals(events(9).take(pa.array(decoded.rows)))


def test_nothing_good_gives_no_rows() -> None:
    """Batches that are empty, or wholly bad, give columns of the reader's schema with no rows."""
    codec = AvroCodec("t-value", EVENT, Ids(v7=EVENT))
    for values in ([], [None, None], [b"", b"x" * 9]):
        decoded = codec.decode(values)
        assert decoded.columns.schema == EVENT.arrow
        assert decoded.columns.num_rows == len(decoded.rows) == 0
        assert [bad.row for bad in decoded.bad] == list(range(len(values)))
    assert codec.encode(events(0)) == []


def test_the_detail_names_field_and_byte() -> None:
    """A person who reads a dead letter learns which field failed, and where."""
    nested = record(field("who", {"type": "record", "name": "w", "fields": [field("age", "int")]}))
    [bad] = AvroCodec("t-value", nested, Ids(v7=nested)).decode([b"\0\0\0\0\7\x80"]).bad
    assert bad.detail == "at `who.age`, byte 5 of 6"


OLD = record(
    field("id", "int"),
    field("gone", {"type": "array", "items": "string"}),
    field("kind", {"type": "enum", "name": "k", "symbols": ["a", "b", "c"]}),
    field("was", "float"),
    field("part", ["null", {"type": "record", "name": "p", "fields": [field("x", "int"), field("y", "string")]}]),
    field("times", {"type": "map", "values": "long"}),
    field("at", "long"),
)
NEW = record(
    field("kind", {"type": "enum", "name": "k", "symbols": ["b", "other"], "default": "other"}),
    field("id", ["null", "long"]),
    field("now", "double", aliases=["was"]),
    field("times", {"type": "map", "values": "double"}),
    field(
        "part",
        [
            "null",
            {
                "type": "record",
                "name": "p",
                "fields": [field("y", "bytes"), field("z", "string", default="none"), field("x", "double")],
            },
        ],
    ),
    field("tags", {"type": "array", "items": "string"}, default=["a", "b"]),
    field("raw", "bytes", default="\u00ff"),
    field("seen", ["null", "long"], default=None),
    field("at", {"type": "long", "logicalType": "timestamp-millis"}),
)


def test_an_older_version_is_read_as_ours_like_fastavro_does() -> None:
    """Records of an older version are resolved to the reader's: renamed, promoted, dropped and new fields."""
    rows: list[dict[str, Any]] = [
        {"id": 5, "gone": ["x"], "kind": "b", "was": 0.5, "part": {"x": 3, "y": "é"}, "times": {"m": 4}, "at": 7},
        {"id": -5, "gone": [], "kind": "c", "was": 1.5, "part": None, "times": {}, "at": -7},
    ]
    codec = AvroCodec("t-value", NEW, Ids(v1=OLD, v2=NEW))
    messages = [framed(1, OLD, **row) for row in rows]
    decoded = codec.decode([*messages, messages[0] + b"x"])
    assert [bad.reason for bad in decoded.bad] == ["trailing_bytes"]
    decoded.columns.validate(full=True)
    assert decoded.columns.schema == NEW.arrow
    writer, reader = fastavro.parse_schema(OLD.definition), fastavro.parse_schema(NEW.definition)
    for row, message in zip(decoded.columns.to_pylist(maps_as_pydicts="strict"), messages, strict=True):
        expected = fastavro.schemaless_reader(io.BytesIO(message[5:]), writer, reader)
        # fastavro leaves a default of bytes as JSON's string, and a logical type that only the reader has unapplied.
        assert row == expected | {"raw": b"\xff", "at": row["at"]}
        assert row["at"] - EPOCH == timedelta(milliseconds=expected["at"])


def test_versions_in_one_batch_keep_their_order() -> None:
    """Records of several versions in one batch come out in the order in which they went in."""
    second = record(*EVENT.definition["fields"], field("note", "string", default="-"))
    codec = AvroCodec("t-value", second, Ids(v1=EVENT, v2=second))
    messages: list[bytes | None] = [
        framed(1, EVENT, id=i, name="n", amount=None)
        if i % 2
        else framed(2, second, id=i, name="n", amount=1.0, note="x")
        for i in range(50)
    ]
    messages[10] = b"\0\0\0\0\3"
    decoded = codec.decode(messages)
    assert decoded.columns.column("id").to_pylist() == decoded.rows.tolist() == [i for i in range(50) if i != 10]
    assert decoded.columns.column("note").to_pylist() == ["-" if i % 2 else "x" for i in range(50) if i != 10]


def test_a_version_that_nobody_can_read_is_refused_with_why() -> None:
    """Records of a version that the reader cannot take are unknown to us; the detail says what stands between."""
    other = record(field("id", "string"))
    codec = AvroCodec("t-value", EVENT, Ids(v1=other, v2=EVENT))
    decoded = codec.decode([framed(1, other, id="x"), *codec.encode(events(1))])
    assert decoded.rows.tolist() == [1]
    assert decoded.bad[0].reason == "unknown_schema"
    assert "string cannot be read as long" in decoded.bad[0].detail


def test_a_version_registered_later_is_found_when_it_comes() -> None:
    """An unknown id makes the codec ask once; a stranger's id is not asked for again."""
    ids = Ids(v1=EVENT)
    codec = AvroCodec("t-value", EVENT, ids)
    second = record(*EVENT.definition["fields"], field("note", "string", default="-"))
    ids.versions[2] = second
    message = framed(2, second, id=1, name="n", amount=None, note="x")
    assert not codec.decode([message]).bad
    asked = ids.asked
    for _ in range(3):
        assert codec.decode([b"\0\0\0\0\x63\0"]).bad
    assert ids.asked == asked + 1


LISTS = record(
    field("words", {"type": "array", "items": "string"}),
    field("pairs", {"type": "array", "items": {"type": "record", "name": "pair", "fields": [field("a", "long")]}}),
)


def test_blocks_may_state_their_size_and_be_many() -> None:
    """Arrays in several blocks, with and without their size in bytes, are read; a size that is not true is refused."""
    codec = AvroCodec("t-value", LISTS, Ids(v7=LISTS))
    head, none = b"\0\0\0\0\7", b"\0"
    sized = b"\x03\x08\x02a\x02b" + b"\x02\x02c" + none
    good = codec.decode([head + sized + none, head + none + b"\x01\x02\x04" + none])
    assert not good.bad
    assert good.columns.to_pylist() == [{"words": ["a", "b", "c"], "pairs": []}, {"words": [], "pairs": [{"a": 2}]}]
    for size in (b"\x06", b"\x0a", b"\x05", b"\x7e"):
        [bad] = codec.decode([head + b"\x03" + size + b"\x02a\x02b" + none + none]).bad
        assert bad.reason in ("malformed", "truncated")


def test_room_for_items_grows_with_the_batch() -> None:
    """Records with far more items than those before are read whole, and good ones beside a bad one stay exact."""
    codec = AvroCodec("t-value", LISTS, Ids(v7=LISTS))
    rows = [{"words": ["w"] * (i * 37 % 501), "pairs": [{"a": j} for j in range(i)]} for i in range(60)]
    columns = pa.RecordBatch.from_pylist(rows, LISTS.arrow)
    messages = codec.encode(columns)
    messages[59] = messages[59][:-2]
    decoded = codec.decode(messages)
    assert [bad.row for bad in decoded.bad] == [59]
    assert decoded.columns.equals(columns.slice(0, 59))


def test_hostile_bytes_claim_no_memory() -> None:
    """Counts and lengths of 2^62 in a few bytes cost nothing: memory follows the bytes, not what they claim."""
    codec = AvroCodec("t-value", LISTS, Ids(v7=LISTS))
    huge = b"\x80" * 8 + b"\x40"
    hostile = [
        b"\0\0\0\0\7" + body
        for body in (huge, b"\x01" + huge, b"\x02" + huge, b"\x00" + huge, b"\xff" * 9 + b"\x01" + huge)
    ]
    codec.decode(hostile)
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    decoded = codec.decode(hostile * 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(decoded.bad) == 5000
    assert peak < 20_000_000
    assert pa.total_allocated_bytes() - before < 5_000_000


def test_types_that_cast_are_taken_and_others_refused() -> None:
    """`encode` takes columns by name, casts without loss, and names the column that will not do."""
    codec = AvroCodec("t-value", EVENT, Ids(v7=EVENT))
    wide = pa.RecordBatch.from_pydict(
        {
            "extra": pa.array([0]),
            "amount": pa.array([2], pa.int32()),
            "name": pa.array(["x"]).dictionary_encode(),
            "id": pa.array([1], pa.int16()),
        }
    )
    assert codec.encode(wide) == [framed(7, EVENT, id=1, name="x", amount=2.0)]
    ids = pa.array([1, None])
    for columns, complaint in (
        ({"id": ids, "name": ["a", "b"], "amount": [1.0, 2.0]}, "`id` has nulls"),
        ({"id": [1], "amount": [1.0]}, "`name` is missing"),
        ({"id": ["x"], "name": ["a"], "amount": [1.0]}, "`id` is string"),
    ):
        with pytest.raises(ContractError, match=complaint):
            codec.encode(pa.RecordBatch.from_pydict(columns))


def test_nulls_below_a_null_struct_are_no_nulls() -> None:
    """A required field of a nullable record may be null where the record is, and nowhere else."""
    inner = {"type": "record", "name": "i", "fields": [field("x", "long")]}
    schema = record(field("s", ["null", inner]))
    codec = AvroCodec("t-value", schema, Ids(v7=schema))
    kind = pa.struct([("x", pa.int64())])
    fine = pa.RecordBatch.from_arrays([pa.array([{"x": 1}, None], kind)], names=["s"])
    assert codec.decode(codec.encode(fine)).columns.to_pylist() == [{"s": {"x": 1}}, {"s": None}]
    bad = pa.RecordBatch.from_arrays([pa.array([{"x": 1}, {"x": None}], kind)], names=["s"])
    with pytest.raises(ContractError, match=r"`s\.x` has nulls"):
        codec.encode(bad)


def test_an_enum_takes_words_or_a_dictionary_and_nothing_else() -> None:
    """Enum columns are strings, plain or dictionary-encoded; a word that is no symbol is refused by name."""
    schema = record(field("e", {"type": "enum", "name": "k", "symbols": ["a", "b"]}))
    codec = AvroCodec("t-value", schema, Ids(v7=schema))
    for words in (pa.array(["b", "a"]), pa.array(["b", "a"]).dictionary_encode()):
        messages = codec.encode(pa.RecordBatch.from_arrays([words], names=["e"]))
        assert codec.decode(messages).columns.column(0).to_pylist() == ["b", "a"]
    with pytest.raises(ContractError, match="holds c, which is none of a, b"):
        codec.encode(pa.RecordBatch.from_arrays([pa.array(["c"])], names=["e"]))


def test_logical_types_are_arrow_types() -> None:
    """Timestamps, dates and uuids are columns of their Arrow types, whatever the integer, and come back the same."""
    schema = record(
        field("ms", {"type": "long", "logicalType": "timestamp-millis"}),
        field("us", {"type": "long", "logicalType": "timestamp-micros"}),
        field("day", ["null", {"type": "int", "logicalType": "date"}]),
        field("who", {"type": "string", "logicalType": "uuid"}),
    )
    codec = AvroCodec("t-value", schema, Ids(v7=schema))
    columns = pa.RecordBatch.from_arrays(
        [
            pa.array([0, 2**62]).view(pa.timestamp("ms", tz="UTC")),
            pa.array([-1, 1]).view(pa.timestamp("us", tz="UTC")),
            pa.array([None, 17], pa.int32()).view(pa.date32()),
            pa.array(["a", "b"]),
        ],
        schema=schema.arrow,
    )
    assert codec.decode(codec.encode(columns)).columns.equals(columns)
    assert np.asarray(codec.decode(codec.encode(columns)).columns.column(0).view(pa.int64())).tolist() == [0, 2**62]


def test_an_enum_below_a_null_record_is_not_looked_at() -> None:
    """Arrow fills the place of an absent enum with an empty string, which is no symbol; a null beside it stays null."""
    kind = {"type": "enum", "name": "k", "symbols": ["a"]}
    inner = {"type": "record", "name": "i", "fields": [field("e", kind), field("maybe", ["null", "k"])]}
    schema = record(field("s", ["null", inner]))
    codec = AvroCodec("t-value", schema, Ids(v7=schema))
    rows = [{"s": None}, {"s": {"e": "a", "maybe": None}}, {"s": {"e": "a", "maybe": "a"}}]
    messages = codec.encode(pa.RecordBatch.from_pylist(rows, schema.arrow))
    assert messages == [framed(7, schema, **row) for row in rows]
    assert codec.encode(codec.decode(messages).columns) == messages
