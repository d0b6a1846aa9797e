"""`headrace watermark`: how far the event time of each partition has come, by which record, and how to set it right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of, milliseconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import paper
from headrace.errors import ConfigurationError
from headrace.operations.time_spans import minute
from headrace.operations.topics.event_time import PartitionWatermark, mend_watermark, watermarks

WIDE = 160


def watermark(
    pipeline: PipelineName,
    mend: Annotated[
        int | None, typer.Option("--mend", metavar="PARTITION", min=0, help="Set this partition's watermark to --to.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="An event time, with --mend.")] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show how far the event time of each partition has come, as of its newest checkpoint.

    One that went astray is mended while `enrich` is drained: its state goes on from the time that is named. What was
    refused as too late meanwhile is among the dead letters, and may be published again.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    if (mend is None) != (to is None):
        raise ConfigurationError("--mend PARTITION and --to TIME belong together: write both")
    wiring = contracts.wiring("enrich", settings, "events")
    if mend is not None and to is not None:
        mend_watermark(settings.connection, wiring, mend, milliseconds(to) or 0)
    found = watermarks(settings.connection, wiring)
    if json:
        print_json(found)
        return
    paper().print(_table(found))


def _table(found: Sequence[PartitionWatermark]) -> Table:
    table = Table(box=None, header_style="bold")
    for name in ("partition", "checkpoint", "watermark", "moved by offset", "told to others", "newest record", "ahead"):
        table.add_column(name, justify="right")
    for each in found:
        astray = each.watermark is not None and each.written is not None and each.watermark > each.written
        times = [None if time is None else minute(time) for time in (each.watermark, each.credible, each.written)]
        cells = (each.offset, times[0], each.moved_by, times[1], times[2], each.ahead)
        shown = ["-" if cell is None else str(cell) for cell in cells]
        table.add_row(str(each.partition), *shown, style="yellow" if astray else None)
    return table
