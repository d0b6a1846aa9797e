"""A topic followed as its committed records become readable, with the moment at which each did."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType

from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.decode import Intake, take_in
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.kafka.poll_result import told_apart


class Follower:
    """A read_committed reader of a whole topic, without a group.

    Args:
        channel: what to read.
        from_end: only what is written from now on.
    """

    partitions: int
    """How many the topic has."""

    def __init__(self, connection: Connection, channel: Channel, from_end: bool = False) -> None:
        self.channel = channel
        self._consumer = Consumer(connection)
        self.partitions = self._consumer.partitions(channel.name)
        self._ends: dict[int, int] = {}
        bounds = {part: self._consumer.watermarks(channel.name, part) for part in range(self.partitions)}
        self._consumer.assign(
            [TopicPartition(channel.name, part, high if from_end else low) for part, (low, high) in bounds.items()]
        )

    def poll(self, timeout: float) -> tuple[float, Intake | None]:
        """What became readable, waiting for it up to `timeout` seconds; and when, in `time.monotonic` seconds."""
        messages = self._consumer.poll(1, timeout)
        if messages:
            messages += self._consumer.poll(10_000, 0)
        now = time.monotonic()
        messages, ends = told_apart(messages, self.channel.name)
        self._ends |= ends
        return now, take_in(self.channel, messages) if messages else None

    def rest(self) -> Iterator[Intake]:
        """What is there now and was not read; endless while a transaction stays open."""
        parts = range(self.partitions)
        highs = {part: self._consumer.watermarks(self.channel.name, part)[1] for part in parts}
        while any(self._ends.get(part, -1) < high for part, high in highs.items()):
            _, intake = self.poll(0.2)
            if intake is not None:
                yield intake

    def close(self) -> None:
        """Read no more."""
        self._consumer.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
