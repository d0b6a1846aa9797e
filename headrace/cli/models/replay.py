"""`headrace replay`: a model over events of the past."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import Bootstrap, FromTime, Json, PipelineName, Store, ToTime, milliseconds, naming
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import paper
from headrace.cli.render.models.replay import replay_lines
from headrace.cli.render.progress import TerminalProgress
from headrace.cli.signals import stopped_by_signals
from headrace.domain.models.settings import InferenceSettings
from headrace.domain.pipeline.contracts import PREDICTIONS
from headrace.domain.pipeline.wiring import read_contracts
from headrace.errors import ConfigurationError
from headrace.operations.replay import destinations
from headrace.operations.replay.destinations import Destination, Nowhere, ReplayFile, ReplayTopic
from headrace.operations.replay.replay import ReplayedRange
from headrace.operations.replay.replay import replay as operation
from headrace.operations.replay.request import ReplayRequest, offsets_of, span_of
from headrace.streaming.process.settings import read_settings

Model = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="NAME@VERSION, the start of a digest, an ensemble of a plan, or its champion or canary.",
    ),
]


def replay(
    pipeline: PipelineName,
    model: Model,
    from_: FromTime = None,
    to: ToTime = None,
    offsets: Annotated[
        list[str] | None,
        typer.Option(metavar="PARTITION:FROM-TO", help="Of the features topic: these alone. May be repeated."),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another topic for predictions that no service reads.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.parquet", dir_okay=False, help="Write a file, no topic.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with what the model predicted then; alone it writes nothing.")
    ] = False,
    models: Store = "models",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Score events of the past by a model, with the features that were known then.

    --from and --to choose by event time. Predictions go to the topic PIPELINE.replays, as arm `replay` of plan 0; their
    ids end in the name of the replay, which is the same whenever the same is asked for. No service reads them.

    Exit code 0: every event that was asked for was scored, and is as predicted then where that was asked; 1: some were
    left out, or differ; 3: nothing could be compared; 130: stopped.
    """
    settings = read_settings(InferenceSettings, pipeline=pipeline, bootstrap=bootstrap, models=models)
    contracts = read_contracts(settings)
    request = ReplayRequest(model, span_of(milliseconds(from_), milliseconds(to)), offsets_of(offsets or []))
    if topic is not None and out is not None:
        raise ConfigurationError("--topic and --out exclude each other: write one of them")
    channel = destinations.replay_channel(contracts, topic or destinations.TOPIC)

    def prepare() -> Destination:
        if out is not None:
            return ReplayFile(out, contracts.channel(PREDICTIONS).codec.reader.arrow)
        return Nowhere() if compare and topic is None else ReplayTopic(settings.connection, channel)

    stop = threading.Event()
    with stopped_by_signals(stop), nullcontext() if out is None else naming(out):
        done = operation(settings, contracts, request, prepare, TerminalProgress(quiet=json), stop, compare)
    if json:
        print_json(done)
    else:
        paper(soft_wrap=True).print(*replay_lines(done), sep="\n")
    raise typer.Exit(_code(done, compare))


def _code(done: ReplayedRange, compare: bool) -> int:
    if done.stopped:
        return 130
    found = done.agreement
    if not done.whole or (found is not None and (found.different or found.decisions or found.unreadable)):
        return 1
    return 3 if compare and (found is None or not found.compared) else 0
