"""Control events as they come, from a moment on; and one of one's own among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from headrace.domain.control.events import ControlEvent, read_event
from headrace.errors import InvalidRecord, Transient
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.decode import take_in
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.kafka.poll_result import told_apart

TURN_S = 0.2


class ControlTail:
    """Follows the control topic from its end at the moment of making.

    Raises ContractError when there is no such topic, Transient when Kafka does not answer.
    """

    def __init__(self, connection: Connection, channel: Channel) -> None:
        self._connection = connection
        self._channel = channel
        self._consumer = Consumer(connection)
        try:
            _, end = self._consumer.watermarks(channel.name, 0)
            self._consumer.assign([TopicPartition(channel.name, 0, end)])
        except BaseException:
            self._consumer.close()
            raise

    def say(self, event: ControlEvent) -> None:
        """Write an event, durably. Raises Transient when Kafka does not answer."""
        codec = self._channel.codec
        producer = Producer(self._connection)
        try:
            columns = pa.RecordBatch.from_pylist([event.row()], codec.reader.arrow)
            producer.send(self._channel.name, [event.pipeline], codec.encode(columns))
            producer.flush()
        finally:
            producer.close()

    def events(self, within: float) -> Iterator[ControlEvent]:
        """Events as they come. Transient once `within` seconds went by; whoever has what they want stops before."""
        monotonic = self._connection.library.monotonic
        end = monotonic() + within
        while monotonic() < end:
            yield from self._come()
        raise Transient(f"nothing within {within:g} s")

    def gathered(self, wanted: Callable[[ControlEvent], bool], within: float, after: float) -> list[ControlEvent]:
        """Events that are wanted: the first within so many seconds, and those `after` seconds behind it; or none."""
        monotonic = self._connection.library.monotonic
        end, found = monotonic() + within, list[ControlEvent]()
        while monotonic() < end:
            news = [event for event in self._come() if wanted(event)]
            if news and not found:
                end = monotonic() + after
            found += news
        return found

    def _come(self) -> list[ControlEvent]:
        """Those that come within a turn."""
        records, _ = told_apart(self._consumer.poll(100, TURN_S), self._channel.name)
        return [*events_in(take_in(self._channel, records).batch.columns)] if records else []

    def close(self) -> None:
        """Follow it no more."""
        self._consumer.close()


def events_in(columns: pa.RecordBatch) -> Iterator[ControlEvent]:
    """The events that records are; those that are none of our kinds are left out, as `read_event` has them."""
    for row in columns.to_pylist():
        try:
            event = read_event(row)
        except InvalidRecord:
            continue
        if event is not None:
            yield event
