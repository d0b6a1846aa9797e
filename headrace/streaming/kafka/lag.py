"""How far consumer groups are behind, in records and in seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.streaming.kafka.admin import committed
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import TopicPartition, place
from headrace.streaming.kafka.poll_result import Patience, told_apart

COUNTED = 10_000
"""Up to this difference of offsets records are counted by reading them; above, the few control records do not show."""
PATIENCE_S = 20.0
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Lag:
    """A group's lag in one partition.

    Attributes:
        committed: the offset that it will read next; None when it never committed, which counts from the log's begin.
        end: the offset after the last committed record.
        records: not yet processed; exact up to a number, else the difference of offsets, control records and all.
        seconds: age of the oldest record not yet processed, by its Kafka time stamp; 0 when there is none.
        exact: whether the records were counted.
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    records: int
    seconds: float
    exact: bool = True


def measure(
    connection: Connection, groups: Mapping[str, Sequence[str]], now: float, counted: int = COUNTED
) -> list[Lag]:
    """The lag of groups by the topics that each reads; `now` in seconds since the epoch.

    `counted`: up to this difference of offsets records are counted by reading them.

    Raises:
        ContractError: a topic does not exist, or cannot be read.
        Transient: the broker does not answer.
    """
    consumer = Consumer(connection)
    try:
        found = []
        counts = {topic: consumer.partitions(topic) for topics in groups.values() for topic in topics}
        reached = {
            group: committed(connection, group, [(topic, part) for topic in topics for part in range(counts[topic])])
            for group, topics in groups.items()
        }
        for group, topic in ((group, topic) for group, topics in groups.items() for topic in topics):
            done = {part: offset for (name, part), offset in reached[group].items() if name == topic}
            bounds = {part: consumer.watermarks(topic, part) for part in range(counts[topic])}
            starts = {part: max(done.get(part, low), low) for part, (low, _) in bounds.items()}
            behind = {part: start for part, start in starts.items() if start < bounds[part][1]}
            heads = _heads(consumer, topic, behind, {part: high for part, (_, high) in bounds.items()}, counted)
            for part, (_, high) in bounds.items():
                records, stamp = heads.get(part, (0, None))
                seconds = 0.0 if stamp is None else max(now - stamp / 1000, 0.0)
                exact = high - starts[part] <= counted
                found.append(Lag(group, topic, part, done.get(part), high, records, seconds, exact))
        return found
    finally:
        consumer.close()


def _heads(
    consumer: Consumer, topic: str, starts: Mapping[int, int], ends: Mapping[int, int], counted: int
) -> dict[int, tuple[int, int | None]]:
    """For each partition (records from its start on, the first one's time stamp in ms)."""
    found: dict[int, tuple[int, int | None]] = dict.fromkeys(starts, (0, None))
    waiting = set(starts)
    consumer.assign([TopicPartition(topic, part, start) for part, start in starts.items()])
    # Another group's turn paused them, if it reads the same topic: librdkafka remembers that over an assignment.
    consumer.resume([TopicPartition(topic, part) for part in starts])
    patience = Patience(topic, PATIENCE_S, time.monotonic())
    while waiting:
        messages, at_end = told_apart(consumer.poll(5_000, POLL_S), topic)
        patience.note(bool(messages or at_end), time.monotonic())
        done = set()
        for message in messages:
            part, offset = place(message)
            if part not in waiting:
                continue
            records, stamp = found[part]
            span = ends[part] - starts[part]
            stamp = message.timestamp()[1] if stamp is None else stamp
            found[part] = (span if span > counted else records + 1, stamp)
            if span > counted or offset >= ends[part] - 1:
                done.add(part)
                waiting.discard(part)
        # All is known: it was counted, or is too long to count, or its end came, behind which nothing is committed.
        done |= waiting & at_end.keys()
        waiting -= done
        consumer.pause([TopicPartition(topic, part) for part in done])
    consumer.assign([])
    return found
