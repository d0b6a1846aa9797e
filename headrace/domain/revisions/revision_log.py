"""The topic of revisions, read whole and written one record after the other."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from headrace.domain.revisions.revision import Revision, Revisions
from headrace.errors import ContractError
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.fact_writer import write_next
from headrace.streaming.kafka.reader import ranges, read


def revisions(connection: Connection, channel: Channel, pipeline: str) -> Revisions:
    """What the topic says now; ContractError where a record of it cannot be read."""
    found = Revisions(pipeline)
    for intake in read(connection, channel, ranges(connection, channel.name)):
        for bad in intake.rejects:
            raise ContractError(f"{channel.name}@{bad.offset} is no revision that can be read: {bad.detail}")
        found.take(intake.batch.columns.to_pylist())
    return found


def publish_revision(
    connection: Connection, channel: Channel, pipeline: str, make: Callable[[Revisions], Revision]
) -> Revision:
    """Write the record that `make` answers, given what the topic says; `make` may raise.

    Raises:
        Outrun: somebody else wrote at the same moment; nothing was written.
        Transient: Kafka does not answer; nothing was written.
    """
    made: list[Revision] = []

    def record() -> tuple[str, pa.RecordBatch]:
        made.append(make(revisions(connection, channel, pipeline)))
        rows = pa.RecordBatch.from_pylist([made[0].row(pipeline)], schema=channel.codec.reader.arrow)
        return f"{pipeline}/{made[0].number}", rows  # so that compaction keeps the newest record of each

    write_next(connection, channel, record)
    return made[0]
