"""Reading a topic as it grows, or its last few records, for people who watch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import isfinite
from typing import Any

import pyarrow as pa

from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.decode import take_in
from headrace.streaming.kafka.message import OFFSET_BEGINNING, TopicPartition
from headrace.streaming.kafka.poll_result import told_apart
from headrace.streaming.kafka.reader import Range, ranges, read
from headrace.streaming.records.batch import Batch

SLACK = 4
"""A committed record may have this many offsets: under light load every transaction's marker takes one."""


class Follower:
    """Committed records of a topic from some offsets on, without a group.

    Args:
        starts: offset by partition; None starts at the beginning.
    """

    def __init__(self, connection: Connection, channel: Channel, starts: dict[int, int] | None = None) -> None:
        self.channel = channel
        self._consumer = Consumer(connection, partition_eof=False)
        if starts is None:
            starts = dict.fromkeys(range(self._consumer.partitions(channel.name)), OFFSET_BEGINNING)
        self._consumer.assign([TopicPartition(channel.name, partition, start) for partition, start in starts.items()])

    def poll(self, timeout: float, most: int = 5_000) -> Batch | None:
        """What is there, waiting up to `timeout` seconds for the first; None when nothing came.

        Raises ContractError when the topic cannot be read any more.
        """
        readable, _ = told_apart(self._consumer.burst(most, timeout), self.channel.name)
        return take_in(self.channel, readable).batch if readable else None

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def tail(connection: Connection, channel: Channel, count: int) -> tuple[list[Range], dict[int, int]]:
    """Ranges that hold at least the last `count` records of every partition as a rule, and where they end."""
    whole = ranges(connection, channel.name)
    back = SLACK * count + 10
    return (
        [Range(part.partition, max(part.start, part.stop - back), part.stop) for part in whole],
        {part.partition: part.stop for part in whole},
    )


def newest(connection: Connection, channel: Channel, wanted: list[Range], limit: int) -> pa.Table:
    """The newest `limit` records of some ranges by Kafka's time stamps, oldest first."""
    found = [
        pa.Table.from_batches([intake.batch.columns]).append_column("_at", pa.array(intake.batch.timestamp))
        for intake in read(connection, channel, wanted)
    ]
    if not found:
        return pa.Table.from_batches([], channel.codec.reader.arrow)
    whole = pa.concat_tables(found)
    whole = whole.take(pa.compute.sort_indices(whole.column("_at")))
    return whole.slice(max(whole.num_rows - limit, 0)).drop_columns(["_at"])


def documents(columns: pa.RecordBatch | pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as JSON can write them: times in ISO 8601, bytes as text, no NaN."""
    for row in columns.to_pylist():
        yield {name: plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """A value of an Arrow row as JSON has it.

    >>> plain({"score": float("nan"), "key": b"17"})
    {'score': None, 'key': '17'}
    """
    match value:
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case bytes():
            return value.decode(errors="replace")
        case float() if not isfinite(value):
            return None
    return value
