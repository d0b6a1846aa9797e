"""`headrace generate`: events of a made-up world, in a file that `headrace publish` takes."""

from __future__ import annotations

import json as codec
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer
from rich.console import Console

from headrace.cli.options import Json, PipelineName, naming
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.workspace import resolve
from headrace.domain.simulation.simulators import World, simulate


def generate(
    pipeline: PipelineName,
    out: Annotated[Path, typer.Argument(metavar="OUT.parquet", dir_okay=False)],
    days: Annotated[int, typer.Option(min=1, help="How many days it lasts.")] = 30,
    customers: Annotated[int, typer.Option(min=1, help="How many entities key the events.")] = 5_000,
    terminals: Annotated[int, typer.Option(min=1, help="How many other parties, where there are such.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 0,
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day, UTC.")] = datetime(2018, 4, 1),
    json: Json = False,
) -> None:
    """Make up events of a pipeline, with labels, in time order.

    Card transactions follow the Fraud Detection Handbook's published process; events of other schemas follow the schema
    and the pipeline's rules.
    """
    spec = load(resolve(pipeline, Path.cwd()))
    first = int(start.replace(tzinfo=UTC).timestamp() * 1000)
    world = World(customers, terminals, days, first, seed)
    console = Console(stderr=True)
    with console.status(f"making up {days} days of {spec.name}", spinner="dots"):
        table = simulate(spec, world)
        with naming(out):
            pq.write_table(table, out)
    labelled = spec.labels is not None and spec.labels.value in table.column_names
    told: dict[str, Any] = {"file": str(out), "rows": table.num_rows, "columns": table.column_names}
    told |= {"labels": spec.labels.value if spec.labels is not None and labelled else None, "seed": seed}
    if json:
        typer.echo(codec.dumps(told))
    else:
        console.print(f"{table.num_rows:,} events of {spec.name} in {out}")
