"""The records of a topic as they come, for one reader or for the members of a group."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Literal

from headrace.errors import ConfigurationError
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.decode import Intake, take_in
from headrace.streaming.kafka.message import OFFSET_BEGINNING, Message, TopicPartition
from headrace.streaming.kafka.poll_result import told_apart

log = logging.getLogger("headrace.client")
Start = Literal["now", "beginning"] | datetime
TURN_S = 0.2
MOST = 5_000


def start_of(start: Start) -> Start:
    """The same; ConfigurationError for what is none."""
    if isinstance(start, datetime):
        if start.tzinfo is None:
            raise ConfigurationError(f"start {start.isoformat()} has no zone; give one")
    elif start not in ("now", "beginning"):
        raise ConfigurationError(f"start {start!r}: give 'now', 'beginning', or a datetime with a zone")
    return start


def taken_in(channel: Channel, messages: list[Message]) -> Intake:
    """Records of a topic, decoded; the log says which of them cannot be read."""
    intake = take_in(channel, messages)
    for bad in intake.rejects:
        log.warning("%s, offset %d, cannot be read: %s: %s", channel.name, bad.offset, bad.reason, bad.detail)
    return intake


class TopicStream:
    """Committed records of a topic, block by block.

    In a group, the partitions are shared out among its members, and a block is committed once the next one is asked
    for: a member that dies has its last block read again by others, so each record is seen at least once.

    Args:
        start: where partitions begin: now, at the beginning, or with the first record that was written at or after a
            moment. In a group, for those of which it has committed nothing.
        group: of consumers; None reads all partitions and commits nothing.

    Raises:
        Transient: Kafka does not answer.
        ContractError: there is no such topic, or the group may not read it.
    """

    def __init__(self, connection: Connection, channel: Channel, start: Start, group: str | None = None) -> None:
        self._channel = channel
        self._start = start
        self._grouped = group is not None
        self._done: dict[int, int] = {}
        self._clock = connection.library.monotonic
        self._consumer = Consumer(connection, group=group, partition_eof=False)
        with ExitStack() as unless_open:
            unless_open.callback(self._consumer.close)
            count = self._consumer.partitions(channel.name)
            if group is None:
                self._consumer.assign(self._places([TopicPartition(channel.name, each) for each in range(count)]))
            else:
                self._consumer.subscribe([channel.name], self._assigned, self._revoked, self._revoked)
            unless_open.pop_all()

    def blocks(self, until_idle: float | None = None) -> Iterator[list[dict[str, Any]]]:
        """Rows as Arrow gives them; an empty block now and then where nothing comes, so that whoever reads can end.

        Args:
            until_idle: ends once nothing came for so many seconds.

        Raises ContractError when the topic cannot be read any more.
        """
        heard = self._clock()
        while True:
            self._commit()
            readable, _ = told_apart(self._consumer.burst(MOST, TURN_S), self._channel.name)
            if readable:
                heard = self._clock()
                intake = taken_in(self._channel, readable)
                yield intake.batch.columns.to_pylist()
                self._done |= {partition: last + 1 for partition, (_, last, _) in intake.ends.items()}
            elif until_idle is not None and self._clock() - heard > until_idle:
                return
            else:
                yield []

    def close(self) -> None:
        """Commit what was taken, and leave."""
        self._commit()
        self._consumer.close()

    def _commit(self) -> None:
        if self._grouped and self._done:
            self._consumer.commit([TopicPartition(self._channel.name, part, at) for part, at in self._done.items()])
        self._done = {}

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        known = self._consumer.committed(partitions)
        new = {each.partition: each for each in self._places([each for each in known if each.offset < 0])}
        self._consumer.take_over([new.get(each.partition, each) for each in known])

    def _revoked(self, _: list[TopicPartition]) -> None:
        """What was taken is committed before records are polled, which is when this is called."""

    def _places(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Where to begin."""
        name, start = self._channel.name, self._start
        if start == "beginning":
            return [TopicPartition(name, each.partition, OFFSET_BEGINNING) for each in partitions]
        ends = {each.partition: self._consumer.watermarks(name, each.partition)[1] for each in partitions}
        if isinstance(start, datetime) and partitions:
            moment = int(start.timestamp() * 1000)
            asked = [TopicPartition(name, each.partition, moment) for each in partitions]
            for each in self._consumer.offsets_for_times(asked):
                ends[each.partition] = each.offset if each.offset >= 0 else ends[each.partition]
        return [TopicPartition(name, partition, offset) for partition, offset in ends.items()]
