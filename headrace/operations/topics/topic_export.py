"""A topic's records as a Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.operations.progress import Advance, ProgressView
from headrace.operations.tables.parquet_draft import ParquetDraft
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, ranges, read
from headrace.streaming.records.batch import Batch

PLACES = (
    pa.field("_key", pa.binary()),
    pa.field("_partition", pa.int32()),
    pa.field("_offset", pa.int64()),
    pa.field("_timestamp", pa.timestamp("ms", tz="UTC")),
)
"""Columns beside the topic's own: where each record lies, its key, and Kafka's time stamp."""


@dataclass(frozen=True, slots=True)
class ExportedTopic:
    """What was written; `ranges` are (partition, start, stop) of what was read."""

    file: str
    topic: str
    records: int
    unreadable: int
    ranges: Sequence[tuple[int, int, int]]


def export_topic(
    connection: Connection, channel: Channel, start: int | None, stop: int | None, out: Path, progress: ProgressView
) -> ExportedTopic:
    """Write what a topic holds now, by Kafka's time stamps; those that cannot be read are left out and counted."""
    wanted = ranges(connection, channel.name, start, stop)
    with progress.count(f"from {channel.name}", None) as advance:
        records, unreadable = _write(connection, channel, wanted, out, advance)
    places = [(part.partition, part.start, part.stop) for part in wanted]
    return ExportedTopic(str(out), channel.name, records, unreadable, places)


def _write(
    connection: Connection, channel: Channel, wanted: list[Range], out: Path, advance: Advance
) -> tuple[int, int]:
    """Write ranges of a topic; (records written, unreadable ones). The file appears whole or not at all."""
    schema = pa.schema([*channel.codec.reader.arrow, *PLACES])
    draft = ParquetDraft(out, schema)
    unreadable = 0
    try:
        for intake in read(connection, channel, wanted):
            unreadable += len(intake.rejects)
            draft.write(_with_places(intake.batch, schema))
            advance(len(intake.batch))
        draft.finish()
    finally:
        draft.discard()
    return draft.written, unreadable


def _with_places(batch: Batch, schema: pa.Schema) -> pa.RecordBatch:
    stamps = pa.array(np.asarray(batch.timestamp)).cast(schema.field("_timestamp").type)
    places = [batch.keys, pa.array(batch.partition), pa.array(batch.offset), stamps]
    return pa.RecordBatch.from_arrays([*batch.columns.columns, *places], schema=schema)
