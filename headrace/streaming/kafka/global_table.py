"""Fact topics (plans): compacted, read whole and in order by every member, without a group.

A fact that nobody can read must not take away what holds: members go on with what they know, and say so.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from headrace.errors import Transient
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import OFFSET_BEGINNING, Message, TopicPartition, place
from headrace.streaming.kafka.poll_result import Patience, told_apart
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.records.batch import Batch

log = logger("facts")


class Facts:
    """Follows one fact topic from its beginning.

    Attributes:
        trouble: the newest fact when it cannot be read, and why; None when it can.
    """

    def __init__(self, connection: Connection, channel: Channel, metrics: Metrics) -> None:
        self.channel = channel
        self.metrics = metrics
        self.trouble: str | None = None
        self._waiting: list[Message] = []
        self._monotonic = connection.library.monotonic
        self.consumer = Consumer(connection)
        self.partitions = self.consumer.partitions(channel.name)
        self.consumer.assign(
            [TopicPartition(channel.name, partition, OFFSET_BEGINNING) for partition in range(self.partitions)]
        )

    def whole(self, timeout: float = 60.0) -> Iterator[Batch]:
        """Everything that is there now; Transient when nothing comes for `timeout` seconds before the topic's end."""
        ended: set[int] = set()
        patience = Patience(self.channel.name, timeout, self._monotonic())
        while len(ended) < self.partitions:
            records, ends = told_apart(self.consumer.poll(1_000, 0.1), self.channel.name)
            patience.note(bool(records or ends), self._monotonic())
            ended.update(ends)
            yield from self._decoded(records)

    def news(self) -> Iterator[Batch]:
        """What came since; kept for the next time when the registry that tells how to read it does not answer."""
        self._waiting += told_apart(self.consumer.poll(1_000, 0), self.channel.name)[0]
        if not self._waiting:
            return
        try:
            found = list(self._decoded(self._waiting))
        except Transient as reason:
            if self.trouble is None:
                self.trouble = f"{self.channel.name}: {reason}"
                log.warning("waiting", reason=self.trouble)
            return
        self._waiting = []
        yield from found

    def _decoded(self, messages: list[Message]) -> Iterator[Batch]:
        records = [message for message in messages if message.value() is not None]
        if not records:
            return
        decoded = self.channel.codec.decode([record.value() for record in records])
        self.trouble = None
        for bad in decoded.bad:
            partition, offset = place(records[bad.row])
            self.trouble = f"{self.channel.name}[{partition}]@{offset} is no fact that can be read: {bad.detail}"
            log.error("fact left out", reason=bad.reason, detail=self.trouble)
            self.metrics.facts_unreadable.labels(self.channel.logical, bad.reason).inc()
        records = [records[row] for row in decoded.rows.tolist()]
        if not records:
            return
        yield Batch(
            self.channel.logical,
            decoded.columns,
            pa.array([record.key() for record in records], pa.binary()),
            np.array([record.partition() for record in records], np.int32),
            np.array([record.offset() for record in records], np.int64),
            np.array([record.timestamp()[1] for record in records], np.int64),
        )

    def close(self) -> None:
        self.consumer.close()
