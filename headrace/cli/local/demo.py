"""`headrace demo`: the whole system at work on this machine, from an empty broker to a balanced account."""

from __future__ import annotations

import threading
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Json
from headrace.cli.render.demo.tour import say_what_next
from headrace.cli.render.demo.view import TerminalDemo
from headrace.cli.signals import stopped_by_signals
from headrace.operations.demo.demo import DemoRequest, run_demo
from headrace.operations.demo.scenario import Stopped
from headrace.operations.demo.tour import leave_up
from headrace.operations.local.home import home


def demo(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long it lasts, set-up included, downloads not.")] = 2.0,
    pipeline: Annotated[str, typer.Option(metavar="PIPELINE", help="Whose events are made up.")] = "card_fraud",
    rate: Annotated[float, typer.Option(min=1, help="Live events a second.")] = 500.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same events.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the system up afterwards, and say what to try.")] = False,
    json: Json = False,
) -> None:
    """Show the whole system at work on this machine, for a few minutes: events in, predictions out, nothing lost.

    A real Kafka and Redis start in a directory of their own, `.headrace/demo`; weeks of made-up history go through, a
    first model is trained from the topics, and once every service has caught up, live events come in at a steady rate.
    At the end events and answers are compared one by one: exit code 0 when each has exactly one. Ctrl-C ends it early,
    with the same account. With --keep the system is left up, for a look around.
    """
    console, directory = Console(stderr=json), home() / "demo"
    request, stop = DemoRequest(pipeline, minutes, rate, seed, keep), threading.Event()
    try:
        with stopped_by_signals(stop):
            ended = run_demo(request, directory, stop, TerminalDemo(console, json))
    except Stopped:
        raise typer.Exit(130) from None
    if ended.kept is not None:
        console.print("\nstarting the services again, to stay", style="dim")
        if not leave_up(ended.kept):
            raise typer.Exit(1)
        say_what_next(console, ended.kept, pipeline)
    if not ended.account.balanced:
        console.print(f"logs and topics are kept in {directory}", style="red")
        raise typer.Exit(1)
    if ended.kept is None:
        console.print("all of it is gone again; to look around in it: --keep (make demo KEEP=1)", style="dim")
    raise typer.Exit(130 if stop.is_set() else 0)
