"""`headrace duel`: two models on the same events."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of
from headrace.cli.periods import Last, Window, asked
from headrace.cli.render.comparison import duel_sheet
from headrace.cli.render.documents import print_json
from headrace.cli.render.progress import TerminalProgress
from headrace.cli.render.remarks import note
from headrace.domain.pipeline.document import closest
from headrace.domain.release.margin import read_margin
from headrace.errors import ConfigurationError
from headrace.operations.comparison.anytime_evidence import EvidenceRequest
from headrace.operations.comparison.duel import DuelRequest, compare
from headrace.operations.comparison.model_choice import HOW, rival

Side = Annotated[str, typer.Argument(metavar="SIDE", help=f"{HOW[0].upper()}{HOW[1:]}.")]
SegmentOption = Annotated[
    str | None, typer.Option("--segment", metavar="NAME", help="Tell also each group of this segment.")
]


def duel(
    pipeline: PipelineName,
    a: Side,
    b: Side,
    window: Window = None,
    last: Last = None,
    segment: SegmentOption = None,
    top: Annotated[int, typer.Option(min=0, help="How many events to show that they disagree on most.")] = 10,
    replicates: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of the bootstrap; 0: influence functions instead. [default: 1000, or 0 past 100,000 labelled events]",
        ),
    ] = None,
    include_training: Annotated[
        bool, typer.Option("--include-training", help="Count also events that one of the two was fitted on.")
    ] = False,
    delta: Annotated[
        str,
        typer.Option(metavar="MARGIN", help="What B may lose more than A: a share of A's loss, or a loss (0.0005)."),
    ] = "5%",
    alpha: Annotated[
        float, typer.Option(help="How often evidence that is looked at any time may say what is not so, ever.")
    ] = 0.05,
    bound: Annotated[
        float | None,
        typer.Option(help="For models of a quantity: the squared error beyond which all errors count alike."),
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Compare two models on the events that both scored: decisions, scores, latency, cost, and who is better.

    Who is better is told by mature outcomes alone, without the events that one of the two was fitted on. A champion and
    its canary answer different entities and are compared as independent groups; play the canary's model as a shadow
    too, and compare that, for the same events.

    The verdict is for one look. The evidence below it may be looked at after every outcome: is B worse than A by more
    than --delta, or is it not?
    """
    sides = rival(a), rival(b)
    settings, contracts = contracts_of(pipeline, bootstrap)
    spec = contracts.pipeline
    if segment is not None and segment not in spec.segments:
        raise ConfigurationError(f"{spec.name} has no segment {segment}: {closest(segment, spec.segments)}")
    evidence = EvidenceRequest(read_margin(delta), alpha, bound)
    asks = DuelRequest(sides, asked(window, last), segment, top, replicates, include_training, evidence)
    found, span = compare(settings, contracts, asks, TerminalProgress(quiet=json))
    if json:
        print_json(found)
    else:
        out = Console(highlight=False)
        for part in duel_sheet(found, span.text, spec, out.width):
            out.print(part)
        out.print(note(spec.name))
    if found.unreadable:
        Console(stderr=True).print(f"{found.unreadable:,} records could not be read and are left out", style="red")
    raise typer.Exit(1 if found.unreadable else 0)
