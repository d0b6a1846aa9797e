"""`headrace schemas`: hold schemas and examples together, and give new versions their ids."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from headrace.errors import ConfigurationError, ContractError, Transient
from headrace.operations.local.members import refuse_secret
from headrace.operations.topics.schema_ids import derived_schemas, pin, pins_at, register_with, schema_folder
from headrace.streaming.contracts.schemas import (
    breaks,
    load_schema,
    undocumented,
)

WRONG, MISUSED, LATER = 1, 2, 75
"""Exit codes: a contract does not hold; the command line or a file is wrong; a registry may answer later."""

app = typer.Typer(help="Schemas of the topics: check them, register new versions.", no_args_is_help=True)

PipelineArgument = Annotated[
    str | None, typer.Argument(metavar="[PIPELINE]", help="A pipeline file or name: its derived schemas too.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
PinsOption = Annotated[
    Path | None,
    typer.Option("--pins", envvar="HEADRACE_SCHEMA_IDS", help="The file of ids, schemas/ids.json by default."),
]
FolderOption = Annotated[Path | None, typer.Option("--schemas", help="The folder of schema files.")]


@app.command()
def check(
    pipeline: PipelineArgument = None, folder: FolderOption = None, pins: PinsOption = None, as_json: JsonOption = False
) -> None:
    """Check that schemas are safe and documented, their examples hold, and they read what older ones wrote."""
    from headrace.streaming.contracts.examples import sweep  # only here: it brings the compiled codec

    with _exits():
        folder = folder or schema_folder(pipeline)
        problems = sweep(folder)
        wanted = {path.stem: load_schema(path) for path in sorted(folder.glob("*.avsc"))} if not problems else {}
        if pipeline is not None:
            derived = derived_schemas(pipeline)
            problems += [f"{subject}: {at} has no doc" for subject, one in derived.items() for at in undocumented(one)]
            wanted |= derived
        path = pins or folder / "ids.json"
        problems += breaks(pins_at(path), wanted)
    if as_json:
        typer.echo(json.dumps({"schemas": sorted(wanted), "problems": problems}, indent=2))
    else:
        for problem in problems:
            typer.echo(problem, err=True)
        typer.echo(f"{len(wanted)} schemas, {len(problems)} problems")
    if problems:
        raise typer.Exit(WRONG)


@app.command()
def register(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="A pipeline file or name.")],
    pins: PinsOption = None,
    registry: Annotated[
        str | None, typer.Option(envvar="HEADRACE_REGISTRY", help="Register with this registry, not in the file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give each schema of a pipeline's topics an id, unless it has one; repeat it as often as you like."""
    with _exits():
        wanted = derived_schemas(pipeline)
        if registry is not None:
            if registry != os.environ.get("HEADRACE_REGISTRY"):
                refuse_secret("--registry with a password", "HEADRACE_REGISTRY", registry)
            ids, added = register_with(registry, wanted), None
        else:
            ids, added = pin(pins or schema_folder(pipeline) / "ids.json", wanted)
    if as_json:
        typer.echo(json.dumps({"ids": ids, "added": added}, indent=2))
        return
    for subject, number in sorted(ids.items()):
        new = " (new)" if added is not None and subject in added else ""
        typer.echo(f"{number:>6}  {subject}{new}")


@contextmanager
def _exits() -> Iterator[None]:
    """Say what went wrong in a line, and end with its exit code."""
    codes = {ContractError: WRONG, ConfigurationError: MISUSED, Transient: LATER}
    try:
        yield
    except tuple(codes) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(codes[type(error)]) from None
