"""Writes rows to a topic, at a pace or as fast as the broker takes them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import ConfigurationError, ContractError
from headrace.operations.progress import Advance
from headrace.operations.tables.event_table import Rows
from headrace.operations.topics.rate import Pace
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.records.codec import Codec

BLOCK = 8_192
"""Rows that are encoded at a time."""
GRAIN = 0.001
"""Seconds: records that are due within one grain are sent together."""
HEED_S = 0.05
"""Longest wait before `stop` is looked at."""


class Publisher:
    """Writes rows to one topic, idempotently. Records carry the time of their writing, as Kafka's CreateTime.

    Args:
        clock: seconds, monotonic.
        stop: once set, no more records are begun; those begun are made durable.
    """

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        clock: Callable[[], float],
        stop: threading.Event,
        *,
        linger_ms: float = 5,
    ) -> None:
        self.channel = channel
        self.clock = clock
        self.stop = stop
        self.connection = connection
        self.linger_ms = linger_ms
        self.sent = 0

    def check(self, rows: Rows) -> None:
        """See before the first record is sent that all of them can be: encodes them once, a block at a time.

        Raises:
            ConfigurationError: one cannot; names the file's row.
        """
        first, codec = 0, self.channel.codec
        for columns in rows.columns.combine_chunks().to_batches(max_chunksize=BLOCK):
            try:
                values = codec.encode(columns)
            except ContractError as error:
                wrong, why = _wrong(codec, columns, error)
                raise ConfigurationError(f"row {rows.numbers[first + wrong]:,}: {why}") from None
            sizes = np.fromiter(map(len, values), np.int64, len(values))
            if sizes.max(initial=0) > codec.max_bytes:
                row = int(sizes.argmax())
                raise ConfigurationError(
                    f"row {rows.numbers[first + row]:,} takes {sizes[row]:,} bytes, and {self.channel.name} takes "
                    f"{codec.max_bytes:,} a record; shorten it, or take it out"
                )
            first += len(values)

    def publish(self, rows: Rows, pace: Pace | None = None, told: Advance = lambda _: None) -> int:
        """Write rows in their order; returns how many are durable when it ends: all, unless `stop` was set.

        Args:
            pace: when each is due, counted from this call; None writes them at once.
            told: called with the number of records sent since its last call.

        Raises:
            Transient: the broker did not acknowledge in time; a repeat may write some twice.
            ContractError: there is no such topic, or the broker or the schema refuses a record.
        """
        producer = Producer(self.connection, linger_ms=self.linger_ms)
        try:
            # Connected before the first record is due; a topic that is not there is said now.
            producer.partitions(self.channel.name)
            self._publish(producer, rows, pace, told)
            producer.flush()
        finally:
            producer.close()
        return self.sent

    def _publish(self, producer: Producer, rows: Rows, pace: Pace | None, told: Advance) -> None:
        started, first = None, 0
        for columns in rows.columns.combine_chunks().to_batches(max_chunksize=BLOCK):
            if self.stop.is_set():
                break
            values = self.channel.codec.encode(columns)
            keys = rows.keys.slice(first, len(values)).to_pylist()
            if started is None:
                # Not before: the first encoding may compile, and what is late by then would come in one burst.
                started = self.clock()
            if pace is None:
                self._send(producer, keys, values, told)
            else:
                due = pace.due(first, rows.times[first : first + len(values)]) + started
                self._send_on_time(producer, keys, values, due, told)
            first += len(values)

    def _send(self, producer: Producer, keys: list[str], values: list[bytes], told: Advance) -> None:
        producer.send(self.channel.name, keys, values)
        producer.poll()
        self.sent += len(values)
        told(len(values))

    def _send_on_time(
        self, producer: Producer, keys: list[str], values: list[bytes], due: npt.NDArray[np.float64], told: Advance
    ) -> None:
        done = 0
        while done < len(values) and not self.stop.is_set():
            now = self.clock()
            ready = int(np.searchsorted(due, now, "right"))
            if ready > done:
                self._send(producer, keys[done:ready], values[done:ready], told)
                done = ready
            else:
                self.stop.wait(min(max(due[done] - now, GRAIN), HEED_S))


def _wrong(codec: Codec, columns: pa.RecordBatch, error: ContractError) -> tuple[int, ContractError]:
    """The first row that cannot be written, of rows of which one cannot, and why."""
    low, high = 0, columns.num_rows
    while high - low > 1:
        middle = (low + high) // 2
        try:
            codec.encode(columns.slice(low, middle - low))
            low = middle
        except ContractError as nearer:
            high, error = middle, nearer
    return low, error
