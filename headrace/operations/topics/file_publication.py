"""A file of events or labels, written to its topic in time order."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.domain.pipeline.spec import Labels, Pipeline
from headrace.domain.pipeline.truth import truths
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError, Transient
from headrace.operations.progress import ProgressView
from headrace.operations.tables import event_table as tables
from headrace.operations.tables.event_table import BY_SIZE, Rows
from headrace.operations.tables.timestamps import Reading
from headrace.operations.topics.producer import Publisher
from headrace.operations.topics.rate import Pace, Replay, Steady
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.errors import Undelivered
from headrace.streaming.process.settings import Settings

KINDS = ("events", "labels")
"""What a file may hold."""
DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class FileRows:
    """Which rows of a file are meant, and how it is read.

    Attributes:
        kind: of `KINDS`.
        names: field to column, where that has another name.
        source: of labels: who says so, where the file does not.
        reading: of times.
        start, stop: the records' own times, milliseconds; None leaves an end open.
        skip: rows to leave out, in time order: those written before.
    """

    file: Path
    kind: str = "events"
    names: Mapping[str, str] = field(default_factory=dict)
    source: str = "file"
    reading: Reading = BY_SIZE
    start: int | None = None
    stop: int | None = None
    skip: int = 0


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """What was written: `sent` of `rows`, all of it durable; `notes` say what was taken for something else."""

    topic: str
    rows: int
    sent: int
    seconds: float
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class FilePublication:
    """Rows that were checked, and what writes them; `pace` None: as fast as the broker takes them."""

    rows: Rows
    publisher: Publisher
    pace: Pace | None

    def send(self, progress: ProgressView) -> PublishedFile:
        """Write them; returns when the broker has everything, or has what was begun when it was told to stop.

        Raises:
            Transient: the broker did not acknowledge; says what is known of how much is written.
        """
        publisher, total = self.publisher, len(self.rows.times)
        started = time.monotonic()
        with progress.count(f"to {publisher.channel.name}", total) as advance:
            try:
                sent = publisher.publish(self.rows, self.pace, advance)
            except (Transient, Undelivered) as error:
                if not publisher.sent:
                    raise
                raise Transient(
                    f"{error}. {publisher.sent:,} of {total:,} records were handed to the broker, and it is not "
                    "known of all of them whether they are on the topic: a repeat may write some twice"
                ) from None
        return PublishedFile(publisher.channel.name, total, sent, time.monotonic() - started, self.rows.notes)


def prepare(
    settings: Settings,
    contracts: Contracts,
    wanted: FileRows,
    stop: threading.Event,
    *,
    rate: float | None = None,
    speedup: float | None = None,
) -> FilePublication:
    """Read and check the whole file before the first record is sent.

    Where a producer has a topic in a form of its own, records go there, as the producer would write them.

    Args:
        settings, contracts: of the pipeline.
        wanted: rows.
        stop: once set, no more records are begun.
        rate: records a second, evenly; `speedup`: times as fast as it happened; neither: at once.

    Raises:
        ConfigurationError: the file does not fit; names row and column.
    """
    channel = contracts.channel(wanted.kind)
    target = contracts.channel(f"{wanted.kind}-feed") if f"{wanted.kind}-feed" in contracts.pipeline.feeds else channel
    rows = read_rows(
        wanted.file, wanted.kind, contracts.pipeline, channel, dict(wanted.names), wanted.source, wanted.reading
    )
    if target is not channel and wanted.kind == "labels":
        rows = _as_written(rows, contracts.pipeline.labels, target)
    rows = rows.between(wanted.start, wanted.stop)
    rows = rows.part(min(wanted.skip, len(rows.times)), len(rows.times))
    pace: Pace | None = Steady(rate) if rate is not None else None
    if speedup is not None and len(rows.times):
        pace = Replay(int(rows.times[0]), speedup)
    publisher = Publisher(settings.connection, target, time.monotonic, stop, linger_ms=20 if pace is None else 1)
    publisher.check(rows)
    if wanted.kind == "labels" and pace is None:
        check_known(rows, time.time())
    return FilePublication(rows, publisher, pace)


def _as_written(rows: Rows, rule: Labels | None, target: Channel) -> Rows:
    """Labels of several classes by their names, where a producer's records have texts for them."""
    columns = rows.columns
    if rule is None or not rule.names or not pa.types.is_string(target.codec.reader.arrow.field("value").type):
        return rows
    places = truths(columns["value"].to_numpy(), rule)[0]
    names = pa.chunked_array([pa.array(rule.names).take(pa.array(places.astype(np.int64)))])
    return replace(rows, columns=columns.set_column(columns.schema.get_field_index("value"), "value", names))


def renamed(pairs: Sequence[str]) -> dict[str, str]:
    """`--map` options as field to column, for `FileRows.names`.

    Raises:
        ConfigurationError: one is not FIELD=COLUMN.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals or not name or not column:
            raise ConfigurationError(f"--map {pair}: write FIELD=COLUMN, such as --map amount=tx_amount")
        if name in found:
            raise ConfigurationError(f"--map {name} is given twice: {found[name]} and {column}; keep one")
        found[name] = column
    return found


def check_known(rows: Rows, now: float) -> None:
    """Refuse labels that the service `labels` would: known later than a day after they are written, at `now` (s)."""
    late = rows.times > now * 1000 + DAY
    if late.any():
        row = int(late.argmax())
        when = np.datetime64(int(rows.times[row]), "ms").astype("datetime64[m]")
        raise ConfigurationError(
            f"row {rows.numbers[row]:,}: its label becomes known at {when}Z, and {int(late.sum()):,} labels in all "
            f"later than a day from now, which none can be; leave them out with --to {when}, or give the file a "
            "column label_time"
        )


def read_rows(
    file: Path,
    kind: str,
    pipeline: Pipeline,
    channel: Channel,
    names: dict[str, str],
    source: str = "file",
    reading: Reading = BY_SIZE,
) -> Rows:
    """A file as rows of the events or labels topic; ConfigurationError when it does not fit."""
    table, schema = tables.read_table(file), channel.codec.reader.arrow
    try:
        if kind == "labels":
            return tables.labels(table, pipeline, schema, names, source, reading)
        return tables.events(table, pipeline, schema, names, reading)
    except ConfigurationError as error:
        told = str(error)
        raise ConfigurationError(told if told.startswith(str(file)) else f"{file}: {told}") from None
