"""Reads the outcomes that an order names, no more of them than training needs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.spec import Pipeline, expand
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.training.dataset import milliseconds
from headrace.domain.training.job.code_revision import code_revision
from headrace.domain.training.job.order import Offsets, TrainingOrder
from headrace.domain.training.outcome_rows import KnownUntil, published
from headrace.errors import ConfigurationError, ContractError
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, ranges, read

arrays: Any = pa  # their stubs know too few of the overloads
kernels: Any = pc

OF_ROWS = ("event_id", "event_time", "arm", "revision", "label", "label_time")


@dataclass(frozen=True, slots=True)
class ReadOutcomes:
    """Outcomes as they were read.

    Attributes:
        rows: published ones within the order's bounds, with `_partition` and `_offset`.
        known: until when labels are known.
        unreadable: (partition, offset) of records that could not be decoded.
    """

    rows: pa.Table
    known: KnownUntil
    unreadable: tuple[tuple[int, int], ...]

    @property
    def offsets(self) -> Offsets:
        """For each partition the range that the rows lie in."""
        partitions, offsets = self.rows["_partition"].to_numpy(), self.rows["_offset"].to_numpy()
        own = ((int(p), offsets[partitions == p]) for p in np.unique(partitions))
        return {p: (int(found.min()), int(found.max()) + 1) for p, found in own}

    @property
    def lost(self) -> int:
        """How many records within `offsets` could not be read."""
        ranges_of = self.offsets
        bounds = ((ranges_of.get(partition, (0, 0)), offset) for partition, offset in self.unreadable)
        return sum(start <= offset < stop for (start, stop), offset in bounds)


class RecordsGone(ContractError):
    """Records that an order names are not on the topic any more, by retention or because it was made anew."""


def fixed(order: TrainingOrder, connection: Connection, contracts: Contracts) -> TrainingOrder:
    """An order that names what is read: all outcomes that are there now, unless it names them already.

    Whoever may have to repeat it keeps this one. Raises RecordsGone, ContractError, Transient.
    """
    topic, exchange = (contracts.channel(name).name for name in ("outcomes", "exchange"))
    here = offsets_held(connection, topic)
    wanted = here if order.offsets is None else order.offsets
    check_kept(topic, wanted, here)
    partitions = order.exchange_partitions or partition_count(connection, exchange)
    revision = order.revision or code_revision()
    return replace(order, offsets=dict(sorted(wanted.items())), exchange_partitions=partitions, revision=revision)


def offsets_held(connection: Connection, topic: str) -> dict[int, tuple[int, int]]:
    """What a topic holds now, by partition."""
    return {part.partition: (part.start, part.stop) for part in ranges(connection, topic)}


def partition_count(connection: Connection, topic: str) -> int:
    """How many partitions a topic has."""
    consumer = Consumer(connection)
    try:
        return consumer.partitions(topic)
    finally:
        consumer.close()


def check_kept(topic: str, wanted: Offsets, here: Offsets) -> None:
    """Raise RecordsGone where a topic holds less than is wanted of it, saying of which partition and what."""
    gone = []
    for partition, (start, stop) in sorted(wanted.items()):
        low, high = here.get(partition, (0, 0))
        if start < stop and (start < low or stop > high):
            gone.append(f"[{partition}] {start:,} to {stop:,} are wanted, {low:,} to {high:,} are there")
    if gone:
        raise RecordsGone(
            f"{topic} does not hold the records that are named: {'; '.join(gone)}. They were deleted by retention, or "
            "the topic was made anew"
        )


def read_outcomes(
    order: TrainingOrder,
    connection: Connection,
    contracts: Contracts,
    progress: Callable[[int], None] = lambda records: None,
    further: Collection[str] = (),
) -> ReadOutcomes:
    """What a fixed order names.

    Args:
        progress: told how many records were read so far.
        further: columns beside those that the pipeline's model and segments read.

    Raises:
        ConfigurationError: the order is not fixed.
        ContractError: a partition cannot be read.
        Transient: Kafka does not answer.
    """
    if order.offsets is None or order.exchange_partitions is None:
        raise ConfigurationError("the training order names no offsets")
    channel, pipeline = contracts.channel("outcomes"), contracts.pipeline
    wanted = [Range(partition, start, stop) for partition, (start, stop) in order.offsets.items()]
    schema = channel.codec.reader.arrow
    names = [name for name in schema.names if name in (*OF_ROWS, *structs(pipeline), *further)]
    places = [pa.field("_partition", pa.int32()), pa.field("_offset", pa.int64())]
    kept = pa.schema([*(schema.field(name) for name in names), *places])
    clock, seen = KnownUntil(pipeline.labels, order.exchange_partitions), 0
    batches: list[pa.RecordBatch] = []
    unreadable: list[tuple[int, int]] = []
    for intake in read(connection, channel, wanted):
        batch = intake.batch
        unreadable += [(bad.partition, bad.offset) for bad in intake.rejects]
        clock.note(batch.columns)
        seen += batch.columns.num_rows
        progress(seen)
        rows = within(batch.columns["event_time"], order.start, order.stop)
        columns = [batch.columns[name] for name in names]
        columns += [pa.array(np.asarray(batch.partition)), pa.array(np.asarray(batch.offset))]
        whole = arrays.RecordBatch.from_arrays(columns, schema=kept)
        batches += published(pa.Table.from_batches([whole.filter(rows)])).to_batches()
    return ReadOutcomes(pa.Table.from_batches(batches, schema=kept), clock, tuple(unreadable))


def structs(pipeline: Pipeline) -> set[str]:
    """Columns of outcomes that hold what the model and the segments read."""
    read_of = [*expand(pipeline), *(segment.of for segment in pipeline.segments.values())]
    return {pipeline.locate(column)[0] for column in read_of}


def within(times: Any, start: int | None, stop: int | None) -> Any:
    """Which event times (a column) lie in [start, stop), milliseconds, as Arrow booleans; None leaves an end open."""
    found = milliseconds(times)
    kept = np.ones(len(found), np.bool_)
    kept &= found >= start if start is not None else True
    kept &= found < stop if stop is not None else True
    return pa.array(kept)
