"""`headrace ledger`: what was decided, asked and found, and whether that is all of it."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.options import Bootstrap, FromTime, Json, PipelineName, ToTime, contracts_of, milliseconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import paper
from headrace.cli.render.release.ledger import check_sheet, entry_sheet, ledger_sheet
from headrace.operations.ledger.ledger_check import check_ledger
from headrace.operations.ledger.ledger_query import LedgerWish, ledger_entries, told
from headrace.operations.time_spans import FOREVER, TimeSpan

app = typer.Typer(help="Every decision, refusals too, chained by hash.", no_args_is_help=True)


@app.command()
def show(
    pipeline: PipelineName,
    number: Annotated[int | None, typer.Argument(metavar="[NUMBER]", help="One entry, with all that it says.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="About this model: NAME@VERSION, or NAME.")
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="Of this kind: plan, drift_opened and others."),
    ] = None,
    from_: FromTime = None,
    to: ToTime = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show what was decided, asked and found, by whom and when, the oldest first.

    Times are those that the records have: when something was decided. Exit code 1 when there is no such entry.
    """
    start, stop = milliseconds(from_), milliseconds(to)
    span = TimeSpan(-FOREVER if start is None else start, FOREVER if stop is None else stop)
    settings, contracts = contracts_of(pipeline, bootstrap)
    found = ledger_entries(settings, contracts, LedgerWish(model, type_, span, number))
    if json:
        print_json([told(entry) for entry in found])
    else:
        out = paper(soft_wrap=True)
        for line in entry_sheet(found[0]) if number is not None else ledger_sheet(contracts.pipeline.name, found):
            out.print(line)
    raise typer.Exit(0 if found else 1)


@app.command()
def verify(pipeline: PipelineName, bootstrap: Bootstrap = None, json: Json = False) -> None:
    """Check that nothing in the ledger was changed, dropped, repeated or moved, and that nothing is missing.

    Its hashes are computed anew, and it is held against the control events and plans that are there. Exit code 1 when
    something is wrong: the first bad entry is named.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    found = check_ledger(settings, contracts)
    if json:
        print_json(found)
    else:
        out = paper(soft_wrap=True)
        for line in check_sheet(found):
            out.print(line)
    raise typer.Exit(0 if found.whole else 1)
