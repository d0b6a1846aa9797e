"""Our codec against fastavro on random schemas and data, and against a strict reader on garbage."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.columnar.avro.types import Array, Enum, Leaf, Map, Node, Nullable, Record, least_bytes
from headrace.streaming.contracts.schemas import Schema, load_schema
from headrace.streaming.records.avro_codec import AvroCodec
from headrace.streaming.records.codec import Codec

HEADER = b"\0\0\0\0\7"
QUICK = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


class One:
    """One schema under the id 7."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def id_of(self, subject: str, schema: Schema) -> int:
        return 7

    def writers(self, subject: str) -> Mapping[int, Schema]:
        return {7: self.schema}


def codec(schema: Schema) -> Codec:
    """A codec of one schema."""
    return AvroCodec("t-value", schema, One(schema), max_bytes=10_000)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """A schema of any shape that we accept, without logical types."""
    numbers = iter(range(1000))

    def kind(depth: int) -> Any:
        leaf = st.sampled_from(["boolean", "int", "long", "float", "double", "string", "bytes", "enum"])
        what = draw(leaf if depth > 3 else st.one_of(leaf, st.sampled_from(["record", "array", "map", "null"])))
        name = f"t{next(numbers)}"
        match what:
            case "enum":
                return {"type": "enum", "name": name, "symbols": ["a", "b", "c"][: draw(st.integers(1, 3))]}
            case "record":
                fields = [{"name": f"f{i}", "type": kind(depth + 1)} for i in range(draw(st.integers(1, 4)))]
                return {"type": "record", "name": name, "fields": fields}
            case "array":
                return {"type": "array", "items": kind(depth + 1)}
            case "map":
                return {"type": "map", "values": kind(depth + 1)}
            case "null":
                inner = draw(leaf) if depth > 2 else kind(depth + 1)
                if isinstance(inner, list):
                    return inner
                if inner == "enum":
                    inner = {"type": "enum", "name": name, "symbols": ["x"]}
                return ["null", inner] if draw(st.booleans()) else [inner, "null"]
            case _:
                return what

    fields = [{"name": f"c{i}", "type": kind(0)} for i in range(draw(st.integers(1, 6)))]
    return load_schema({"type": "record", "name": "top", "fields": fields})


def values(node: Node) -> st.SearchStrategy[Any]:
    """Python values of a type; maps as lists of pairs with different keys."""
    match node:
        case Leaf(kind="boolean"):
            return st.booleans()
        case Leaf(kind="int"):
            return st.integers(-(2**31), 2**31 - 1)
        case Leaf(kind="long"):
            return st.integers(-(2**63), 2**63 - 1)
        case Leaf(kind="float"):
            return st.floats(width=32)
        case Leaf(kind="double"):
            return st.floats()
        case Leaf(kind="string"):
            return st.text(max_size=20)
        case Leaf():
            return st.binary(max_size=20)
        case Enum():
            return st.sampled_from(node.symbols)
        case Nullable():
            return st.one_of(st.none(), values(node.inner))
        case Array():
            return st.lists(values(node.item), max_size=3)
        case Map():
            return st.lists(
                st.tuples(st.text(max_size=4), values(node.value)), max_size=3, unique_by=lambda pair: pair[0]
            )
        case Record():
            return st.fixed_dictionaries({member.name: values(member.type) for member in node.members})


def foreign(node: Node, value: Any) -> Any:
    """A value as fastavro takes it: maps are dicts."""
    match node:
        case Nullable():
            return None if value is None else foreign(node.inner, value)
        case Array():
            return [foreign(node.item, item) for item in value]
        case Map():
            return {key: foreign(node.value, item) for key, item in value}
        case Record():
            return {member.name: foreign(member.type, value[member.name]) for member in node.members}
        case _:
            return value


def fastavro_bytes(schema: Schema, value: Any) -> bytes:
    """A message as fastavro writes it, in the wire format."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema.definition), foreign(schema.record, value))
    return HEADER + out.getvalue()


class Refused(Exception):
    """The strict reader found the bytes wrong."""


class Strict:
    """Avro by the letter of the specification, one value at a time, with the caps that we promise."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def record(self, node: Record) -> Any:
        value = self.value(node)
        if self.at != len(self.data):
            raise Refused
        return value

    def take(self, size: int) -> bytes:
        if size < 0 or size > len(self.data) - self.at:
            raise Refused
        self.at += size
        return self.data[self.at - size : self.at]

    def integer(self, bits: int = 64) -> int:
        raw = 0
        for place in range(10):
            byte = self.take(1)[0]
            raw |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                value = (raw >> 1) ^ -(raw & 1)
                if raw >= 1 << 64 or not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
                    raise Refused
                return value
        raise Refused

    def value(self, node: Node) -> Any:
        match node:
            case Leaf(kind="boolean"):
                byte = self.take(1)[0]
                if byte > 1:
                    raise Refused
                return byte == 1
            case Leaf(kind="int"):
                return self.integer(32)
            case Leaf(kind="long"):
                return self.integer()
            case Leaf(kind="float"):
                return struct.unpack("<f", self.take(4))[0]
            case Leaf(kind="double"):
                return struct.unpack("<d", self.take(8))[0]
            case Leaf(kind="string"):
                return self.text()
            case Leaf():
                return self.take(self.integer())
            case Enum():
                return node.symbols[self.branch(len(node.symbols))]
            case Nullable():
                return None if self.branch(2) == node.null_at else self.value(node.inner)
            case Record():
                return {member.name: self.value(member.type) for member in node.members}
            case Array():
                return self.blocks(lambda: self.value(node.item), least_bytes(node.item))
            case Map():
                return self.blocks(lambda: (self.text(), self.value(node.value)), 1 + least_bytes(node.value))

    def text(self) -> str:
        try:
            return self.take(self.integer()).decode()
        except UnicodeDecodeError:
            raise Refused from None

    def branch(self, most: int) -> int:
        index = self.integer()
        if not 0 <= index < most:
            raise Refused
        return index

    def blocks(self, item: Callable[[], Any], least: int) -> list[Any]:
        found: list[Any] = []
        while count := self.integer():
            end = None
            if count < 0:
                size = self.integer()
                end = self.at + size
                if size < 0 or end > len(self.data):
                    raise Refused
            if abs(count) > (len(self.data) - self.at) // least:
                raise Refused
            found += [item() for _ in range(abs(count))]
            if end is not None and self.at != end:
                raise Refused
        return found


@pytest.mark.slow
@QUICK
@given(st.data())
def test_we_write_what_fastavro_writes_and_read_it_back(data: st.DataObject) -> None:
    """For any schema and records, our bytes are fastavro's bytes, and reading them gives the records back."""
    schema = data.draw(schemas())
    rows = data.draw(st.lists(values(schema.record), max_size=5))
    columns = pa.RecordBatch.from_pylist(rows, schema.arrow)
    subject = codec(schema)
    messages = subject.encode(columns)
    assert messages == [fastavro_bytes(schema, row) for row in rows]
    decoded = subject.decode(messages)
    assert not decoded.bad
    decoded.columns.validate(full=True)
    assert repr(decoded.columns.to_pylist()) == repr(columns.to_pylist())


@pytest.mark.slow
@QUICK
@given(st.data())
def test_a_slice_is_written_as_its_rows(data: st.DataObject) -> None:
    """Encoding a slice of a batch gives the messages of these rows: offsets of nested columns are respected."""
    schema = data.draw(schemas())
    rows = data.draw(st.lists(values(schema.record), min_size=3, max_size=6))
    columns = pa.RecordBatch.from_pylist(rows, schema.arrow)
    subject = codec(schema)
    whole = subject.encode(columns)
    assert subject.encode(columns.slice(1, 2)) == whole[1:3]
    assert subject.encode(subject.decode(whole).columns.slice(2)) == whole[2:]


@pytest.mark.slow
@QUICK
@given(st.data())
def test_mutated_bytes_get_the_verdict_of_a_strict_reader(data: st.DataObject) -> None:
    """Whatever becomes of a record's bytes, we accept what a strict reader accepts, with the same values."""
    schema = data.draw(schemas())
    rows = data.draw(st.lists(values(schema.record), min_size=1, max_size=4))
    subject = codec(schema)
    good = subject.encode(pa.RecordBatch.from_pylist(rows, schema.arrow))
    mutated = [HEADER + data.draw(mutations(message[len(HEADER) :])) for message in good]
    # Good records stand between the mutated ones: they must come through whatever their neighbours hold.
    messages = [message for pair in zip(mutated, good, strict=True) for message in pair]
    decoded = subject.decode(messages)
    expected: dict[int, Any] = {}
    parsed = fastavro.parse_schema(schema.definition)
    for row, message in enumerate(messages):
        try:
            expected[row] = Strict(message[len(HEADER) :]).record(schema.record)
        except Refused:
            continue
        other = fastavro.schemaless_reader(io.BytesIO(message[len(HEADER) :]), parsed)
        assert repr(other) == repr(foreign(schema.record, expected[row]))
    assert decoded.rows.tolist() == sorted(expected)
    assert sorted(expected) + [bad.row for bad in decoded.bad] == sorted(expected) + [
        row for row in range(len(messages)) if row not in expected
    ]
    decoded.columns.validate(full=True)
    assert repr(decoded.columns.to_pylist()) == repr([expected[row] for row in sorted(expected)])


@st.composite
def mutations(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with some changed, cut, put in, repeated, or made up altogether."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        evil = st.sampled_from([b"\x00", b"\x01", b"\x02", b"\x03", b"\x7f", b"\x80", b"\xff", b"\xff" * 9 + b"\x01"])
        match draw(st.sampled_from(["change", "cut", "insert", "repeat", "invent"])):
            case "change" if at < len(data):
                data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
            case "cut":
                data = data[:at]
            case "insert":
                data = data[:at] + draw(st.one_of(evil, st.binary(max_size=4))) + data[at:]
            case "repeat":
                data = data[:at] + data[max(0, at - 5) :]
            case "invent":
                data = draw(st.binary(max_size=40))
    return data


@QUICK
@given(st.binary(max_size=60))
def test_text_is_accepted_exactly_where_python_decodes_it(text: bytes) -> None:
    """A string of any bytes is accepted exactly when it is well-formed UTF-8."""
    schema = load_schema({"type": "record", "name": "t", "fields": [{"name": "s", "type": "string"}]})
    length = bytes([len(text) << 1]) if len(text) < 64 else b""
    decoded = codec(schema).decode([HEADER + length + text])
    try:
        assert decoded.columns.column(0).to_pylist() == [text.decode()]
    except UnicodeDecodeError:
        assert [bad.reason for bad in decoded.bad] == ["malformed"]
