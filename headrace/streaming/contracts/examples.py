"""Examples beside the schemas: the good ones must survive a round trip, the bad ones must be refused.

`examples/good/<schema>/*.json` holds a record each, in JSON. `examples/bad/<schema>/*.json` holds `{"json": record}` or
`{"hex": record in Avro's bytes}` with a `why`. A check that has never failed proves nothing, hence the bad ones.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.columnar.avro.json_form import misfit, native
from headrace.errors import ConfigurationError, HeadraceError
from headrace.streaming.contracts.schemas import Schema, load_schema, undocumented
from headrace.streaming.records.avro_codec import AvroCodec
from headrace.streaming.records.codec import Codec

_ID = 1
_HEADER = bytes([0, 0, 0, 0, _ID])


def sweep(folder: Path) -> list[str]:
    """All that is wrong with a folder of schemas and their examples, each with its file; an empty list is good."""
    found: list[str] = []
    paths = sorted(folder.glob("*.avsc"))
    if not paths:
        found.append(f"{folder}: no schema (*.avsc)")
    for path in paths:
        try:
            schema = load_schema(path)
        except HeadraceError as error:
            found.append(str(error))
            continue
        if schema.name.rpartition(".")[2] != path.stem:
            found.append(f"{path}: the record is named {schema.name}, the file {path.stem}")
        found += [f"{path}: {place} has no doc" for place in undocumented(schema)]
        for kind, judge in (("good", _good), ("bad", _bad)):
            examples = sorted((folder / "examples" / kind / path.stem).glob("*.json"))
            if not examples:
                found.append(f"{path}: no {kind} example in examples/{kind}/{path.stem}")
            found += [f"{example}: {why}" for example in examples if (why := judge(schema, example))]
    known = {path.stem for path in paths}
    strays = [path for path in sorted(folder.glob("examples/*/*")) if path.name not in known]
    return found + [f"{path}: there is no {path.name}.avsc" for path in strays]


def plain(definition: Any) -> Any:
    """The definition without logical types, so that another reader gives the bare numbers."""
    match definition:
        case dict():
            return {key: plain(value) for key, value in definition.items() if key != "logicalType"}
        case list():
            return [plain(part) for part in definition]
        case _:
            return definition


class _Alone:
    """One schema under one id."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def id_of(self, subject: str, schema: Schema) -> int:
        return _ID

    def writers(self, subject: str) -> Mapping[int, Schema]:
        return {_ID: self.schema}


def _codec(schema: Schema) -> Codec:
    return AvroCodec(f"{schema.name}-value", schema, _Alone(schema))


def _other_library() -> Any:
    """A stranger's Avro library, which running services do without. ConfigurationError when it is not installed."""
    try:
        return import_module("fastavro")
    except ModuleNotFoundError:
        raise ConfigurationError(
            "examples are held against another Avro library: pip install 'headrace[local]'"
        ) from None


def _good(schema: Schema, path: Path) -> str:
    """Why an example is not good: it does not fit, or the two Avro libraries do not agree on it."""
    value = json.loads(path.read_text("utf-8"))
    if why := misfit(schema.record, value):
        return why
    codec = _codec(schema)
    columns = pa.RecordBatch.from_pylist([native(schema.record, value)], schema.arrow)
    [message] = codec.encode(columns)
    again = codec.decode([message])
    if again.bad or not again.columns.equals(columns):
        return f"does not survive a round trip: {again.bad or again.columns.to_pylist()}"
    # Bytes, not values: two writers of one record of one schema must agree, but for the blocks of arrays and maps.
    fastavro, other = _other_library(), io.BytesIO()
    parsed = fastavro.parse_schema(plain(schema.definition))
    fastavro.schemaless_writer(other, parsed, native(schema.record, value, dict))
    return "" if other.getvalue() == message[len(_HEADER) :] else "another Avro library writes it differently"


def _bad(schema: Schema, path: Path) -> str:
    """Why a bad example does not serve: it is accepted, or it is not an example."""
    example = json.loads(path.read_text("utf-8"))
    match example:
        case {"json": value, "why": str()}:
            return "" if misfit(schema.record, value) else "is accepted, though it is to be refused"
        case {"hex": str() as text, "why": str()}:
            decoded = _codec(schema).decode([_HEADER + bytes.fromhex(text)])
            return "" if decoded.bad else "is accepted, though it is to be refused"
        case _:
            return 'is not {"json": ..., "why": ...} or {"hex": ..., "why": ...}'
