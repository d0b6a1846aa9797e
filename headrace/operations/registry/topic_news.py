"""A topic of one partition, read on from where one has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from headrace.domain.control.events import ControlEvent
from headrace.domain.ledger.sources import rows_told
from headrace.errors import Fenced, Transient
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.errors import TransactionAborted
from headrace.streaming.kafka.reader import Range, ranges, read


class TopicNews:
    """What comes to a topic, from its beginning on.

    `unreadable`: records that were left out, a sentence each.
    """

    def __init__(self, connection: Connection, channel: Channel) -> None:
        self.unreadable: list[str] = []
        self._connection = connection
        self._channel = channel
        self._next = 0

    def rows(self) -> tuple[list[Mapping[str, Any]], bool]:
        """(records since the last call as `rows_told` has them, whether the topic was made anew and these are all).

        Raises ContractError where there is no such topic, Transient when Kafka does not answer; nothing changes then.
        """
        (held,) = ranges(self._connection, self._channel.name)
        anew = held.stop < self._next
        start = held.start if anew else max(held.start, self._next)
        found: list[tuple[int, Mapping[str, Any]]] = []
        bad = []
        for intake in read(self._connection, self._channel, [Range(held.partition, start, max(start, held.stop))]):
            bad += [f"{self._channel.name}@{each.offset}: {each.detail}" for each in intake.rejects]
            found += zip(intake.batch.offset.tolist(), rows_told(intake.batch.columns), strict=True)
        self.unreadable += bad
        self._next = max(start, held.stop)
        return [row for _, row in sorted(found, key=lambda one: one[0])], anew


def say_once(
    connection: Connection, channel: Channel, name: str, events: Callable[[], Sequence[ControlEvent]]
) -> Sequence[ControlEvent]:
    """Write events that are on the topic once, whoever else writes them at the same time; answers those written.

    Args:
        name: transactional id that all who may write them hold: who comes second fences the first, who wrote nothing.
        events: asked while the name is held; reads the topic and answers what it lacks.

    Raises:
        Transient: Kafka does not answer, or somebody else writes at this moment; whether they are there is known by the
            next call.
    """
    producer = Producer(connection, transactional_id=name)
    try:
        producer.init_transactions()
        found = events()
        if found:
            rows = pa.RecordBatch.from_pylist([each.row() for each in found], channel.codec.reader.arrow)
            producer.begin()
            producer.send(channel.name, [each.pipeline for each in found], channel.codec.encode(rows))
            producer.commit()
    except (Fenced, TransactionAborted) as other:
        raise Transient(f"somebody else writes as {name} at this moment: {other}") from other
    finally:
        producer.close()
    return found
