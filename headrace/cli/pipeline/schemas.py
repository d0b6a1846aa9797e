"""`headrace schemas`: hold schemas and examples together, and give new versions their ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.render.documents import print_json
from headrace.errors import ConfigurationError, ContractError, Transient
from headrace.operations.local.members import refuse_secret
from headrace.operations.topics.schema_ids import check_schemas, register_schemas

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
    with _exits():
        checked = check_schemas(pipeline, folder, pins)
    if as_json:
        print_json(checked, indent=2)
    else:
        for problem in checked.problems:
            typer.echo(problem, err=True)
        typer.echo(f"{len(checked.schemas)} schemas, {len(checked.problems)} problems")
    if checked.problems:
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
        if registry is not None and registry != os.environ.get("HEADRACE_REGISTRY"):
            refuse_secret("--registry with a password", "HEADRACE_REGISTRY", registry)
        done = register_schemas(pipeline, pins, registry)
    if as_json:
        print_json(done, indent=2)
        return
    for subject, number in sorted(done.ids.items()):
        new = " (new)" if done.added is not None and subject in done.added else ""
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
