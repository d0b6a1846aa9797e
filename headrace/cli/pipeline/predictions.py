"""`headrace predictions`: what the pipeline answers, the last ones or as they come."""

from __future__ import annotations

import json as codec
import threading
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of
from headrace.cli.signals import stopped_by_signals
from headrace.operations.topics.tail import Follower, documents, tail
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import read

WAIT_S = 0.2
HEADER = f"{'event time':<20} {'event':<14} {'entity':<12} {'score':>7}  {'decision':<8} model"


def predictions(
    pipeline: PipelineName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come, until Ctrl-C.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many of the last ones.")] = 10,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show predictions, committed ones only: the last ones, and with --follow those that come.

    With --json one object a line, whole, with the features that the score was made from.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    channel = contracts.channel("predictions")
    console = Console(highlight=False, soft_wrap=True)
    wanted, ends = tail(settings.connection, channel, limit)
    if not json:
        console.print(HEADER, style="bold")
    if limit:
        show(console, last(settings.connection, channel, wanted, limit), json)
    if not follow:
        return
    stop = threading.Event()
    follower = Follower(settings.connection, channel, ends)
    try:
        with stopped_by_signals(stop):
            while not stop.is_set():
                batch = follower.poll(WAIT_S)
                if batch is not None:
                    show(console, batch.columns, json)
    finally:
        follower.close()


def last(connection: Connection, channel: Channel, wanted: list[Any], limit: int) -> pa.Table:
    """The newest `limit` records of some ranges by Kafka's time stamps, oldest first."""
    found = [
        pa.Table.from_batches([intake.batch.columns]).append_column("_at", pa.array(intake.batch.timestamp))
        for intake in read(connection, channel, wanted)
    ]
    if not found:
        return pa.Table.from_batches([], channel.codec.reader.arrow)
    whole = pa.concat_tables(found)
    whole = whole.take(pa.compute.sort_indices(whole.column("_at")))
    return whole.slice(max(whole.num_rows - limit, 0)).drop_columns(["_at"])


def show(console: Console, rows: pa.RecordBatch | pa.Table, json: bool) -> None:
    """Print predictions: a line each."""
    for row in documents(rows):
        if json:
            typer.echo(codec.dumps(row))
        else:
            console.print(line(row))


def line(row: dict[str, Any]) -> str:
    """A prediction in a line of rich markup."""
    colour, word = ("red", "yes") if row["decision"] else ("green", "no")
    model = f"{row['model']['name']} {row['model']['version']} ({row['arm']})"
    when, event, entity = (escape(str(row[name])) for name in ("event_time", "event_id", "entity"))
    score = "-" if row["score"] is None else f"{row['score']:.4f}"
    return f"{when[:19]:<20} {event:<14} {entity:<12} {score:>7}  [{colour}]{word:<8}[/] {escape(model)}"
