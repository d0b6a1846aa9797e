"""`headrace init`: a pipeline file, a schema and examples, proposed from the rows of a file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json
from headrace.cli.render.documents import print_json
from headrace.cli.render.initialisation import init_sheet, open_sheet
from headrace.errors import ConfigurationError
from headrace.operations.proposal.initialisation import initialise, listed_guesses
from headrace.operations.proposal.sample import StreamSample, sample_file
from headrace.operations.proposal.topic_sample import sample_topic
from headrace.streaming.process.settings import Settings, read_settings

MOST, MOST_RECORDS = 1_000_000, 20_000
"""Rows of a file, and records of a topic, that are looked at unless another number is given; never more of a topic."""
FILES = (".csv", ".tsv", ".txt", ".gz", ".parquet", ".pq", ".json", ".jsonl", ".ndjson")
"""How names end that mean a file, though none is there."""


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the pipeline is to be called: a-z, 0-9 and _.")],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|TOPIC",
            help="Its events: CSV with a header, Parquet, a JSON object a line; or a topic of Avro or JSON records.",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=2, help="How many of its first rows are looked at.")] = MOST,
    replace: Annotated[bool, typer.Option("--replace", help="Write files anew that are there already.")] = False,
    registry: Annotated[
        str | None, typer.Option(envvar="HEADRACE_REGISTRY", help="Of a topic: the registry that knows its schema.")
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(metavar="FILE.avsc", help="Of a topic: its schema, in place of a registry.")
    ] = None,
    bootstrap: Bootstrap = None,
    edit: Annotated[
        bool,
        typer.Option(
            "--edit", help="List the lines to look at, as FILE:LINE; opens nothing, and alone writes nothing."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Propose a pipeline from the rows of a file: its pipeline file, the schema of its events, and examples.

    They stand in this folder, in pipelines/ and schemas/, and pass `headrace check` as they are. Each line has its
    reason above it: `seen:`, what the rows show, or `guess:`, what they leave open. What files need so that `headrace
    publish` takes them as they are, such as decimal commas and formats of times, is in the section `files`.
    """
    console = Console(highlight=False, soft_wrap=True)
    if from_ is None:
        if not edit:
            raise ConfigurationError("name a file of its events: --from events.csv")
        listed = listed_guesses(name)
        print_json(listed) if json else console.print(open_sheet(listed))
        return
    sample = _sample(from_, rows, registry, schema, bootstrap)
    command = shlex.join(["headrace", "init", name, "--from", from_])
    made = initialise(name, sample, Path(), command, replace=replace)
    if json:
        print_json(made)
        return
    console.print(open_sheet(made.open) if edit else init_sheet(made, None if sample.topic is not None else from_))


def _sample(source: str, rows: int, registry: str | None, schema: Path | None, bootstrap: str | None) -> StreamSample:
    """The rows of a file where there is one of that name, or it is called as one; else of a topic."""
    path = Path(source)
    if path.exists() or path.suffix in FILES or "/" in source:
        return sample_file(path, rows)
    settings = read_settings(Settings, pipeline=source, bootstrap=bootstrap)
    return sample_topic(settings.connection, source, min(rows, MOST_RECORDS), registry, schema)
