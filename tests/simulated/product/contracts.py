"""The pipeline that the product's services have in the simulator, and its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import schemas
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.pipeline.workspace import Workspace
from headrace.streaming.contracts.schemas import Schema, load_schema
from headrace.streaming.kafka.bindings import Channel

PIPELINE = Path(__file__).parent / "parcels.yaml"
REVISED = Path(__file__).parent / "parcels_revised.yaml"
FORMER: Mapping[str, str] = {
    "parcels_revised.yaml": "parcels.yaml",
    "shipments_revised.yaml": "shipments.yaml",
    "shipments_shared.yaml": "shipments.yaml",
    "labelled_revised.yaml": "labelled.yaml",
}
"""By file of a second revision, that of the first."""


class FirstIds:
    """Each subject has a schema for each revision of the pipeline, whose id is that of the first that has it.

    Args:
        known: by subject, of the first revision, and those of the second where there is one.
    """

    def __init__(self, *known: Mapping[str, Schema]) -> None:
        self._known = known

    def id_of(self, subject: str, schema: Schema) -> int:
        """As `SchemaIds.id_of`."""
        return next(number for number, known in enumerate(self._known, 1) if known.get(subject) == schema)

    def writers(self, subject: str) -> Mapping[int, Schema]:
        """As `SchemaIds.writers`."""
        return {number: known[subject] for number, known in enumerate(self._known, 1) if subject in known}


@dataclass(frozen=True, slots=True)
class ReadContracts(Contracts):
    """As `Contracts`, for many members of one process: a channel is made once, which takes longer than a schedule."""

    path: Path = PIPELINE

    def channel(self, logical: str) -> Channel:
        known = f"{self.pipeline.name}.{logical}-value" in contracts(self.path).schemas
        if not (known or logical in self.pipeline.feeds):  # of the revision before
            return Contracts.channel(self, logical)
        return _channel(logical, self.path)


@cache
def contracts(path: Path = PIPELINE) -> Contracts:
    """Of the pipeline of a file."""
    workspace = Workspace.of(path)
    pipeline = load(path, workspace)
    known = schemas(pipeline, workspace)
    loaded = {subject: load_schema(definition) for subject, definition in known.items()}
    ids = FirstIds(loaded)
    if pipeline.revision > 1:
        before = contracts(path.with_name(FORMER[path.name])).schemas
        ids = FirstIds({subject: load_schema(definition) for subject, definition in before.items()}, loaded)
    return ReadContracts(pipeline, workspace, ids, known, path)


@cache
def _channel(logical: str, path: Path) -> Channel:
    found = Contracts.channel(contracts(path), logical)
    # Scenes call all topics alike, a producer's own as well.
    return replace(found, name=f"{contracts(path).pipeline.name}.{logical}")


def schema(logical: str, path: Path = PIPELINE) -> pa.Schema:
    """The columns of a topic."""
    found: pa.Schema = _channel(logical, path).codec.reader.arrow
    return found


def encode(logical: str, row: Mapping[str, Any], path: Path = PIPELINE) -> bytes:
    """The value of one record."""
    columns = pa.RecordBatch.from_pylist([row], schema=schema(logical, path))
    value: bytes = _channel(logical, path).codec.encode(columns)[0]
    return value


def decode(logical: str, values: Sequence[bytes], path: Path = PIPELINE) -> list[dict[str, Any]]:
    """The rows of records; times are milliseconds."""
    decoded = _channel(logical, path).codec.decode(values)
    assert not decoded.bad, decoded.bad
    return rows_of(decoded.columns)


def rows_of(columns: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of columns; times are milliseconds since the epoch."""
    names = columns.schema.names
    plain = [column.cast(_plain(column.type)) for column in columns.columns]
    found: list[dict[str, Any]] = pa.RecordBatch.from_arrays(plain, names=names).to_pylist()
    return found


def _plain(kind: Any) -> Any:
    """A type without times, of which Python knows microseconds."""
    if pa.types.is_timestamp(kind):
        return pa.int64()
    if pa.types.is_struct(kind):
        return pa.struct([part.with_type(_plain(part.type)) for part in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain(kind.value_type)))
    return kind
