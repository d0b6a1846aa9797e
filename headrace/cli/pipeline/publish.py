"""`headrace publish`: a file of events or labels, written to its topic."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, FromTime, Json, PipelineName, contracts_of, milliseconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.progress import TerminalProgress
from headrace.cli.signals import stopped_by_signals
from headrace.errors import ConfigurationError
from headrace.operations.tables.timestamps import reading_of
from headrace.operations.topics.file_publication import KINDS, FileRows, prepare, renamed


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
        typer.Option(
            metavar="seconds|millis|micros|nanos",
            help="Of times that are numbers since 1970. [default: told by their size]",
        ),
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
    wanted = FileRows(
        file,
        kind,
        names=renamed(map_ or []),
        source=source,
        reading=reading_of(time_unit, any_time),
        start=milliseconds(from_),
        stop=milliseconds(until),
        skip=skip,
    )
    stop = threading.Event()
    publication = prepare(settings, contracts, wanted, stop, rate=rate, speedup=speedup)
    console = Console(stderr=True, quiet=json, soft_wrap=True, highlight=False)
    for note in publication.rows.notes:
        console.print(note, style="yellow", markup=False)
    with stopped_by_signals(stop):
        done = publication.send(TerminalProgress(quiet=json))
    if json:
        print_json(done)
    else:
        rest = "" if done.sent == done.rows else f" of {done.rows:,}"
        pace_held = f"{done.seconds:.1f} s, {done.sent / max(done.seconds, 1e-9):,.0f}/s"
        Console(highlight=False).print(f"{done.sent:,}{rest} records written to {done.topic} ({pace_held})")
    if stop.is_set():
        console.print(f"The rest: the same command with --skip {skip + done.sent}")
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
