"""`headrace publish`: a file of events or labels, written to its topic."""

from __future__ import annotations

import json as codec
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.cli import tables
from services.cli.options import Bootstrap, FromTime, Json, PipelineName, contracts_of, milliseconds
from services.cli.pace import Pace, Replay, Steady
from services.cli.progress import counted
from services.cli.publishing import Publisher
from services.cli.signals import stopped_by_signals
from services.cli.tables import Rows
from services.kit.channels import Channel
from services.kit.errors import ConfigurationError
from services.pipeline.spec import Pipeline

KINDS = ("events", "labels")


def publish(
    pipeline: PipelineName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet, or CSV with a header.")],
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="events|labels|TIME", help="What the file holds; or the time to end before."),
    ] = None,
    from_: FromTime = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Records a second, evenly.")] = None,
    speedup: Annotated[float | None, typer.Option(min=0.001, help="Times as fast as it happened.")] = None,
    map_: Annotated[
        list[str] | None, typer.Option("--map", metavar="FIELD=COLUMN", help="A field whose column has another name.")
    ] = None,
    source: Annotated[str, typer.Option(help="Of labels: who says so, where the file does not.")] = "file",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Write a file of events or labels to their topic, in time order, keyed and encoded as the pipeline says.

    Without --rate or --speedup it goes as fast as the broker takes it; --from and --to TIME choose by the records' own
    times. The producer is idempotent and the command ends when the broker has everything. Ctrl-C ends it early: what
    was begun is made durable and counted, the exit code is 130.
    """
    kind, until = destination(to or [])
    if rate is not None and speedup is not None:
        raise ConfigurationError("give --rate or --speedup, not both")
    settings, contracts = contracts_of(pipeline, bootstrap)
    channel = contracts.channel(kind)
    names = renamed(map_ or [])
    rows = read_rows(file, kind, contracts.pipeline, channel, names, source)
    rows = rows.between(milliseconds(from_), milliseconds(until))
    pace: Pace | None = Steady(rate) if rate is not None else None
    if speedup is not None and len(rows.times):
        pace = Replay(int(rows.times[0]), speedup)
    stop = threading.Event()
    publisher = Publisher(settings.connection, channel, time.monotonic, stop, linger_ms=20 if pace is None else 1)
    started = time.monotonic()
    with stopped_by_signals(stop), counted(f"to {channel.name}", len(rows.times), quiet=json) as told:
        sent = publisher.publish(rows, pace, told)
    seconds = time.monotonic() - started
    if json:
        typer.echo(codec.dumps({"topic": channel.name, "rows": len(rows.times), "sent": sent, "seconds": seconds}))
    else:
        rest = "" if sent == len(rows.times) else f" of {len(rows.times):,}"
        pace_held = f"{seconds:.1f} s, {sent / max(seconds, 1e-9):,.0f}/s"
        Console(highlight=False).print(f"{sent:,}{rest} records written to {channel.name} ({pace_held})")
    if stop.is_set():
        raise typer.Exit(130)


def destination(words: Sequence[str]) -> tuple[str, str | None]:
    """What `--to` means when it is given once or twice: (events or labels, the time to end before).

    >>> destination([]), destination(["2018-05-01", "labels"])
    (('events', None), ('labels', '2018-05-01'))

    Raises:
        ConfigurationError: it is given twice for one of the two.
    """
    kinds = [word for word in words if word in KINDS]
    times = [word for word in words if word not in KINDS]
    if len(kinds) > 1 or len(times) > 1:
        raise ConfigurationError(
            f"--to says two things: {', '.join(words)}; give events or labels once, and a time once"
        )
    return kinds[0] if kinds else KINDS[0], times[0] if times else None


def renamed(pairs: Sequence[str]) -> dict[str, str]:
    """`--map` options as field to column.

    Raises:
        ConfigurationError: one is not FIELD=COLUMN.
    """
    for pair in pairs:
        if "=" not in pair:
            raise ConfigurationError(f"--map {pair}: write FIELD=COLUMN, such as --map amount=tx_amount")
    return dict(pair.split("=", 1) for pair in pairs)


def read_rows(
    file: Path, kind: str, pipeline: Pipeline, channel: Channel, names: dict[str, str], source: str = "file"
) -> Rows:
    """A file as rows of the events or labels topic; ConfigurationError when it does not fit."""
    table, schema = tables.read_table(file), channel.codec.reader.arrow
    if kind == "labels":
        return tables.labels(table, pipeline, schema, names, source)
    return tables.events(table, pipeline, schema, names)
