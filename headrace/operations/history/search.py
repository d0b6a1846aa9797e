"""Looks for the few records of a topic that are about one event, without decoding the others.

An id stands in an Avro record as its bytes, so a record without those bytes is not about it. What remains is decoded
and compared. Where a topic is keyed, the key says which partition to look in; where times are known, where to begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.partitioner import partitions_of
from headrace.errors import ContractError
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.decode import take_in
from headrace.streaming.kafka.message import Message, headers
from headrace.streaming.kafka.reader import Range, messages, ranges

kernels: Any = pc  # its stubs know too few of the overloads

SLACK_MS = 60_000
"""Clocks of brokers and services may differ by this much."""


@dataclass(frozen=True, slots=True)
class TracedRecord:
    """A record that is about the event.

    Attributes:
        topic: on the broker.
        partition, offset: its place.
        timestamp: Kafka's, milliseconds since the epoch.
        headers: name and value of each, in order; None where their names are no text.
        row: its value, decoded.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    headers: list[tuple[str, bytes | None]] | None
    row: dict[str, Any]

    @property
    def place(self) -> str:
        """`topic[partition]@offset`."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


@dataclass(frozen=True, slots=True)
class Seeker:
    """Looks into topics of one cluster.

    Attributes:
        connection: the cluster.
        progress: told the topic and how many records were looked at, often.
    """

    connection: Connection
    progress: Callable[[str, int], None] = lambda topic, records: None

    def seek(
        self,
        channel: Channel,
        patterns: Sequence[bytes],
        matches: Callable[[pa.RecordBatch], pa.BooleanArray],
        *,
        key: str | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> list[TracedRecord] | None:
        """The committed records that match, by Kafka's time stamps; None where the topic was never set up.

        Args:
            channel: the topic.
            patterns: a record without any of these bytes is none; an empty pattern lets all pass.
            matches: which of the decoded rows are.
            key: look only into the partition that records of this key are in.
            start, stop: only at records written from then until then, milliseconds since the epoch; the clocks'
                differences are allowed for.

        Raises:
            Transient: Kafka does not answer.
        """
        try:
            wanted = ranges(self.connection, channel.name, start and start - SLACK_MS, stop and stop + SLACK_MS)
        except ContractError:
            return None
        if key is not None:
            (own,) = partitions_of(pa.array([key]), len(wanted)).tolist()
            wanted = [part for part in wanted if part.partition == own]
        found = list(self._found(channel, wanted, patterns, matches))
        return sorted(found, key=lambda record: (record.timestamp, record.partition, record.offset))

    def _found(
        self,
        channel: Channel,
        wanted: list[Range],
        patterns: Sequence[bytes],
        matches: Callable[[pa.RecordBatch], pa.BooleanArray],
    ) -> Iterator[TracedRecord]:
        for records in messages(self.connection, channel.name, wanted):
            self.progress(channel.logical, len(records))
            suspects = suspicious(records, patterns)
            if not suspects:
                continue
            batch = take_in(channel, suspects).batch
            rows = kernels.indices_nonzero(kernels.fill_null(matches(batch.columns), False))
            by_place = {(record.partition(), record.offset()): record for record in suspects} if len(rows) else {}
            for row in rows.to_pylist():
                partition, offset = int(batch.partition[row]), int(batch.offset[row])
                (values,) = batch.columns.slice(row, 1).to_pylist()
                carried = headers(by_place[partition, offset])
                yield TracedRecord(channel.name, partition, offset, int(batch.timestamp[row]), carried, values)


def suspicious(records: list[Message], patterns: Sequence[bytes]) -> list[Message]:
    """The records whose values hold one of the patterns."""
    values = list(map(Message.value, records))
    rows: set[int] = set()
    for pattern in patterns:
        rows.update(row for row, value in enumerate(values) if value is not None and pattern in value)
    return [records[row] for row in sorted(rows)]


def text_pattern(text: str) -> bytes:
    r"""A text as Avro writes it.

    >>> text_pattern("17")
    b'\x0417'
    """
    letters = text.encode()
    return number_pattern(len(letters)) + letters


def number_pattern(number: int) -> bytes:
    r"""A whole number as Avro writes it: zigzag, seven bits a byte, lowest first.

    >>> number_pattern(-1), number_pattern(64)
    (b'\x01', b'\x80\x01')
    """
    rest = (number << 1) ^ (number >> 63)
    written = bytearray()
    while rest > 0x7F:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*written, rest])


def equal(column: str, text: str) -> Callable[[pa.RecordBatch], pa.BooleanArray]:
    """Rows whose column, as text, is this."""
    return lambda columns: kernels.equal(columns.column(column).cast(pa.string()), text)
