"""Has messages sent once more that nobody took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.notifications import DUE, NOTIFICATIONS, UNDELIVERED, record_again
from headrace.errors import ConfigurationError
from headrace.operations.time_spans import TimeSpan
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings

MOST = 100
"""Messages of one call: who was away for a week is not to be buried."""


def untaken(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Messages that nobody took and that were not asked for again since, the oldest first.

    >>> row = {"channel": "team", "event_id": "e", "message_id": "team/e"}
    >>> [each["step"] for each in untaken([row | {"step": "due"}, row | {"step": "undelivered"}])]
    ['undelivered']
    >>> untaken([row | {"step": "undelivered"}, row | {"step": "again"}])
    []
    """
    last: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["step"] != DUE:
            last.pop(row["message_id"], None)
            last[row["message_id"]] = row
    return [row for row in last.values() if row["step"] == UNDELIVERED]


def resend(
    settings: Settings, contracts: Contracts, channel: str | None, span: TimeSpan, now: float, most: int = MOST
) -> list[Mapping[str, Any]]:
    """Ask `notify` to send what nobody took, once more; the messages asked for, the oldest first.

    Args:
        channel: this one alone.
        span: of the moments at which they were given up.
        now: seconds since the epoch.
        most: of these the newest.

    Raises:
        ConfigurationError: the pipeline names no such channel: what is for one that is gone cannot be sent.
        Transient: Kafka does not answer.
    """
    known = contracts.pipeline.notify.channels if contracts.pipeline.notify is not None else {}
    if channel is not None and channel not in known:
        raise ConfigurationError(f"{contracts.pipeline.name} has no channel {channel}: {closest(channel, known)}")
    topic = contracts.channel(NOTIFICATIONS)
    rows: list[dict[str, Any]] = []
    for intake in read(settings.connection, topic, ranges(settings.connection, topic.name)):
        columns = intake.batch.columns
        for name in ("time", "happened"):  # milliseconds, for calendars do not know all of them
            place = columns.schema.get_field_index(name)
            columns = columns.set_column(place, name, columns[name].cast(pa.int64()))
        rows += columns.to_pylist()
    wanted = [
        row
        for row in untaken(rows)
        if row["channel"] in ([channel] if channel else known) and span.start <= row["time"] < span.stop
    ][-most:]
    if wanted:
        again = pa.RecordBatch.from_pylist([record_again(row, now) for row in wanted], topic.codec.reader.arrow)
        producer = Producer(settings.connection)
        try:
            producer.send(topic.name, [row["channel"] for row in wanted], topic.codec.encode(again))
            producer.flush()
        finally:
            producer.close()
    return wanted
