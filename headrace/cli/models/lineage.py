"""`headrace lineage`: trainings and plans for a catalogue of data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, FromTime, Json, PipelineName, Store, milliseconds, naming
from headrace.cli.render.documents import print_json
from headrace.cli.render.progress import TerminalProgress
from headrace.domain.pipeline.wiring import read_contracts
from headrace.errors import ConfigurationError
from headrace.operations.lineage.lineage import LineageTold, lineage_events, post_events, write_events
from headrace.operations.time_spans import FOREVER, TimeSpan
from headrace.streaming.process.settings import Settings, read_settings


def lineage(
    pipeline: PipelineName,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write a file: an event a line, as JSON.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="URL", help="Post each to an endpoint of OpenLineage.")] = None,
    from_: FromTime = None,
    models: Store = "models",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Tell trainings and plans as OpenLineage run events: topics with offsets in, models and plans out.

    A repeat tells the same runs. --from leaves out what was decided before. An endpoint's key is OPENLINEAGE_API_KEY.
    Exit code 1 when something could not be read and is left out.
    """
    if (out is None) == (to is None):
        raise ConfigurationError("say where the events go: --out FILE or --to URL, one of them")
    settings = read_settings(Settings, pipeline=pipeline, bootstrap=bootstrap, models=models)
    start = milliseconds(from_)
    span = TimeSpan(-FOREVER if start is None else start)
    events, left_out = lineage_events(settings, read_contracts(settings), span, TerminalProgress(quiet=json))
    if out is not None:
        with naming(out):
            write_events(events, out)
    elif to is not None:
        post_events(events, to)
    done = LineageTold(str(out or to), len(events), left_out)
    if json:
        print_json(done)
    else:
        Console(highlight=False, soft_wrap=True).print(f"{done.events:,} events told to {done.to}", markup=False)
        for each in left_out:
            Console(stderr=True, soft_wrap=True).print(f"left out: {each}", style="red", markup=False)
    raise typer.Exit(1 if left_out else 0)
