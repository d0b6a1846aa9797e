"""`headrace export`: a topic's records as a Parquet file."""

from __future__ import annotations

import json as codec
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from headrace.cli.options import (
    Bootstrap,
    FromTime,
    Json,
    PipelineName,
    ToTime,
    channel_of,
    contracts_of,
    milliseconds,
    naming,
)
from headrace.cli.render.progress import counted
from headrace.operations.progress import Advance
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, ranges, read
from headrace.streaming.records.batch import Batch

ROW_GROUP = 131_072
PLACES = (
    pa.field("_key", pa.binary()),
    pa.field("_partition", pa.int32()),
    pa.field("_offset", pa.int64()),
    pa.field("_timestamp", pa.timestamp("ms", tz="UTC")),
)
"""Columns beside the topic's own: where each record lies, its key, and Kafka's time stamp."""


def export(
    pipeline: PipelineName,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Its name without the pipeline's: predictions.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.parquet", dir_okay=False)],
    from_: FromTime = None,
    to: ToTime = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Write what a topic holds now to a Parquet file: committed records only, nested ones as structs.

    --from and --to choose by Kafka's time stamps. Each partition stands in order. Records that cannot be read are left
    out and counted; the exit code is then 1.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    channel = channel_of(contracts, topic)
    wanted = ranges(settings.connection, channel.name, milliseconds(from_), milliseconds(to))
    with counted(f"from {channel.name}", None, quiet=json) as told, naming(out):
        records, unreadable = write(settings.connection, channel, wanted, out, told)
    told_ranges = [[part.partition, part.start, part.stop] for part in wanted]
    if json:
        answer = {"file": str(out), "topic": channel.name, "records": records, "unreadable": unreadable}
        typer.echo(codec.dumps({**answer, "ranges": told_ranges}))
    else:
        Console(highlight=False).print(f"{records:,} records of {channel.name} in {out}")
        if unreadable:
            Console(stderr=True).print(f"{unreadable:,} records could not be read and are left out", style="red")
    raise typer.Exit(1 if unreadable else 0)


def write(
    connection: Connection, channel: Channel, wanted: list[Range], out: Path, told: Advance = lambda _: None
) -> tuple[int, int]:
    """Write ranges of a topic; (records written, unreadable ones). The file appears whole or not at all.

    Memory stays at a few row groups, whatever the size of the topic.
    """
    schema = pa.schema([*channel.codec.reader.arrow, *PLACES])
    draft = out.with_name(f".{out.name}.draft")
    written = unreadable = 0
    try:
        with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
            waiting: list[pa.RecordBatch] = []
            rows = 0
            for intake in read(connection, channel, wanted):
                unreadable += len(intake.rejects)
                waiting.append(_with_places(intake.batch, schema))
                rows += len(intake.batch)
                told(len(intake.batch))
                if rows >= ROW_GROUP:
                    writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)
                    waiting, written, rows = [], written + rows, 0
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)
            written += rows
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return written, unreadable


def _with_places(batch: Batch, schema: pa.Schema) -> pa.RecordBatch:
    stamps = pa.array(np.asarray(batch.timestamp)).cast(schema.field("_timestamp").type)
    places = [batch.keys, pa.array(batch.partition), pa.array(batch.offset), stamps]
    return pa.RecordBatch.from_arrays([*batch.columns.columns, *places], schema=schema)
