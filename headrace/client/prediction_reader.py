"""Whoever awaits predictions: one reader of all answers, and who is told of which."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from headrace.client.errors import NotAnswered, Refused
from headrace.client.prediction import Prediction, prediction_of
from headrace.client.topic_stream import MOST, taken_in
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ContractError, HeadraceError, Transient
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import Message, TopicPartition
from headrace.streaming.kafka.poll_result import told_apart

log = logging.getLogger("headrace.client")
TURN_S = 0.05
"""Longest time between two looks at deadlines."""
SEE = "; see `headrace lag`, and the topic of predictions later on"


@dataclass(eq=False, slots=True)
class AwaitedEvent:
    """An event whose prediction somebody awaits.

    Attributes:
        event_id: as text.
        value: what was published, byte for byte.
        until: when nobody awaits it any more, seconds, monotonic.
        durable: whether the broker has it.
    """

    event_id: str
    value: bytes
    until: float
    durable: bool = False
    future: Future[Prediction] = field(default_factory=Future)

    def settle(self, found: Prediction | HeadraceError) -> None:
        """Tell it; nobody, where it was cancelled."""
        if not self.future.set_running_or_notify_cancel():
            return
        if isinstance(found, Prediction):
            self.future.set_result(found)
        else:
            self.future.set_exception(found)


class PredictionReader:
    """Reads predictions and dead letters from their ends on, on a thread of its own, and tells whoever awaits one.

    It begins with the first event that is awaited, and knows where the topics end before that is published. Safe for
    any number of threads.

    Args:
        connection: to the cluster.
        contracts: of the pipeline.
    """

    def __init__(self, connection: Connection, contracts: Contracts) -> None:
        self._connection = connection
        self._clock = connection.library.monotonic
        self._classes = contracts.pipeline.model.classes
        self._predictions = contracts.channel("predictions")
        self._letters = contracts.channel("dead-letters")
        self._events = contracts.channel("events")
        self._features = contracts.channel("features")
        self._lock = threading.Lock()
        self._awaited: dict[str, list[AwaitedEvent]] = {}
        self._closed = threading.Event()
        self._failure: HeadraceError | None = None
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None

    def ask(self, event_id: str, key: str, value: bytes, within: float) -> Future[Prediction]:
        """Publish an event, encoded, and await its prediction for so many seconds.

        Raises:
            Transient: Kafka does not answer; nothing was published.
            ContractError: there is no such topic, or it cannot be read or written.
        """
        with self._lock:
            producer = self._producer or self._open()
            if self._failure is not None:
                raise self._failure
            event = AwaitedEvent(event_id, value, self._clock() + within)
            self._awaited.setdefault(event_id, []).append(event)
        try:
            producer.send_one(self._events.name, key, value, delivered=lambda *_: _durable(event))
        except HeadraceError:
            with self._lock:
                self._forget(event)
            raise
        return event.future

    def close(self) -> None:
        """Tell whoever still waits that nobody will answer."""
        with self._lock:
            self._closed.set()
            thread = self._thread
        if thread is not None:
            thread.join()

    # ---- the reader ----------------------------------------------------------------------------------------------

    def _open(self) -> Producer:
        if self._closed.is_set():
            raise ContractError("the client was closed")
        with ExitStack() as unless_open:
            consumer = Consumer(self._connection, partition_eof=False)
            unless_open.callback(consumer.close)
            producer = Producer(self._connection, linger_ms=0, reports=True)
            unless_open.callback(producer.close)
            producer.partitions(self._events.name)
            names = [channel.name for channel in (self._predictions, self._letters)]
            places = [(name, each) for name in names for each in range(consumer.partitions(name))]
            consumer.assign([TopicPartition(name, each, consumer.watermarks(name, each)[1]) for name, each in places])
            unless_open.pop_all()
        self._consumer, self._producer = consumer, producer
        self._thread = threading.Thread(target=self._read, name="headrace-answers", daemon=True)
        self._thread.start()
        return producer

    def _read(self) -> None:
        assert self._consumer is not None
        assert self._producer is not None
        why: HeadraceError | None = None
        try:
            while not self._closed.is_set():
                self._turn(self._consumer, self._producer)
        except HeadraceError as error:
            log.error("predictions are not read any more: %s", error)
            why = error
        with self._lock:
            self._failure = why or ContractError("the client was closed")
        closed = "the client was closed"
        rest = self._those(lambda event: True)
        self._settle(rest, lambda event: why or NotAnswered(event.event_id, f"{closed}; {_whereabouts(event)}"))
        self._consumer.close()
        self._producer.close()

    def _turn(self, consumer: Consumer, producer: Producer) -> None:
        records, _ = told_apart(consumer.burst(MOST, TURN_S), "the topic of answers")
        by_topic: dict[str, list[Message]] = {}
        for record in records:
            by_topic.setdefault(str(record.topic()), []).append(record)
        if found := by_topic.get(self._predictions.name):
            self._take_predictions(taken_in(self._predictions, found).batch.columns)
        if found := by_topic.get(self._letters.name):
            self._take_letters(taken_in(self._letters, found).batch.columns.to_pylist())
        producer.poll()
        if producer.failure is not None:
            failure, producer.failure = producer.failure, None
            lost = self._those(lambda event: not event.durable)
            self._settle(lost, lambda event: Transient(f"event {event.event_id} was not taken: {failure}"))
        now = self._clock()
        late = self._those(lambda event: event.until <= now)
        self._settle(late, lambda event: NotAnswered(event.event_id, f"none came in time; {_whereabouts(event)}{SEE}"))

    def _those(self, wanted: Callable[[AwaitedEvent], bool]) -> list[AwaitedEvent]:
        with self._lock:
            return [event for events in self._awaited.values() for event in events if wanted(event)]

    def _take_predictions(self, columns: pa.RecordBatch) -> None:
        ids = columns.column("event_id").to_pylist()
        with self._lock:
            rows = [row for row, event_id in enumerate(ids) if event_id in self._awaited]
            found = [(self._awaited.pop(ids[row], []), row) for row in rows]
        for events, row in found:
            if events:
                prediction = prediction_of(columns.slice(row, 1).to_pylist()[0], self._classes)
                for event in events:
                    event.settle(prediction)

    def _take_letters(self, letters: Iterable[Mapping[str, Any]]) -> None:
        for letter in letters:
            value = letter["value"]
            if letter["topic"] == self._events.name and letter["service"] == "enrich":
                found = self._those(_published_as(value))
            elif letter["topic"] == self._features.name and letter["service"] == "score":
                of = self._features.codec.decode([value]).columns.column("event_id").to_pylist()
                with self._lock:
                    found = [event for event_id in of for event in self._awaited.get(event_id, [])]
            else:
                continue
            why = letter["reason"], letter["detail"], letter["service"]
            self._settle(found, lambda event, why=why: Refused(event.event_id, *why))

    def _settle(self, events: list[AwaitedEvent], what: Any) -> None:
        for event in events:
            with self._lock:
                there = self._forget(event)
            if there:
                event.settle(what(event))

    def _forget(self, event: AwaitedEvent) -> bool:
        """Whether it was awaited."""
        others = self._awaited.get(event.event_id, [])
        if event not in others:
            return False
        others.remove(event)
        if not others:
            del self._awaited[event.event_id]
        return True


def _durable(event: AwaitedEvent) -> None:
    event.durable = True


def _published_as(value: bytes) -> Callable[[AwaitedEvent], bool]:
    return lambda event: event.value == value


def _whereabouts(event: AwaitedEvent) -> str:
    return "it is on the topic of events" if event.durable else "it is not known whether the broker has it"
