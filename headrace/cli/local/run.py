"""`headrace run`: services of a pipeline as processes under a supervisor, until they are stopped."""

from __future__ import annotations

import os
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Bootstrap, Json, pipeline_of, seconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.members import MemberLines
from headrace.cli.signals import stopped_by_signals
from headrace.operations.local.foreground import plan_members, supervise
from headrace.operations.local.members import refuse_secret
from headrace.operations.services import SERVICES


class Mode(StrEnum):
    """How outputs and offsets become durable."""

    exactly_once = "exactly_once"
    at_least_once = "at_least_once"


def run(
    services: Annotated[list[str], typer.Argument(metavar="SERVICE...", help=", ".join(SERVICES) + ".")],
    pipeline: Annotated[str, typer.Option(metavar="PIPELINE", help="A pipeline file, or the name of one.")],
    scale: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=N", help="Members of a service; of views: for each view.")
    ] = None,
    until_idle: Annotated[
        str | None, typer.Option(metavar="DURATION", help="End once all members had nothing to do for so long: 5s.")
    ] = None,
    member_prefix: Annotated[str, typer.Option(help="Before members' names; another one on every machine.")] = "",
    mode: Annotated[Mode | None, typer.Option(help="[default: exactly_once]")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting: --set linger_ms=5.")
    ] = None,
    bootstrap: Bootstrap = None,
    redis: Annotated[str | None, typer.Option(envvar="HEADRACE_REDIS", help="The online store's url.")] = None,
    logs: Annotated[
        Path | None, typer.Option(help="Write each member's log to a file here instead of the terminal.")
    ] = None,
    json: Json = False,
) -> None:
    """Run services of a pipeline, each member a process of its own, until Ctrl-C or SIGTERM.

    A member that crashes is started again, at once and then after growing waits; with --until-idle, where nobody may be
    watching, no more than 6 times in a row. The end is a drain: what was read is answered and committed, and it is said
    how each member ended. Exit code 0 when all drained; 2 or 3 when a member gave up (wrong settings or contracts; too
    many dead letters), which ends them all unless they log to files; 1 when one had to be killed or kept crashing.
    """
    spec = pipeline_of(pipeline)
    if redis is not None and redis != os.environ.get("HEADRACE_REDIS"):
        refuse_secret("--redis with a password", "HEADRACE_REDIS", redis)
    plan = plan_members(
        spec,
        pipeline,
        services,
        scale=scale or (),
        prefix=member_prefix,
        mode=None if mode is None else mode.value,
        overrides=set_ or (),
        bootstrap=bootstrap,
        redis=redis,
    )
    idle = None if until_idle is None else seconds(until_idle)
    if plan.waits_for_labels:
        views = ", ".join(plan.waits_for_labels)
        typer.echo(f"labels are folded into {views}: enrich waits unless the service labels runs somewhere", err=True)
    if sys.stderr.isatty() and logs is None:
        plan.env.setdefault("HEADRACE_LOG", "console")
    stop = threading.Event()
    names = [member.name for member in plan.members]
    lines = MemberLines(Console(stderr=True, soft_wrap=True), names, to_files=logs is not None)
    with stopped_by_signals(stop):
        ended = supervise(plan, logs, stop, idle, lines.tell)
    lines.conclude(ended.members)
    if json:
        print_json(ended)
    raise typer.Exit(ended.exit_code)
