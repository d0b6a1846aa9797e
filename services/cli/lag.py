"""`headrace lag`: how far each consumer group of a pipeline is behind."""

from __future__ import annotations

import json as codec
import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.cli.lagging import Lag, inputs, measure
from services.cli.options import Bootstrap, Json, PipelineName, contracts_of

WIDE = 160
"""Columns where no terminal says how many: names are not to be cut in a pipe."""


def lag(
    pipeline: PipelineName,
    limit: Annotated[
        float | None, typer.Option("--limit", metavar="SECONDS", min=0, help="Exit with 3 when one is further behind.")
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show, for each group and partition, the records not yet processed and the age of the oldest of them."""
    settings, contracts = contracts_of(pipeline, bootstrap)
    found = measure(settings.connection, inputs(contracts.pipeline), time.time())
    if json:
        typer.echo(codec.dumps([asdict(each) for each in found]))
    else:
        terminal = Console(highlight=False)
        console = terminal if terminal.is_terminal else Console(highlight=False, width=WIDE)
        console.print(_table(found))
    worst = max((each.seconds for each in found), default=0.0)
    raise typer.Exit(3 if limit is not None and worst > limit else 0)


def _table(found: list[Lag]) -> Table:
    table = Table(box=None, header_style="bold")
    for name in ("group", "topic"):
        table.add_column(name)
    for name in ("partition", "committed", "end", "records", "seconds"):
        table.add_column(name, justify="right")
    for each in found:
        done = "never" if each.committed is None else f"{each.committed:,}"
        style = "yellow" if each.seconds > 10 else None
        numbers = (str(each.partition), done, f"{each.end:,}", f"{each.records:,}", f"{each.seconds:,.1f}")
        table.add_row(each.group, each.topic, *numbers, style=style)
    return table
