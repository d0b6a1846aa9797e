"""`headrace up`, `down` and `status`: a pipeline with all that it needs, in the background of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.options import Json, PipelineName
from headrace.cli.render.documents import print_json
from headrace.cli.render.progress import TerminalProgress
from headrace.devparts.progress import bars
from headrace.operations.local import pipelines as local
from headrace.operations.local.home import home
from headrace.operations.local.pipelines import MemberStatus
from headrace.operations.local.supervisor import told
from headrace.operations.remarks import REMARKS, WORDS


def up(
    pipeline: PipelineName,
    scale: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=N", help="Members of a service; of views: for each view.")
    ] = None,
    registry: Annotated[bool, typer.Option("--registry", help="A schema registry too, and ids from it.")] = False,
    partitions: Annotated[int | None, typer.Option(min=1, help="Of topics that are new.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of all services.")
    ] = None,
    json: Json = False,
) -> None:
    """Start a broker, a store and the pipeline's services in the background, with its schemas and topics.

    The file of a revision that was announced to follow the one that runs here is started beside it (`headrace revise`).
    Returns when every service is ready; `score` also counts as up while no plan says which model to play, and `intake`
    while producers have not created their topic. When one is not, and nothing changed for a minute, the exit code is 3.
    A repeat finds what runs. Logs are below .headrace/logs.
    """
    progress = TerminalProgress(quiet=json)
    running = local.up(
        pipeline,
        scale=scale or (),
        registry=registry,
        partitions=partitions,
        overrides=set_ or (),
        progress=progress,
        starting=lambda: bars(Console(stderr=True, quiet=json)),
    )
    code = 0 if all(member.up for member in running.members) else 3
    if json:
        print_json(running)
        raise typer.Exit(code)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"kafka     {running.bootstrap}")
    console.print(f"redis     {running.redis}")
    if running.registry is not None:
        console.print(f"registry  {running.registry}")
    for member in running.members:
        console.print(_line(member))
    if any(member.waits_for_plan for member in running.members):
        console.print(f"[yellow]score waits for a model: headrace train {escape(pipeline)}[/]")
    for member in running.members:
        if member.failing:
            log = Path(running.logs) / f"{member.name}.log"
            console.print(
                f"[red]{escape(member.name)} goes on failing: {escape(told(member.code or 0))}, "
                f"{member.failures} times in a row; why stands in {escape(str(log))}[/]"
            )
    if late := [member.name for member in running.members if not (member.up or member.failing)]:
        console.print(f"[yellow]not ready yet: {escape(', '.join(late))}; headrace status says when[/]")
    raise typer.Exit(code)


def down(
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete topics, the store's data and what trainings left here, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Drain all services that `up` started, then stop the broker and the stores. Nothing happens when nothing runs.

    With --forget the data of both is deleted, the cache of models, and what trainings left; of a demo's directory all
    that is there. Logs and the model store stay; what stays is said with its place.
    """
    console = Console(stderr=True, quiet=json)

    def undrained(name: str, how: str) -> None:
        console.print(f"[yellow]{escape(name)} {escape(how)}; its log is in {home() / 'logs'}[/]")

    done = local.down(forget, TerminalProgress(quiet=json), undrained)
    told = done.forgotten
    if json:
        kept = {} if told is None else {"deleted": [*done.parts, *told.deleted], "stays": told.stays}
        print_json({"stopped": True, "forgotten": forget, **kept})
        return
    typer.echo("stopped" if done.ran else f"nothing was running in {home()}")
    if told is not None:
        deleted = [*(f"the data of {part}" for part in done.parts), *told.deleted]
        for one in deleted or ["nothing: there was nothing"]:
            typer.echo(f"deleted {one}")
        for one in told.stays:
            typer.echo(f"stays   {one}")


def status(json: Json = False) -> None:
    """Say what runs here: broker, stores and services; exit code 3 when something that was up is not ready."""
    found = local.status()
    if json:
        print_json(found)
    elif not found.parts:
        typer.echo("nothing was started here; start it with: headrace up PIPELINE")
    else:
        console = Console(highlight=False, soft_wrap=True)
        for part in found.parts:
            console.print(f"{part.name:<24} {'running' if part.running else '[red]stopped[/]':<10} {part.address}")
        rows = [
            replace(member, name=f"{name} {member.name}")
            for name, members in found.pipelines.items()
            for member in members
        ]
        width = max((len(member.name) for member in rows), default=24)
        for member in rows:
            console.print(_line(member, width))
    raise typer.Exit(0 if found.ready else 3)


def _line(member: MemberStatus, width: int = 24) -> str:
    state = "[green]ready[/]" if member.ready else f"[yellow]{escape(member.missing)}[/]"
    again = f", started again {member.restarts} times" if member.restarts else ""
    noted = "".join(f", {count:,} {WORDS[REMARKS].get(remark, remark)}" for remark, count in member.remarks.items())
    return f"{escape(member.name):<{width}} {state}  http://127.0.0.1:{member.port}/metrics{again}{noted}"
