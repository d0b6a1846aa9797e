"""One pipeline of headrace, as a program uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from headrace.client.prediction import Prediction, prediction_of
from headrace.client.prediction_reader import PredictionReader
from headrace.client.topic_stream import Start, TopicStream, start_of
from headrace.client.typed_rows import typed_rows
from headrace.domain.pipeline.spec import Labels
from headrace.domain.pipeline.truth import no_class, number_of, said_of, truths
from headrace.domain.pipeline.wiring import read_contracts
from headrace.errors import ConfigurationError, ContractError
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Producer
from headrace.streaming.process.settings import Settings, read_settings

Row = Mapping[str, Any]
DAY_MS = 86_400_000


class Pipeline:
    """Publishes events, awaits predictions, tells labels and reads what a pipeline answers. Safe for many threads.

    Nothing connects before it is needed. Whatever is not given comes from HEADRACE_* variables, as for the services.

    Args:
        pipeline: its file, or the name of a built-in one.
        bootstrap: of Kafka, host:port, comma separated.
        kafka: further librdkafka properties, such as security.protocol.
        registry: url of a schema registry; without one the ids of the project's file hold.

    Raises:
        ConfigurationError: the pipeline file or a setting is wrong.
        ContractError: a schema cannot be used.
    """

    def __init__(
        self,
        pipeline: str | Path,
        bootstrap: str | None = None,
        *,
        kafka: Mapping[str, str] | None = None,
        registry: str | None = None,
    ) -> None:
        given = {"pipeline": str(pipeline), "bootstrap": bootstrap, "registry": registry}
        settings = read_settings(Settings, **given, kafka=None if kafka is None else dict(kafka))
        self._connection = settings.connection
        self._contracts = read_contracts(settings)
        self._spec = self._contracts.pipeline
        self._answers = PredictionReader(self._connection, self._contracts)
        self._writing = threading.Lock()
        self._producer: Producer | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """Of the pipeline: what its topics begin with."""
        return self._spec.name

    @property
    def classes(self) -> tuple[str, ...]:
        """What the model tells apart, where it tells several classes; else empty."""
        return self._spec.model.classes

    @property
    def event_schema(self) -> pa.Schema:
        """What an event is made of: fields, types, and whether they may be null."""
        return self._contracts.channel("events").codec.reader.arrow

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of Kafka. Whoever still awaits a prediction is told NotAnswered."""
        self._answers.close()
        with self._writing:
            self._closed = True
            if self._producer is not None:
                self._producer.close()
                self._producer = None

    # ---- events go in --------------------------------------------------------------------------------------------

    def publish(self, events: Row | Iterable[Row], timeout: float = 30.0) -> int:
        """Write events; returns how many, once the broker has all of them. Give thousands at a time where it hurries.

        Args:
            events: one, or several: field to value. Times are datetimes with a zone, or milliseconds since 1970.
            timeout: seconds that the broker has for all of them.

        Raises:
            ConfigurationError: a value is none of its field's type; names row and field, and nothing was written.
            Transient: the broker did not take all in time. Some may be there: repeat them all, under the same ids.
            ContractError: there is no such topic, or the broker refuses a record.
        """
        columns = typed_rows(_several(events), self.event_schema)
        keys = columns.column(self._spec.events.key).cast(pa.string()).to_pylist()
        return self._write(self._contracts.channel("events"), keys, columns, timeout)

    def predict(self, event: Row, timeout: float = 10.0) -> Prediction:
        """Publish an event and await its prediction.

        Raises what `publish` does, and:
            Refused: a service refused the event; with the reason.
            NotAnswered: no prediction came in so many seconds. A repeat of an event that was answered before has none.
        """
        return self.submit(event, timeout).result()

    def submit(self, event: Row, timeout: float = 10.0) -> Future[Prediction]:
        """As `predict`, without waiting: its future's result is the prediction, its exception what `predict` raises.

        A future that is cancelled is told nothing; the event is published all the same.
        """
        channel, rule = self._contracts.channel("events"), self._spec.events
        columns = typed_rows([event], self.event_schema)
        (value,) = _fitting(channel, columns)
        event_id, key = (str(columns.column(name).cast(pa.string())[0]) for name in (rule.id, rule.key))
        return self._answers.ask(event_id, key, value, timeout)

    def send_labels(self, labels: Row | Iterable[Row], source: str = "client", timeout: float = 30.0) -> int:
        """Tell what came true; returns of how many events, once the broker has all of it.

        Args:
            labels: one, or several: `event_id` (as the event has it), `value` (of several classes, the class by its
                name or number), and, where they differ, `label_time` (since when it is known; now) and `source`.
            source: who says so.
            timeout: seconds that the broker has.

        Raises what `publish` does; ConfigurationError too where the pipeline has no labels, or a value says nothing.
        """
        rule, channel = self._spec.labels, self._contracts.channel("labels")
        if rule is None:
            raise ConfigurationError(
                f"{self.name} has no labels: add a section such as labels: {{id: ..., value: ...}}"
            )
        now = int(self._connection.library.wall() * 1000)
        rows = [{"label_time": now, "source": source, **_as_label(row)} for row in _several(labels)]
        if rule.names:
            rows = [_of_class(at, row, rule) for at, row in enumerate(rows)]
        columns = typed_rows(rows, channel.codec.reader.arrow)
        strange = truths(columns.column("value").to_numpy(), rule)[1]
        if strange.any():
            row = int(np.argmax(strange))
            raise ConfigurationError(f"row {row}, value: {rows[row]['value']!r} {said_of(rule)}")
        known = columns.column("label_time").cast(pa.int64()).to_numpy()
        if (late := known > now + DAY_MS).any():
            row = int(np.argmax(late))
            raise ConfigurationError(f"row {row}, label_time: it lies more than a day ahead, which no label can know")
        return self._write(channel, columns.column("event_id").to_pylist(), columns, timeout)

    def _write(self, channel: Channel, keys: list[str], columns: pa.RecordBatch, timeout: float) -> int:
        values = _fitting(channel, columns)
        with self._writing:  # One at a time: what the broker gave up is told to whoever wrote it.
            if self._closed:
                raise ContractError("the client was closed")
            producer = self._producer or Producer(self._connection)
            self._producer = producer
            producer.partitions(channel.name)
            producer.send(channel.name, keys, values)
            producer.flush(timeout)
        return len(values)

    # ---- answers come out ----------------------------------------------------------------------------------------

    def predictions(
        self, start: Start = "now", *, group: str | None = None, until_idle: float | None = None
    ) -> Iterator[Prediction]:
        """Predictions as they come, each once unless the services repeat one (`prediction_id` tells).

        Args:
            start: `now`, `beginning`, or a datetime with a zone; in a group, where it has committed nothing.
            group: shares the partitions among all that iterate under this name. What was handed out is committed when
                the next is asked for, so that each is seen at least once.
            until_idle: ends once nothing came for so many seconds; None never ends.

        Raises:
            Transient: Kafka does not answer.
            ContractError: there is no such topic, or it cannot be read any more.
        """
        blocks, classes = self.blocks("predictions", start, group, until_idle), self.classes
        return (prediction_of(row, classes) for block in blocks for row in block)

    def outcomes(
        self, start: Start = "now", *, group: str | None = None, until_idle: float | None = None
    ) -> Iterator[Row]:
        """Predictions with what came true, as rows of the topic `outcomes`; else as `predictions`."""
        return (row for block in self.blocks("outcomes", start, group, until_idle) for row in block)

    def blocks(
        self, topic: str, start: Start = "now", group: str | None = None, until_idle: float | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """The rows of a topic of the pipeline, in blocks as they come, some of them empty; see `predictions`."""
        if group is not None and group.startswith(f"{self.name}."):
            raise ConfigurationError(f"group {group}: names that begin with {self.name}. are those of the services")
        stream = TopicStream(self._connection, self._contracts.channel(topic), start_of(start), group)

        def read() -> Iterator[list[dict[str, Any]]]:
            with closing(stream):
                yield from stream.blocks(until_idle)

        return read()


def _several(rows: Row | Iterable[Row]) -> list[Row]:
    return [rows] if isinstance(rows, Mapping) else list(rows)


def _as_label(row: Row) -> Row:
    """Ids of events are texts on the topic of labels, whatever they are on that of events."""
    found = row.get("event_id")
    return {**row, "event_id": str(found)} if isinstance(found, int) and not isinstance(found, bool) else row


def _of_class(at: int, row: dict[str, Any], rule: Labels) -> dict[str, Any]:
    """A label that names a class, with the number that the topic has for it."""
    if "value" not in row:
        return row
    number = number_of(str(row["value"]), rule)
    if number is None:
        raise ConfigurationError(f"row {at}, value: {row['value']!r} {no_class(rule)}")
    return {**row, "value": number}


def _fitting(channel: Channel, columns: pa.RecordBatch) -> list[bytes]:
    """Values of the topic; ConfigurationError where one is too large."""
    values = channel.codec.encode(columns)
    for row, value in enumerate(values):
        if len(value) > channel.codec.max_bytes:
            raise ConfigurationError(
                f"row {row} takes {len(value):,} bytes, and {channel.name} takes {channel.codec.max_bytes:,} a record"
            )
    return values
