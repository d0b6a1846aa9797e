"""`headrace broker`: the embedded broker and stores, without services."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Json
from headrace.cli.render.documents import print_json
from headrace.devparts import home as running
from headrace.devparts.progress import bars
from headrace.operations.local.home import home

app = typer.Typer(help="The embedded broker and online store, without services.", no_args_is_help=True)


@app.command()
def up(
    registry: Annotated[bool, typer.Option("--registry", help="A schema registry too.")] = False,
    nodes: Annotated[int, typer.Option(min=1, help="Brokers; fixed by the first time.")] = 1,
    json: Json = False,
) -> None:
    """Start a real Kafka and Redis in the background, or find them running; commands in this directory use them."""
    with bars(Console(stderr=True, quiet=json)) as report:
        parts = running.up(home(), registry, nodes=nodes, report=report)
    if json:
        print_json(parts)
        return
    console = Console(highlight=False)
    console.print(f"kafka     {parts.bootstrap}")
    console.print(f"redis     {parts.redis}")
    if parts.registry is not None:
        console.print(f"registry  {parts.registry}")


@app.command()
def down(
    forget: Annotated[bool, typer.Option("--forget", help="Delete their data, topics and all.")] = False,
    json: Json = False,
) -> None:
    """Stop them. Nothing happens when nothing runs."""
    running.down(home(), forget=forget)
    if json:
        print_json({"stopped": True, "forgotten": forget})
    else:
        typer.echo("stopped")


@app.command()
def status(json: Json = False) -> None:
    """Say what runs and where; exit code 3 when something that was up is not."""
    found = running.status(home())
    if json:
        print_json(found)
    elif not found:
        typer.echo("nothing was started here; start it with: headrace broker up")
    else:
        for part in found:
            typer.echo(f"{part.name:<9} {'running' if part.running else 'stopped':<8} {part.address}")
    raise typer.Exit(0 if found and all(part.running for part in found) else 3)
