"""`headrace drift`: what is watched, the evidence for changes, and incidents."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of, milliseconds
from headrace.cli.render.documents import drawing, print_json
from headrace.cli.render.drift import drift_sheet, incident_sheet, supposed_sheet, witness_sheet
from headrace.cli.render.models.package import paper
from headrace.cli.render.progress import TerminalProgress
from headrace.cli.render.remarks import note
from headrace.domain.drift.first_values import LEARNT
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.drift_parts import Acceptance
from headrace.errors import ConfigurationError
from headrace.operations.drift import acceptance
from headrace.operations.drift.report import DriftReport, drift_report
from headrace.operations.drift.supposition import suppose, supposition
from headrace.operations.drift.witnesses import IncidentReport, WitnessStatement, witness_statements
from headrace.streaming.process.settings import Settings


def drift(
    pipeline: PipelineName,
    incident: Annotated[
        str | None, typer.Argument(metavar="[INCIDENT]", help="One of them, such as predictions/1: all that it is.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="OUT.png", help="Draw the evidence over time, and incidents.")
    ] = None,
    witnesses: Annotated[
        bool, typer.Option("--witnesses", help="With INCIDENT: what detectors of the literature would have said.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="With INCIDENT: take what changed for what is usual from now on.")
    ] = False,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="With --accept: why.")] = None,
    supposed: Annotated[
        str | None,
        typer.Option("--suppose", metavar="CHANGE", help="Replay with it: 'amount * 1.5', 'amount = missing'."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="With --suppose: from this event time on.")
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show what is watched for drift, the evidence against its threshold, and incidents.

    Each column of each model stands with its part of the evidence: the bar is full where an alarm is. With INCIDENT:
    what changed, since when, and how its values lie now beside the reference. Exit code 3 while an incident is open.

    --suppose replays what the champion answered, with one of its inputs changed in the last third of the time or since
    --since, and says when that would have been seen.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    if supposed is not None:
        _suppose(settings, contracts, supposed, since, json)
        return
    if accept:
        _accept(settings, contracts, incident, reason)
        return
    found = drift_report(settings, contracts)
    chosen = None if incident is None else found.incident(incident)
    if plot is not None:
        _draw(found, plot)
    heard: list[WitnessStatement] = []
    if chosen is not None and witnesses:
        heard = witness_statements(settings, contracts, chosen, TerminalProgress(quiet=json))
    console = paper()
    if json:
        print_json(found if chosen is None else IncidentReport(chosen, heard))
    else:
        for part in drift_sheet(found) if chosen is None else incident_sheet(chosen):
            console.print(part)
        if heard:
            console.print(witness_sheet(heard))
        console.print(note(contracts.pipeline.name))
        if plot is not None:
            console.print(f"\ndrawn in {plot}", markup=False)
    still = [each for each in found.incidents if each.closed is None] if chosen is None else [chosen]
    raise typer.Exit(3 if any(each.closed is None for each in still) else 0)


def _suppose(settings: Settings, contracts: Contracts, text: str, since: str | None, json: bool) -> None:
    answer = suppose(settings, contracts, supposition(text), milliseconds(since), TerminalProgress(quiet=json))
    if json:
        print_json(answer)
    else:
        Console(highlight=False, soft_wrap=True).print(*supposed_sheet(answer), sep="\n")


def _accept(settings: Settings, contracts: Contracts, incident: str | None, reason: str | None) -> None:
    if incident is None or not reason:
        raise ConfigurationError("--accept needs an incident, and why: predictions/1 --accept --reason 'a new tariff'")
    decision = Acceptance(incident, getpass.getuser(), reason)
    acceptance.accept(settings, contracts, decision)
    Console(highlight=False, soft_wrap=True).print(
        f"{incident} is accepted: its columns are watched against their next {LEARNT:,} values", markup=False
    )


def _draw(found: DriftReport, out: Path) -> None:
    with drawing():
        from headrace.cli.render.drift_plot import draw  # what draws is an extra, and takes a second to load
    draw(found, out)
