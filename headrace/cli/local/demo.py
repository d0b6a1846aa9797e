"""`headrace demo`: the whole system at work on this machine, from an empty broker to a balanced account."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace.cli.options import Json
from headrace.cli.render.demo.loop_view import TerminalLoop
from headrace.cli.render.demo.tour import say_what_next
from headrace.cli.render.demo.view import TerminalDemo
from headrace.cli.signals import stopped_by_signals
from headrace.operations.demo.demo import DemoRequest, EndedDemo, run_demo
from headrace.operations.demo.loop import PIPELINE, EndedLoop, LoopRequest, run_loop
from headrace.operations.demo.scenario import Stopped
from headrace.operations.demo.tour import leave_up
from headrace.operations.local.home import home

SHORT_MINUTES, SHORT_PIPELINE = 2.0, "card_fraud"


def demo(
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="The short demo, so long; set-up included, downloads not.")
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option(metavar="PIPELINE", help="The short demo, with events of this one; else card_fraud.")
    ] = None,
    rate: Annotated[float, typer.Option(min=1, help="Live events a second.")] = 500.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same events.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the system up afterwards, and say what to try.")] = False,
    story: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Takes story.png and story.html; else .headrace/story.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the loop at work on this machine, unattended: a process shifts, a model is trained anew and let in.

    A real Kafka and Redis start in a directory of their own, `.headrace/demo`. A model is trained on made-up history
    and answers live events until something else is true of them: an incident opens, a model is trained on what came
    since, judged, approved, tried in the dark and in a canary, and becomes the champion. Then a stale model is
    registered, which the gates stop, and one that cheats, which evidence puts back. All decisions are those of the
    services; the demo makes up the events, and plays the people who register and approve. What happened is drawn into
    story.png and story.html.

    With --minutes or --pipeline it is the short demo: events in, predictions out, two models, for so long.

    At the end of both events and answers are compared one by one: exit code 0 when each has exactly one, and all came
    that was to come. Ctrl-C ends it early, with the same account. With --keep the system is left up, for a look around.
    """
    console, directory, stop = Console(stderr=json), home() / "demo", threading.Event()
    short = minutes is not None or pipeline is not None
    if short and story is not None:
        raise typer.BadParameter("only the loop has a story: leave out --minutes and --pipeline", param_hint="--story")
    ended: EndedDemo
    try:
        with stopped_by_signals(stop):
            if short:
                request = DemoRequest(pipeline or SHORT_PIPELINE, minutes or SHORT_MINUTES, rate, seed, keep)
                ended = run_demo(request, directory, stop, TerminalDemo(console, json))
            else:
                loop_view = TerminalLoop(console, json, story or home() / "story")
                ended = run_loop(LoopRequest(rate, seed, keep), directory, stop, loop_view)
    except Stopped:
        raise typer.Exit(130) from None
    told = ended.story if isinstance(ended, EndedLoop) else None
    if ended.kept is not None:
        console.print("\nstarting the services again, to stay", style="dim")
        if not leave_up(ended.kept):
            raise typer.Exit(1)
        say_what_next(console, ended.kept, (pipeline or SHORT_PIPELINE) if short else PIPELINE, told)
    wrong = not ended.account.balanced or (told is not None and bool(told.missed) and not stop.is_set())
    if wrong:
        console.print(f"logs and topics are kept in {directory}", style="red", soft_wrap=True)
        raise typer.Exit(1)
    if ended.kept is None:
        console.print("all of it is gone again; to look around in it: --keep (make demo KEEP=1)", style="dim")
    raise typer.Exit(130 if stop.is_set() else 0)
