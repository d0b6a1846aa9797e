"""What is read of a producer's records: columns by path, and how a record is told from a deletion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from headrace.streaming.records.feed.shape import Group, Scalar, ShapePart, TimeNotation

ColumnKind = Literal["integer", "number", "string", "boolean", "time"]

ARROW: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("ms", tz="UTC"),
}
AVRO: dict[str, object] = {
    "integer": "long",
    "number": "double",
    "string": "string",
    "boolean": "boolean",
    "time": {"type": "long", "logicalType": "timestamp-millis"},
}
"""The types that columns have on headrace's own topics."""


@dataclass(frozen=True, slots=True)
class FeedColumn:
    """A column, and where it lies in a record.

    Attributes:
        name: of the column.
        path: names of the groups and the value.
        parts: what the schema says of all on the way, and of itself.
        scalar: what the value is in the record.
        kind: what the column holds.
        time: how it tells a time, for a column of times.
        nullable: whether null may stand there.
        optional: whether it may be left out; its column is null then.
    """

    name: str
    path: tuple[str, ...]
    scalar: Scalar
    kind: ColumnKind
    time: TimeNotation | None = None
    nullable: bool = False
    optional: bool = False
    parts: tuple[ShapePart, ...] = ()

    @property
    def place(self) -> str:
        """The path as people write it."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A change of a row, as Debezium tells it: what was done, and the row behind it.

    Attributes:
        operation: where the word stands: `c`, `u`, `r` (read in a snapshot) or `d`.
        row: where the row stands; null where it was deleted.
    """

    operation: tuple[str, ...]
    row: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeedForm:
    """How the records of a producer's topic become columns.

    Attributes:
        format: of `headrace.streaming.kafka.bindings.FEEDS`.
        shape: what the producer's schema says.
        columns: what is read.
        envelope: None where each record is an event.
        skips_deletes: whether deletions and tombstones are left out and counted, not refused.
        skips_others: whether records of other subjects are left out and counted, not refused.
        subjects: of the schema registry that ids in records may belong to; none: what the topic's name says.
        message: indexes of the message within its file, as Protobuf's framing has them.
    """

    format: str
    shape: Group
    columns: tuple[FeedColumn, ...]
    envelope: Envelope | None = None
    skips_deletes: bool = False
    skips_others: bool = False
    subjects: tuple[str, ...] = ()
    message: tuple[int, ...] = (0,)
