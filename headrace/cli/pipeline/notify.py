"""`headrace notify`: whether those who are to be told of events can be reached."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.options import Json, PipelineName, pipeline_of
from headrace.cli.render.documents import print_json
from headrace.operations.notification.channel_test import try_channels

app = typer.Typer(help="Who is told of drift, harm, approvals and roll-backs.", no_args_is_help=True)


@app.callback()
def notify() -> None:
    """Who is told of drift, harm, approvals and roll-backs."""


@app.command("test")
def send_test(
    pipeline: PipelineName,
    channel: Annotated[str | None, typer.Option("--channel", metavar="NAME", help="This one alone.")] = None,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0.1, help="For answers, so long.")] = 30.0,
    json: Json = False,
) -> None:
    """Send a test message through each channel of the pipeline file, and say what came of it.

    Addresses are read where the service reads them: from the variables and files that the channels name. Exit code 1
    when a channel did not take it.
    """
    found = try_channels(pipeline_of(pipeline), channel, os.environ, wait)
    if json:
        print_json(found)
    else:
        out = Console(soft_wrap=True, highlight=False)
        for each in found:
            said = (
                f"[green]took it[/] after {each.seconds:.1f} s"
                if each.problem is None
                else f"[red]{escape(each.problem)}[/]"
            )
            out.print(f"{escape(each.channel)}: {said}")
    raise typer.Exit(0 if all(each.problem is None for each in found) else 1)
