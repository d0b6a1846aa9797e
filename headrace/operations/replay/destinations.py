"""Where the predictions of a replay go: a topic that no service reads, a file, or nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.pipeline.contracts import PREDICTIONS
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError, Transient
from headrace.operations.services import SERVICES
from headrace.operations.tables.parquet_draft import ParquetDraft
from headrace.streaming.contracts.topics import load_topics
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.errors import Undelivered
from headrace.streaming.records.batch import Batch, Emit

TOPIC = "replays"
OF_ROWS = (
    pa.field("trained_on", pa.bool_()),
    pa.field("_partition", pa.int32()),
    pa.field("_offset", pa.int64()),
)
"""Columns of a file beside those of predictions: whether the model was fitted on the event, and which record of the
features topic was scored."""


@dataclass(frozen=True, slots=True)
class ReplayedRows:
    """A batch's predictions, row by row the features that they were made of, and whether the model was fitted on it."""

    emit: Emit
    features: Batch
    trained_on: npt.NDArray[np.bool_]


class Destination(Protocol):
    """Takes predictions.

    Attributes:
        name: of the topic or file; empty for none.
    """

    name: str

    def write(self, rows: ReplayedRows) -> None:
        """Take more in."""

    def finish(self, stopped: bool) -> int:
        """How many rows are durable there, once they are; `stopped`: they are not all that was asked for.

        Raises Transient when it is not known whether they are.
        """

    def discard(self) -> None:
        """Let go: of what is not finished, a file leaves nothing, a topic what was sent. After `finish` nothing."""


class Nowhere:
    """Where scores that are only compared go."""

    name = ""

    def write(self, rows: ReplayedRows) -> None:
        """As `Destination.write`."""

    def finish(self, stopped: bool) -> int:
        """As `Destination.finish`."""
        return 0

    def discard(self) -> None:
        """As `Destination.discard`."""


class ReplayTopic:
    """Writes to a topic, idempotently, keyed as features are. Raises ContractError when it does not exist."""

    def __init__(self, connection: Connection, channel: Channel) -> None:
        self.name, self.written = channel.name, 0
        self._channel = channel
        self._producer = Producer(connection, linger_ms=20)
        self._producer.partitions(channel.name)

    def write(self, rows: ReplayedRows) -> None:
        """As `Destination.write`."""
        values = self._channel.codec.encode(rows.emit.columns)
        with _told(self):
            self._producer.send(self.name, rows.features.keys.to_pylist(), values)
            self.written += len(values)
            self._producer.poll()

    def finish(self, stopped: bool) -> int:
        """As `Destination.finish`."""
        with _told(self):
            self._producer.flush()
        return self.written

    def discard(self) -> None:
        """As `Destination.discard`."""
        self._producer.close()


class ReplayFile:
    """Writes a Parquet file, whole or not at all.

    Args:
        predictions: schema of predictions; `OF_ROWS` stand behind.
    """

    def __init__(self, out: Path, predictions: pa.Schema) -> None:
        self.name = str(out)
        self._schema = pa.schema([*predictions, *OF_ROWS])
        self._draft = ParquetDraft(out, self._schema)

    def write(self, rows: ReplayedRows) -> None:
        """As `Destination.write`."""
        own = (pa.array(np.asarray(each)) for each in (rows.trained_on, rows.features.partition, rows.features.offset))
        self._draft.write(pa.RecordBatch.from_arrays([*rows.emit.columns.columns, *own], schema=self._schema))

    def finish(self, stopped: bool) -> int:
        """As `Destination.finish`."""
        if stopped:
            return 0
        self._draft.finish()
        return self._draft.written

    def discard(self) -> None:
        """As `Destination.discard`."""
        self._draft.discard()


@contextmanager
def _told(topic: ReplayTopic) -> Iterator[None]:
    """Says of what goes wrong inside how much may be on the topic."""
    try:
        yield
    except (Transient, Undelivered) as error:
        raise Transient(
            f"{error}. {topic.written:,} predictions were handed to the broker, and it is not known of all of them "
            "whether they are on the topic: repeat the replay, which gives them the same ids"
        ) from error


def replay_channel(contracts: Contracts, text: str = TOPIC) -> Channel:
    """A topic that replays may be written to.

    Raises:
        ConfigurationError: there is none of that name, it has other records, or services work with it.
    """
    topics = load_topics(contracts.workspace.topic_folders())
    logical = text.removeprefix(f"{contracts.pipeline.name}.")
    if logical not in topics:
        raise ConfigurationError(f"{contracts.pipeline.name} has no topic {text}: {closest(logical, topics)}")
    topic = topics[logical]
    services = sorted({*topic.producers, *topic.consumers} & {*SERVICES})
    remedy = f"take {TOPIC}, or write a topics/NAME.yaml with schema: {PREDICTIONS} that no service reads or writes"
    if topic.value_schema != PREDICTIONS:
        raise ConfigurationError(f"{logical} has no predictions but {topic.value_schema}: {remedy}")
    if services:
        raise ConfigurationError(f"{', '.join(services)} would take replays on {logical} for predictions: {remedy}")
    return contracts.channel(logical)
