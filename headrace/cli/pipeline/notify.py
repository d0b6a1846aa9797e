"""`headrace notify`: whether those who are to be told of events can be reached."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.options import (
    Bootstrap,
    FromTime,
    Json,
    PipelineName,
    ToTime,
    contracts_of,
    milliseconds,
    pipeline_of,
)
from headrace.cli.render.documents import print_json
from headrace.operations.notification.channel_test import try_channels
from headrace.operations.notification.untaken_messages import MOST, resend
from headrace.operations.time_spans import FOREVER, TimeSpan

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


@app.command("resend")
def resend_untaken(
    pipeline: PipelineName,
    channel: Annotated[str | None, typer.Option("--channel", metavar="NAME", help="Of this one alone.")] = None,
    from_: FromTime = None,
    to: ToTime = None,
    most: Annotated[int, typer.Option("--most", min=1, max=1_000, help="At most so many, the newest.")] = MOST,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Have messages sent once more that nobody took; --from and --to are of when they were given up.

    The service sends them as it does others: it tries for as long, and says on the topic what came of each. Exit code 1
    when there is none.
    """
    start, stop = milliseconds(from_), milliseconds(to)
    span = TimeSpan(-FOREVER if start is None else start, FOREVER if stop is None else stop)
    settings, contracts = contracts_of(pipeline, bootstrap)
    found = resend(settings, contracts, channel, span, time.time(), most)
    if json:
        print_json(found)
    else:
        out = Console(soft_wrap=True, highlight=False)
        for row in found:
            out.print(f"{escape(row['channel'])}: {escape(row['title'])}")
        name = escape(contracts.pipeline.name)
        out.print(
            f"{len(found)} messages are to be sent again: headrace lag {name} shows whether `notify` runs, and "
            "`undelivered` on its topic what nobody took once more"
            if found
            else f"there is no message of {name} that nobody took"
        )
    raise typer.Exit(0 if found else 1)
