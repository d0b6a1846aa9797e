"""`headrace live`: what was live at a time, who decided so, and why."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of, milliseconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import paper
from headrace.cli.render.release.live import live_sheet
from headrace.operations.ledger.live_plan import live_plan


def live(
    pipeline: PipelineName,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="ISO 8601 (UTC unless it says otherwise). [default: now]")
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show which plan held at a time: champion, canary, challengers, since when, decided by whom, and why.

    From the ledger, which remembers plans that their topic has forgotten. A plan holds from when it was decided;
    services take it up between two batches.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    moment = milliseconds(at)
    found = live_plan(settings, contracts, int(time.time() * 1000) if moment is None else moment)
    if json:
        print_json(found)
        return
    out = paper(soft_wrap=True)
    for line in live_sheet(found):
        out.print(line)
