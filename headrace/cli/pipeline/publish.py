"""`headrace publish`: a file of events or labels, written to its topic."""

from __future__ import annotations

import json as codec
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, FromTime, Json, PipelineName, contracts_of, milliseconds
from headrace.cli.render.progress import counted
from headrace.cli.signals import stopped_by_signals
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ConfigurationError, Transient
from headrace.operations.topics import event_table as tables
from headrace.operations.topics.event_table import BY_SIZE, Rows
from headrace.operations.topics.producer import Publisher
from headrace.operations.topics.rate import Pace, Replay, Steady
from headrace.operations.topics.timestamps import MICROS, Reading
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.errors import Undelivered

KINDS = ("events", "labels")
DAY = 86_400_000


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
    time_unit: Annotated[
        str | None,
        typer.Option(metavar="s|ms|us|ns", help="Of times that are numbers since 1970. [default: told by their size]"),
    ] = None,
    any_time: Annotated[bool, typer.Option("--any-time", help="Take times outside of 1980 to 2100, too.")] = False,
    skip: Annotated[
        int, typer.Option(min=0, metavar="ROWS", help="Leave out so many, in time order: those written before.")
    ] = 0,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Write a file of events or labels to their topic, in time order, keyed and encoded as the pipeline says.

    Without --rate or --speedup it goes as fast as the broker takes it; --from and --to TIME choose by the records' own
    times. The whole file is checked before the first record is sent: a refusal names row and column, and nothing was
    written. The producer is idempotent and the command ends when the broker has everything. Ctrl-C ends it early: what
    was begun is made durable and counted, the exit code is 130; --skip goes on from there.
    """
    kind, until = destination(to or [])
    if rate is not None and speedup is not None:
        raise ConfigurationError("give --rate or --speedup, not both")
    settings, contracts = contracts_of(pipeline, bootstrap)
    channel = contracts.channel(kind)
    names = renamed(map_ or [])
    rows = read_rows(file, kind, contracts.pipeline, channel, names, source, reading(time_unit, any_time))
    rows = rows.between(milliseconds(from_), milliseconds(until))
    rows = rows.part(min(skip, len(rows.times)), len(rows.times))
    pace: Pace | None = Steady(rate) if rate is not None else None
    if speedup is not None and len(rows.times):
        pace = Replay(int(rows.times[0]), speedup)
    stop = threading.Event()
    publisher = Publisher(settings.connection, channel, time.monotonic, stop, linger_ms=20 if pace is None else 1)
    publisher.check(rows)
    if kind == "labels" and pace is None:
        check_known(rows, time.time())
    console = Console(stderr=True, quiet=json, soft_wrap=True, highlight=False)
    for note in rows.notes:
        console.print(note, style="yellow", markup=False)
    started = time.monotonic()
    with stopped_by_signals(stop), counted(f"to {channel.name}", len(rows.times), quiet=json) as told:
        try:
            sent = publisher.publish(rows, pace, told)
        except (Transient, Undelivered) as error:
            if not publisher.sent:
                raise
            raise Transient(
                f"{error}. {publisher.sent:,} of {len(rows.times):,} records were handed to the broker, and it is not "
                "known of all of them whether they are on the topic: a repeat may write some twice"
            ) from None
    seconds = time.monotonic() - started
    if json:
        figures = {"topic": channel.name, "rows": len(rows.times), "sent": sent, "seconds": seconds}
        typer.echo(codec.dumps({**figures, "notes": rows.notes}))
    else:
        rest = "" if sent == len(rows.times) else f" of {len(rows.times):,}"
        pace_held = f"{seconds:.1f} s, {sent / max(seconds, 1e-9):,.0f}/s"
        Console(highlight=False).print(f"{sent:,}{rest} records written to {channel.name} ({pace_held})")
    if stop.is_set():
        console.print(f"The rest: the same command with --skip {skip + sent}")
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
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals or not name or not column:
            raise ConfigurationError(f"--map {pair}: write FIELD=COLUMN, such as --map amount=tx_amount")
        if name in found:
            raise ConfigurationError(f"--map {name} is given twice: {found[name]} and {column}; keep one")
        found[name] = column
    return found


def reading(unit: str | None, any_time: bool) -> Reading:
    """How times of the file are read; ConfigurationError for an unknown unit."""
    if unit is not None and unit not in MICROS:
        raise ConfigurationError(f"--time-unit cannot be {unit}: {closest(unit, MICROS)}")
    return Reading(unit, any_time)


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
