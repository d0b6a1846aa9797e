"""`headrace export`: a topic's records as a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from headrace.cli.render.documents import print_json
from headrace.cli.render.progress import TerminalProgress
from headrace.operations.topics.topic_export import export_topic


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
    start, stop = milliseconds(from_), milliseconds(to)
    with naming(out):
        done = export_topic(settings.connection, channel, start, stop, out, TerminalProgress(quiet=json))
    if json:
        print_json(done)
    else:
        Console(highlight=False).print(f"{done.records:,} records of {channel.name} in {out}")
        if done.unreadable:
            Console(stderr=True).print(f"{done.unreadable:,} records could not be read and are left out", style="red")
    raise typer.Exit(1 if done.unreadable else 0)
