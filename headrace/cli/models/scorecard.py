"""`headrace scorecard`: figures of each model and arm over a span of windows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of
from headrace.cli.periods import Last, Window, asked
from headrace.cli.render.documents import drawing, print_json
from headrace.cli.render.drift import named
from headrace.cli.render.progress import TerminalProgress
from headrace.cli.render.remarks import note
from headrace.cli.render.scorecard import fitted_notes, scorecard_sheet
from headrace.domain.scorecards.grouped_tallies import PARTS
from headrace.operations.comparison.model_choice import ARMS
from headrace.operations.scorecard_query.catalogue import usual
from headrace.operations.scorecard_query.query import ScorecardAnswer, ScorecardRequest, scorecards
from headrace.operations.time_spans import minute


def scorecard(
    pipeline: PipelineName,
    window: Window = None,
    last: Last = None,
    segment: Annotated[
        str | None, typer.Option("--segment", metavar="NAME", help="A column for each group of it, and the gaps.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME@VERSION", help="This model alone.")] = None,
    arm: Annotated[str | None, typer.Option("--arm", metavar="ARM", help=f"{', '.join(ARMS)}: this arm alone.")] = None,
    figures: Annotated[
        str | None, typer.Option("--figures", metavar="A,B", help="These figures alone; `all` shows every one.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="OUT.png", help="Draw windows over time, and calibration.")
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show figures of each model and arm, side by side: over the newest windows, or those of a span.

    Operational figures cover all windows of the span; quality covers the mature ones, in which every prediction has its
    outcome; the others are estimated without labels. Windows are summed up exactly, whatever the span.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    spec, progress = contracts.pipeline, TerminalProgress(quiet=json)
    request = ScorecardRequest(asked(window, last), segment, model, arm, figures)
    answer = scorecards(settings, contracts, request, progress)
    if plot is not None:
        with progress.stage("drawing"):
            _draw(answer, plot)
    if json:
        print_json(answer.report())
        return
    console = Console(highlight=False)
    for part in scorecard_sheet(answer.found, spec, answer.span, segment, answer.names or usual(spec), console.width):
        console.print(part)
    for part in fitted_notes(answer.found, spec, answer.origins):
        console.print(part)
    if answer.none_before is not None:
        console.print(
            f"there is nothing before {minute(answer.none_before)}: what was told of older windows, if anything, "
            f"{contracts.channel(PARTS).name} no longer holds",
            style="yellow",
        )
    for each in answer.incidents:
        over = "open" if each.closed is None else f"over since {minute(each.closed)}"
        console.print(
            f"drift in {each.stream} since {minute(each.began or each.opened)}, {over}: {named(each.columns)} "
            f"(headrace drift {spec.name} {each.incident})",
            style="yellow",
            markup=False,
        )
    console.print(note(spec.name))
    if plot is not None:
        console.print(f"\ndrawn in {plot}", markup=False)


def _draw(answer: ScorecardAnswer, out: Path) -> None:
    with drawing():
        from headrace.cli.render.scorecard_plot import draw  # what draws is an extra, and takes a second to load
    draw(answer.found, answer.pipeline, answer.span, out)
