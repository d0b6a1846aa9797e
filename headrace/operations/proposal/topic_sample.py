"""The newest records of a topic as the rows that a proposal is made from: Avro in Confluent's wire format, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.errors import ConfigurationError, ContractError
from headrace.operations.proposal.sample import StreamSample, TopicForm
from headrace.operations.proposal.wrapped_records import unwrapped
from headrace.operations.tables.table_files import leaf, leaves
from headrace.streaming.contracts.registry import RegistryIds
from headrace.streaming.contracts.schemas import Schema, SchemaIds, load_writer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, messages, ranges
from headrace.streaming.records.avro_codec import AvroCodec

DEEPEST = 12
"""Objects within objects of a record in JSON."""
WHOLE = 2**63


def sample_topic(
    connection: Connection, topic: str, most: int, registry: str | None, schema: Path | None
) -> StreamSample:
    """The newest records of a topic, at most so many, in the order in which they were written.

    Args:
        registry: address of the schema registry that knows the schemas of records in Avro.
        schema: a file with the schema of records in Avro, in place of a registry.

    Raises:
        ConfigurationError: there is no such topic, it is empty, or its records are of no form that is read.
        Transient: the broker or the registry does not answer.
    """
    try:
        there = ranges(connection, topic)
    except ContractError:
        raise ConfigurationError(f"{topic} is neither a file nor a topic of {connection.bootstrap}") from None
    held = sum(part.stop - part.start for part in there)
    each = max(most // max(len(there), 1), 1)
    wanted = [Range(part.partition, max(part.start, part.stop - each), part.stop) for part in there]
    found = [message for batch in messages(connection, topic, wanted) for message in batch]
    found.sort(key=lambda message: message.timestamp()[1])
    values = [value for message in found if (value := message.value()) is not None]
    if not values:
        raise ConfigurationError(f"{topic} has no records that could be looked at")
    whole = held <= sum(part.stop - part.start for part in wanted)
    avro = [value for value in values if value[:1] == b"\0" and len(value) > 4]
    objects = sum(value.lstrip()[:1] == b"{" for value in values)
    if len(avro) > objects:
        columns, bad, form = _avro(topic, values, avro[-1], registry, schema)
    elif objects:
        columns, bad, form = _json(topic, values)
    else:
        raise ConfigurationError(
            f"the records of {topic} are neither Avro in Confluent's wire format nor JSON objects: write some to a file"
        )
    if len(values) == bad:
        raise ConfigurationError(f"none of {len(values):,} records of {topic} could be read as {form.format}")
    inner, rows, wrapping = unwrapped(columns)
    if not rows:
        raise ConfigurationError(f"none of {len(values):,} records of {topic} tells a row: they are deletions alone")
    unread = f" ({bad:,} could not be read)" if bad else ""
    kind = "changes of rows, as Debezium tells them" if wrapping.envelope else "records"
    form = replace(form, wrapping=wrapping)
    return StreamSample(topic, f"{form.format} {kind}{unread}", False, inner, rows, whole, form)


def _avro(
    topic: str, values: Sequence[bytes], last: bytes, registry: str | None, schema: Path | None
) -> tuple[dict[str, pa.ChunkedArray], int, TopicForm]:
    subject = f"{topic}-value"
    numbers = {int.from_bytes(value[1:5], "big") for value in values if value[:1] == b"\0" and len(value) > 4}
    if schema is not None:
        ids: SchemaIds = _One(_definition(schema), numbers)
    elif registry is not None:
        ids = RegistryIds(registry)
    else:
        raise ConfigurationError(
            f"the records of {topic} are Avro: name their schema, --schema FILE.avsc, or the registry that knows it, "
            "--registry URL"
        )
    known = {number: one for number, one in ids.writers(subject).items() if number in numbers}
    newest = known.get(int.from_bytes(last[1:5], "big"))
    if not isinstance(newest, Schema):
        why = newest or f"{subject} has no schema of that id"
        raise ConfigurationError(f"the newest record of {topic} cannot be read: {why}")
    decoded = AvroCodec(subject, newest, ids, 8 << 20).decode(values)
    table, columns = decoded.columns, {}
    for name in leaves(newest.arrow):
        columns[name] = pa.chunked_array([leaf(table, name)])
    text = json.dumps(newest.definition, indent=1, ensure_ascii=False) + "\n"
    return columns, len(decoded.bad), TopicForm(topic, "avro", ".avsc", text)


class _One:
    """A schema from a file, under whatever ids records have."""

    def __init__(self, schema: Schema, numbers: set[int]) -> None:
        self.schema, self.numbers = schema, numbers

    def id_of(self, subject: str, schema: Schema) -> int:
        return min(self.numbers)

    def writers(self, subject: str) -> Mapping[int, Schema | str]:
        return dict.fromkeys(self.numbers, self.schema)


def _definition(path: Path) -> Schema:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} cannot be read as a schema: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} is not a JSON object: write an Avro record")
    return load_writer(found)


def _json(topic: str, values: Sequence[bytes]) -> tuple[dict[str, pa.ChunkedArray], int, TopicForm]:
    rows: list[dict[str, Any]] = []
    tree: dict[str, Any] = {}
    bad = 0
    for value in values:
        try:
            record = json.loads(value)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            bad += 1
            continue
        _grow(tree, record, DEEPEST)
        rows.append(dict(_flat(record, "", DEEPEST)))
    if not rows:
        return {}, bad, TopicForm(topic, "json", ".schema.json", "")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: pa.chunked_array([_column([row.get(name) for row in rows])]) for name in names}
    text = json.dumps(_schema(tree, len(rows)), indent=1, ensure_ascii=False) + "\n"
    return columns, bad, TopicForm(topic, "json", ".schema.json", text)


def _flat(record: dict[str, Any], before: str, deep: int) -> Iterator[tuple[str, Any]]:
    """The single values of a record by their paths; lists and what lies too deep are none."""
    for name, value in record.items():
        if isinstance(value, dict):
            if deep:
                yield from _flat(value, f"{before}{name}.", deep - 1)
        elif not isinstance(value, list) and "." not in name:
            yield f"{before}{name}", value


def _column(values: Sequence[Any]) -> pa.Array:
    """Values of one type; of several types they are bytes, which no proposal reads."""
    kinds = {type(value) for value in values if value is not None}
    large = any(isinstance(value, int) and not -WHOLE <= value < WHOLE for value in values)
    if not kinds:
        return pa.nulls(len(values))
    if kinds <= {int, float} and not large:
        return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
    if len(kinds) == 1 and not large:
        return pa.array(values)
    return pa.array([None if value is None else str(value).encode() for value in values], pa.binary())


def _grow(tree: dict[str, Any], record: dict[str, Any], deep: int) -> None:
    """Take a record into a tree of names: how often each is there, of which types, and what lies in it."""
    for name, value in record.items():
        node = tree.setdefault(name, {"count": 0, "types": {}, "parts": {}, "objects": 0})
        node["count"] += 1
        node["types"][_word(value)] = None
        if isinstance(value, dict) and deep:
            node["objects"] += 1
            _grow(node["parts"], value, deep - 1)


def _word(value: object) -> str:
    words: dict[type, str] = {
        bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array",
    }  # fmt: skip  # one table
    return words.get(type(value), "null")


def _schema(tree: dict[str, Any], rows: int) -> dict[str, Any]:
    """JSON Schema of the objects that a tree was grown from."""
    properties = {}
    for name, node in tree.items():
        words = list(node["types"])
        if {"integer", "number"} <= set(words):
            words.remove("integer")
        inner: dict[str, Any] = {"type": words[0] if len(words) == 1 else words}
        if "object" in words:
            inner |= _schema(node["parts"], node["objects"])
        properties[name] = inner
    needed = [name for name, node in tree.items() if node["count"] == rows]
    return {"type": "object", "properties": properties, "required": needed}
