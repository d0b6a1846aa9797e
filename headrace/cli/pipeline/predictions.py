"""`headrace predictions`: what the pipeline answers, the last ones or as they come."""

from __future__ import annotations

import threading
from typing import Annotated

import pyarrow as pa
import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of
from headrace.cli.render.documents import print_json
from headrace.cli.render.predictions import HEADER, line
from headrace.cli.signals import stopped_by_signals
from headrace.operations.topics.prediction_lines import prediction_lines
from headrace.operations.topics.tail import Follower, documents, newest, tail

WAIT_S = 0.2


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
        show(console, newest(settings.connection, channel, wanted, limit), json)
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


def show(console: Console, rows: pa.RecordBatch | pa.Table, json: bool) -> None:
    """Print predictions: a line each."""
    if json:
        for document in documents(rows):
            print_json(document)
    else:
        for row in prediction_lines(rows):
            console.print(line(row))
