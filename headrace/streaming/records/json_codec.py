"""Messages to columns and back where values are JSON text: one object a record, held against the topic's schema.

For producers and consumers that speak no Avro. The form is Avro's JSON with bare unions: bytes are strings of the
characters 0 to 255, times are whole numbers of their unit. Exact both ways: whole numbers beyond 2**53 keep every
digit, and a floating-point number is written as the shortest text that gives its bits back. What JSON cannot say is
refused: a number that is not finite cannot be written, nor is one read. A record is parsed by itself, in Python:
for topics where Avro cannot be had, not for the fastest ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar.avro.json_form import misfit, native
from headrace.columnar.avro.types import Array, Leaf, Map, Node, Nullable, Record
from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import Schema
from headrace.streaming.records.codec import Bad, Decoded

_MOST = float(np.finfo(np.float32).max)


class JsonCodec:
    """Reads and writes the values of one topic as JSON; see `Codec`.

    A field that is left out counts as its default, where it has one. Unknown fields and keys that come twice are
    refused, so that no producer believes that something is kept which is not.

    Args:
        subject: the topic's name on the broker with `-value`.
        reader: the schema that the columns have.
        max_bytes: longer values are `oversize`.
    """

    def __init__(self, subject: str, reader: Schema, max_bytes: int = 1_000_000) -> None:
        self.subject = subject
        self.reader = reader
        self.max_bytes = max_bytes
        # Timestamps and dates as the numbers that JSON has; cast at the edge.
        self._plain = pa.schema([pa.field(f.name, _numeric(f.type), f.nullable) for f in reader.arrow])

    def encode(self, columns: pa.RecordBatch) -> list[bytes]:
        """One message a row, as `Codec.encode`; ContractError also for a number that is not finite."""
        schema = self.reader.arrow
        arrays = []
        for field in schema:
            if field.name not in columns.schema.names:
                raise ContractError(f"{self.subject}: column {field.name} is missing")
            try:
                column = columns.column(field.name).cast(field.type)
                arrays.append(column.cast(_numeric(field.type)))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise ContractError(f"{self.subject}: column {field.name}: {error}") from None
        rows = pa.RecordBatch.from_arrays(arrays, names=schema.names).to_pylist()
        return [self._written(row) for row in rows]

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Read a batch; each record's verdict is its own."""
        rows: list[dict[str, Any]] = []
        good: list[int] = []
        bad: list[Bad] = []
        for place, value in enumerate(values):
            found = self._read(value)
            if isinstance(found, dict):
                rows.append(found)
                good.append(place)
            else:
                bad.append(Bad(place, *found))
        plain = pa.RecordBatch.from_pylist(rows, schema=self._plain)
        arrays = [plain.column(field.name).cast(field.type) for field in self.reader.arrow]
        columns = pa.RecordBatch.from_arrays(arrays, schema=self.reader.arrow)
        return Decoded(columns, np.array(good, np.int64), bad)

    def _written(self, row: dict[str, Any]) -> bytes:
        said = _said(self.reader.record, row)
        if why := misfit(self.reader.record, said):
            raise ContractError(f"{self.subject}: {why}")
        try:
            return json.dumps(said, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
        except ValueError:
            raise ContractError(f"{self.subject}: JSON has no number that is not finite") from None

    def _read(self, value: bytes | None) -> dict[str, Any] | tuple[str, str]:
        """The record, or reason and detail."""
        if value is None:
            return "null_value", "a record of this topic must have a value"
        if len(value) > self.max_bytes:
            return "oversize", f"{len(value)} bytes, at most {self.max_bytes} are read"
        try:
            told = json.loads(value.decode(), object_pairs_hook=_once, parse_constant=_not_finite, parse_float=_finite)
            if b"\\u" in value:
                json.dumps(told, ensure_ascii=False).encode()  # half of a surrogate pair is no text
        except RecursionError:
            return "malformed", "too many levels of brackets"
        except UnicodeEncodeError:
            return "malformed", "half of a surrogate pair, which is no text"
        except UnicodeDecodeError as error:
            return "malformed", f"no UTF-8 at byte {error.start}"
        except json.JSONDecodeError as error:
            return "malformed", f"no JSON at character {error.pos}: {error.msg}"
        except ValueError as error:
            return "malformed", str(error)
        if not isinstance(told, dict):
            return "malformed", "not an object"
        if why := _misread(self.reader.record, told):
            return "malformed", why
        record: dict[str, Any] = native(self.reader.record, told)
        return record


def _misread(record: Record, told: dict[str, Any]) -> str:
    """Where a value does not fit, without the payload."""
    for member in record.members:
        if member.name in told and misfit(member.type, told[member.name], default=True):
            return f"`{member.name}` is not what the schema says"
        if member.name in told and _inexact(member.type, told[member.name]):
            return f"`{member.name}` is a number that its type would round"
    if misfit(record, told, default=True):
        unknown = told.keys() - {member.name for member in record.members}
        missing = next((member.name for member in record.members if member.name not in told), "")
        return f"{len(unknown)} fields that {record.name} does not have" if unknown else f"`{missing}` is missing"
    return ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice in an object")
    return found


def _not_finite(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number beyond those of 64 bits")
    return number


def _inexact(node: Node, value: Any) -> bool:
    """Whether a value that fits would be another one in its column."""
    match node:
        case Nullable():
            return value is not None and _inexact(node.inner, value)
        case Leaf(kind="double"):
            return isinstance(value, int) and (abs(value) >= 1 << 1023 or int(float(value)) != value)
        case Leaf(kind="float"):
            return abs(value) > _MOST or (isinstance(value, int) and int(np.float32(value)) != value)
        case Array():
            return any(_inexact(node.item, item) for item in value)
        case Map():
            return any(_inexact(node.value, item) for item in value.values())
        case Record():
            return any(_inexact(m.type, value[m.name]) for m in node.members if m.name in value)
        case _:
            return False


def _numeric(kind: pa.DataType) -> pa.DataType:
    """The type with whole numbers in place of times, at any depth."""
    if pa.types.is_timestamp(kind):
        return pa.int64()
    if pa.types.is_date32(kind):
        return pa.int32()
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(part.name, _numeric(part.type), part.nullable) for part in kind])
    if pa.types.is_list(kind):
        return pa.list_(pa.field("item", _numeric(kind.value_type), kind.value_field.nullable))
    if pa.types.is_map(kind):
        return pa.map_(pa.string(), pa.field("value", _numeric(kind.item_type), kind.item_field.nullable))
    return kind


def _said(node: Node, value: Any) -> Any:
    """A value of Arrow's as JSON says it."""
    match node:
        case Nullable():
            return None if value is None else _said(node.inner, value)
        case Leaf(kind="bytes"):
            return None if value is None else value.decode("latin-1")
        case Array():
            return None if value is None else [_said(node.item, item) for item in value]
        case Map():
            return None if value is None else {key: _said(node.value, item) for key, item in value}
        case Record():
            return None if value is None else {m.name: _said(m.type, value[m.name]) for m in node.members}
        case _:
            return value
