"""`headrace generate`: events of a made-up world, in a file that `headrace publish` takes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Json, PipelineName, naming, pipeline_of
from headrace.cli.render.documents import print_json
from headrace.domain.simulation.simulators import World
from headrace.operations.topics.generation import generate_events


def generate(
    pipeline: PipelineName,
    out: Annotated[Path, typer.Argument(metavar="OUT.parquet", dir_okay=False)],
    days: Annotated[int, typer.Option(min=1, help="How many days it lasts.")] = 30,
    customers: Annotated[int, typer.Option(min=1, help="How many entities key the events.")] = 5_000,
    terminals: Annotated[int, typer.Option(min=1, help="How many other parties, where there are such.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 0,
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day, UTC.")] = datetime(2018, 4, 1),
    shift_day: Annotated[
        int | None, typer.Option(min=0, help="From this day on, the first being 0, other card payments are frauds.")
    ] = None,
    json: Json = False,
) -> None:
    """Make up events of a pipeline, with labels, in time order.

    Card transactions follow the Fraud Detection Handbook's published process; events of other schemas follow the schema
    and the pipeline's rules.
    """
    spec = pipeline_of(pipeline)
    first = int(start.replace(tzinfo=UTC).timestamp() * 1000)
    world = World(customers, terminals, days, first, seed, shift_day)
    console = Console(stderr=True)
    with console.status(f"making up {days} days of {spec.name}", spinner="dots"), naming(out):
        made = generate_events(spec, world, out)
    if json:
        print_json(made)
    else:
        console.print(f"{made.rows:,} events of {spec.name} in {out}")
