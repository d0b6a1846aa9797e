"""Rows of the features topic of a span of event time, with what of them cannot be had any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError
from headrace.operations.comparison.prediction_table import extent
from headrace.operations.progress import ProgressView
from headrace.operations.time_spans import FOREVER, TimeSpan
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class ServedRows:
    """What was served.

    Attributes:
        rows: some columns of the features topic, one row an event.
        read: records that were read for it; `unreadable`: of these, could not be decoded.
        missing: what of the span is not there, a sentence each.
    """

    rows: pa.RecordBatch
    read: int
    unreadable: int
    missing: Sequence[str]


def served_rows(
    settings: Settings, contracts: Contracts, span: TimeSpan, columns: Sequence[str], progress: ProgressView
) -> ServedRows:
    """The rows of a span, in the order of the topic's partitions.

    Args:
        columns: of the topic that are kept, beside `event_time`.

    Raises:
        ConfigurationError: there are none.
        Transient: Kafka does not answer.
    """
    channel = contracts.channel("features")
    wanted = extent(settings.connection, channel, span)
    whole = {part.partition: part for part in ranges(settings.connection, channel.name)}
    kept = list(dict.fromkeys(("event_time", *columns)))
    parts, count, unreadable = [], 0, 0
    with progress.count(f"reading {channel.name}", sum(part.stop - part.start for part in wanted)) as advance:
        for intake in read(settings.connection, channel, wanted):
            count += len(intake.batch) + len(intake.rejects)
            unreadable += len(intake.rejects)
            found = intake.batch.columns.select(kept)
            times = found.column("event_time").cast(pa.int64()).to_numpy()
            inside = (times >= span.start) & (times < span.stop)
            if inside.any():
                parts.append(found if inside.all() else found.filter(pa.array(inside)))
            advance(len(intake.batch) + len(intake.rejects))
    if not parts:
        raise ConfigurationError(f"no event of {span.text} is on {channel.name}: {count:,} records were read")
    gone = [
        f"records of {channel.name}, partition {part.partition}, below offset {part.start:,} were deleted: events of "
        "the span may have been among them"
        for part in wanted
        if span.start > -FOREVER and 0 < part.start == whole[part.partition].start
    ]
    return ServedRows(pa.Table.from_batches(parts).combine_chunks().to_batches()[0], count, unreadable, gone)


def numbers(rows: pa.RecordBatch, struct: str, name: str) -> npt.NDArray[np.float64]:
    """A field of a struct column, float64; NaN for null."""
    values: pa.Array = rows.column(struct).field(name).cast(pa.float64(), safe=False)
    found: npt.NDArray[np.float64] = values.to_numpy(zero_copy_only=False)
    return found
