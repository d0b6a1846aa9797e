"""Fact topics (plans): compacted, read whole and in order by every member, without a group."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from services.kit.batch import Batch
from services.kit.channels import Channel
from services.kit.errors import ContractError
from services.kit.kafka import OFFSET_BEGINNING, Connection, Consumer, Message, TopicPartition, place
from services.kit.polled import Patience, told_apart


class Facts:
    """Follows one fact topic from its beginning."""

    def __init__(self, connection: Connection, channel: Channel) -> None:
        self.channel = channel
        self.consumer = Consumer(connection)
        self.partitions = self.consumer.partitions(channel.name)
        self.consumer.assign(
            [TopicPartition(channel.name, partition, OFFSET_BEGINNING) for partition in range(self.partitions)]
        )

    def whole(self, timeout: float = 60.0) -> Iterator[Batch]:
        """Everything that is there now; Transient when nothing comes for `timeout` seconds before the topic's end."""
        ended: set[int] = set()
        patience = Patience(self.channel.name, timeout)
        while len(ended) < self.partitions:
            records, ends = told_apart(self.consumer.poll(1_000, 0.1), self.channel.name)
            patience.note(bool(records or ends))
            ended.update(ends)
            yield from self._decoded(records)

    def news(self) -> Iterator[Batch]:
        """What came since."""
        yield from self._decoded(told_apart(self.consumer.poll(1_000, 0), self.channel.name)[0])

    def _decoded(self, messages: list[Message]) -> Iterator[Batch]:
        records = [message for message in messages if message.value() is not None]
        if not records:
            return
        decoded = self.channel.codec.decode([record.value() for record in records])
        if decoded.bad:
            bad = decoded.bad[0]
            partition, offset = place(records[bad.row])
            raise ContractError(f"{self.channel.name}[{partition}]@{offset} is no fact we can read: {bad.detail}")
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
