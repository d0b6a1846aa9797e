"""`headrace features`: the catalogue of a pipeline's features."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from headrace.cli.options import Bootstrap, FromTime, Json, PipelineName, ToTime, contracts_of, milliseconds
from headrace.cli.render.catalogue.entity import entity_sheet
from headrace.cli.render.catalogue.features import catalogue_table, feature_sheet, unknown_lines
from headrace.cli.render.catalogue.skew import skew_sheet
from headrace.cli.render.catalogue.statistics import statistics_sheet
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import paper
from headrace.cli.render.progress import TerminalProgress
from headrace.operations.catalogue.entity_features import entity_features
from headrace.operations.catalogue.feature_catalogue import feature_catalogue, shown_feature
from headrace.operations.catalogue.skew import feature_skew
from headrace.operations.catalogue.statistics import feature_statistics
from headrace.operations.replay.request import span_of

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The features of a pipeline.")


@app.callback()
def features() -> None:
    """The features of a pipeline: which there are, who reads them, what they are for an entity, how they lie."""


@app.command("list")
def list_(pipeline: PipelineName, bootstrap: Bootstrap = None, json: Json = False) -> None:
    """List every feature: what it is, what a null of it means, who answers for it, and who reads it.

    Models are those of the live plan and of the model store. Where Kafka or the store does not answer, the rest is
    told all the same, and what is not known below it.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    found = feature_catalogue(settings, contracts)
    if json:
        print_json(found)
        return
    console = paper()
    console.print(catalogue_table(found))
    for line in unknown_lines(found.unknown):
        console.print(line, soft_wrap=True)


@app.command()
def show(
    pipeline: PipelineName,
    feature: Annotated[str, typer.Argument(metavar="FEATURE", help="As customer.nb_tx_1d.")],
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show one feature whole: what it reads, which topics it is made of, how old its newest value is, who reads it."""
    settings, contracts = contracts_of(pipeline, bootstrap)
    found = shown_feature(settings, contracts, feature, time.time())
    if json:
        print_json(found)
        return
    console = paper(soft_wrap=True)
    for part in feature_sheet(found):
        console.print(part)


@app.command()
def get(
    pipeline: PipelineName,
    entity: Annotated[
        str, typer.Argument(metavar="ENTITY", help="As record keys have it; '*' of a view of all events.")
    ],
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Event time. [default: how far event time has come]")
    ] = None,
    view: Annotated[
        str | None,
        typer.Option("--view", metavar="VIEW", help="This one alone; of another entity than the events' key."),
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Tell the features of an entity, as the next event would have them, or as of a time in the past.

    Of a time at which the entity has an event: what was served with it. Else they are made anew from the log of events,
    by what `enrich` makes them of. Exit code 0 when every view is exact, 3 when events that it needs were deleted.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    found = entity_features(settings, contracts, entity, milliseconds(at), view, TerminalProgress(quiet=json))
    if json:
        print_json(found)
    else:
        console = paper(soft_wrap=True)
        for part in entity_sheet(found):
            console.print(part)
    raise typer.Exit(0 if all(each.exact for each in found.views) else 3)


@app.command()
def stats(
    pipeline: PipelineName,
    from_: FromTime = None,
    to: ToTime = None,
    feature: Annotated[
        list[str] | None, typer.Option("--feature", metavar="FEATURE", help="This one alone; repeatable.")
    ] = None,
    segment: Annotated[
        str | None, typer.Option("--segment", metavar="SEGMENT", help="Tell its groups apart as well.")
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Tell how the values lie that were served: nulls, mean, spread, quantiles, number of different ones.

    --from and --to choose events by their own time. Every figure is exact, of all rows.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    span = span_of(milliseconds(from_), milliseconds(to))
    found = feature_statistics(settings, contracts, span, feature or (), segment, TerminalProgress(quiet=json))
    if json:
        print_json(found)
        return
    console = paper()
    for part in statistics_sheet(found):
        console.print(part)


@app.command()
def skew(
    pipeline: PipelineName,
    from_: FromTime = None,
    to: ToTime = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="MODEL", help="NAME@VERSION, or the start of a digest. [default: the champion]"
        ),
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Hold serving against training: what a model was served against its reference, and against the log of events.

    First the inputs and answers of a model in the span beside the reference profile of its package, with the distance
    and effects of `headrace drift`. Then every feature that was served made anew from the log, and compared to the bit.

    Exit code 0 when all served values are those of the log, or their views were behind and said so; 3 when others
    differ, or nothing could be compared.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    span = span_of(milliseconds(from_), milliseconds(to))
    found = feature_skew(settings, contracts, model, span, TerminalProgress(quiet=json))
    if json:
        print_json(found)
    else:
        console = paper()
        for part in skew_sheet(found):
            console.print(part)
    raise typer.Exit(0 if found.agreement is not None and not found.agreement.unexplained else 3)
