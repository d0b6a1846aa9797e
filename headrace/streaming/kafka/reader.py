"""Reading a range of a topic, once, without a group: for training, export and tests. Committed records only."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.decode import Intake, take_in
from headrace.streaming.kafka.message import Message, TopicPartition, place
from headrace.streaming.kafka.poll_result import Patience, told_apart

AT_ONCE = 10_000
"""Records that are taken from the consumer at a time, at most."""


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets of one partition: from `start` up to, not including, `stop`."""

    partition: int
    start: int
    stop: int


def ranges(connection: Connection, topic: str, start_ms: int | None = None, stop_ms: int | None = None) -> list[Range]:
    """What a topic holds now, or the part of it whose Kafka timestamps lie in [start_ms, stop_ms)."""
    consumer = Consumer(connection)
    try:
        partitions = range(consumer.partitions(topic))
        bounds = {partition: consumer.watermarks(topic, partition) for partition in partitions}

        def at(time: int | None, otherwise: dict[int, int]) -> dict[int, int]:
            if time is None:
                return otherwise
            asked = consumer.offsets_for_times([TopicPartition(topic, partition, time) for partition in partitions])
            return {tp.partition: tp.offset if tp.offset >= 0 else bounds[tp.partition][1] for tp in asked}

        starts = at(start_ms, {partition: low for partition, (low, _) in bounds.items()})
        stops = at(stop_ms, {partition: high for partition, (_, high) in bounds.items()})
        return [
            Range(partition, starts[partition], max(starts[partition], stops[partition])) for partition in partitions
        ]
    finally:
        consumer.close()


def read(
    connection: Connection, channel: Channel, wanted: list[Range], timeout: float = 60.0, at: int = 0
) -> Iterator[Intake]:
    """The records of the ranges, all of them, in batches, each partition in order; numbered as the input `at`.

    Raises Transient when nothing comes for `timeout` seconds, ContractError when a partition cannot be read: a topic
    that is gone, records that were deleted meanwhile, a right that is missing.
    """
    for records in messages(connection, channel.name, wanted, timeout):
        yield take_in(channel, records, at)


def messages(
    connection: Connection, topic: str, wanted: list[Range], timeout: float = 60.0
) -> Generator[list[Message], None, None]:
    """As `read`, without decoding anything: for whoever looks for few records among many.

    Whoever does not read to the end closes it: a consumer stays open as long.
    """
    consumer = Consumer(connection)
    stops = {part.partition: part.stop for part in wanted if part.stop > part.start}
    try:
        consumer.assign(
            [TopicPartition(topic, part.partition, part.start) for part in wanted if part.partition in stops]
        )
        patience = Patience(topic, timeout, connection.library.monotonic())
        while stops:
            polled, ends = told_apart(consumer.poll(AT_ONCE, 0.1), topic)
            patience.note(bool(polled or ends), connection.library.monotonic())
            records = []
            for message in polled:
                partition, offset = place(message)
                stop = stops.get(partition, 0)
                if offset < stop:
                    records.append(message)
                if offset >= stop - 1:
                    stops.pop(partition, None)
            # The offsets at the end of a range may be control records, which are never delivered. An end before the
            # range's is none of ours: a transaction is still open there, or a broker that took over lags behind.
            for partition, end in ends.items():
                if end >= stops.get(partition, 0):
                    stops.pop(partition, None)
            if records:
                yield records
    finally:
        consumer.close()


def read_topic(
    connection: Connection, channel: Channel, start_ms: int | None = None, stop_ms: int | None = None
) -> tuple[pa.Table, list[Range]]:
    """All readable records of a range, as `read_table`, with what was read: the lineage of whoever uses it."""
    wanted = ranges(connection, channel.name, start_ms, stop_ms)
    return read_table(connection, channel, wanted), wanted


def read_table(connection: Connection, channel: Channel, wanted: list[Range]) -> pa.Table:
    """The readable records of ranges as a table: the topic's columns and three more.

    These are `_partition` (int32), `_offset` (int64) and `_timestamp` (int64, ms).
    """
    places = [("_partition", pa.int32()), ("_offset", pa.int64()), ("_timestamp", pa.int64())]
    schema = pa.schema([*channel.codec.reader.arrow, *(pa.field(name, kind) for name, kind in places)])
    batches = []
    for intake in read(connection, channel, wanted):
        batch = intake.batch
        extra = [pa.array(np.asarray(column)) for column in (batch.partition, batch.offset, batch.timestamp)]
        batches.append(pa.RecordBatch.from_arrays([*batch.columns.columns, *extra], schema=schema))
    return pa.Table.from_batches(batches, schema=schema)
