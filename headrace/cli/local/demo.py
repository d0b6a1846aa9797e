"""`headrace demo`: the whole system at work on this machine, from an empty broker to a balanced account."""

from __future__ import annotations

import json as codec
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.options import Json
from headrace.cli.render.documents import print_json
from headrace.cli.render.screen import Screen
from headrace.cli.render.tour import say_what_next
from headrace.cli.signals import stopped_by_signals
from headrace.devparts import home as running
from headrace.devparts.maven import Report
from headrace.devparts.progress import bars
from headrace.domain.pipeline.wiring import read_contracts
from headrace.domain.pipeline.workspace import resolve
from headrace.operations.demo.monitor import Account, Floats
from headrace.operations.demo.picture import percentiles
from headrace.operations.demo.scenario import Show, Stopped
from headrace.operations.demo.tour import FROM_OUTSIDE, keep_rest, leave_up, take_down
from headrace.operations.local.environment import environment
from headrace.operations.local.home import home
from headrace.operations.topics.provisioning import provision
from headrace.streaming.process.settings import Settings, read_settings

PARTITIONS = 4
LEAST_LIVE_S = 20.0
"""Events come in for at least this long, whatever the set-up took."""
JUDGEMENTS: Mapping[str, tuple[str, ...]] = {
    "scorecard": ("scorecard",),
    "duel": ("duel", "champion", "challenger", "--top", "3"),
}
"""Commands that tell at the end what became of the predictions."""


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
    console = Console(stderr=json, quiet=False)
    directory = home() / "demo"
    stop, kept = threading.Event(), Kept(keep)
    with ExitStack() as last:
        last.enter_context(stopped_by_signals(stop))
        with bars(console) as report:
            parts = last.enter_context(_parts(directory, report, kept))
            until = time.monotonic() + 60 * minutes
            show = last.enter_context(_show(pipeline, directory, parts, stop, report))
            try:
                show.await_services()
                plot = show.write(int(rate * 60 * minutes), rate, seed)
                show.publish_history(plot)
                show.await_features()
                show.train()
                show.await_predictions()
                show.await_calm()
            except Stopped:
                console.print("stopped during the set-up: no live events went in")
                raise typer.Exit(130) from None
        kept.reached = keep
        with Screen(console) as screen:
            show.play(plot, rate, max(until, time.monotonic() + LEAST_LIVE_S), screen.show)
        with console.status("waiting for the last answers"):
            account = show.settle()
        judged = {} if json is False else {name: told(show, words) for name, words in JUDGEMENTS.items()}
        _summary(console, account, len(plot.history.times), show.watch.latencies(), judged, json)
        if not json:
            for words in JUDGEMENTS.values():
                say(show, words, console)
        rest = show.rest(plot)
        seen = show.watch.seen(time.time()).last
        console.print("draining", style="dim")
    if keep:
        keep_rest(directory, rest)
        console.print("\nstarting the services again, to stay", style="dim")
        if not leave_up(directory, show.settings.pipeline, show.env):
            raise typer.Exit(1)
        event = str(seen[-1]["event_id"]) if seen else None
        say_what_next(console, directory, pipeline, event, show.models, rest.num_rows)
    if not account.balanced:
        console.print(f"logs and topics are kept in {directory}", style="red")
        raise typer.Exit(1)
    if not keep:
        shutil.rmtree(directory)
        console.print("all of it is gone again; to look around in it: --keep (make demo KEEP=1)", style="dim")
    raise typer.Exit(130 if stop.is_set() else 0)


@dataclass(slots=True)
class Kept:
    """Whether the system is to be left up, and whether it came so far that there is something to keep."""

    asked: bool
    reached: bool = False


@contextmanager
def _parts(directory: Path, report: Report, kept: Kept) -> Iterator[running.Running]:
    """A broker and a store of the demo's own, empty at first, gone with this process unless they are kept."""
    if directory.exists():
        report("taking down what an earlier demo left up", 0.0)
        take_down(directory)
        shutil.rmtree(directory, ignore_errors=True)
        report("taking down what an earlier demo left up", 1.0)
    try:
        yield running.up(directory, with_parent=not kept.asked, report=report)
    finally:
        if not kept.reached:
            running.down(directory)


@contextmanager
def _show(
    pipeline: str, directory: Path, parts: running.Running, stop: threading.Event, report: Report
) -> Iterator[Show]:
    """A show on these parts; what else runs on this machine has no part in it."""
    for name in FROM_OUTSIDE:
        os.environ.pop(f"HEADRACE_{name}", None)
    path = str(resolve(pipeline, Path.cwd()))
    pins, models, fetched = directory / "ids.json", directory / "models", directory / "fetched"
    settings = read_settings(
        Settings, pipeline=path, bootstrap=parts.bootstrap, redis=parts.redis, schema_ids=pins, models=str(models)
    )
    provision(settings, PARTITIONS)
    more = {"HEADRACE_SCHEMA_IDS": str(pins), "HEADRACE_MODELS": str(models), "HEADRACE_MODEL_CACHE": str(fetched)}
    env = environment(path, parts.bootstrap, parts.redis, None, more)
    show = Show(settings, read_contracts(settings), env, directory, stop, report)
    try:
        yield show
    finally:
        show.close()


def say(show: Show, words: Sequence[str], console: Console) -> None:
    """Run a command on the show's topics as its user would, in sight."""
    console.print(f"\n$ headrace {' '.join([words[0], show.contracts.pipeline.name, *words[1:]])}", style="bold")
    console.file.flush()
    subprocess.run(_command(show, words), env={**os.environ, **show.env, "COLUMNS": str(console.width)}, check=False)


def told(show: Show, words: Sequence[str]) -> Any:
    """What a command on the show's topics says as JSON; None when it fails."""
    ran = subprocess.run([*_command(show, words), "--json"], env={**os.environ, **show.env}, stdout=subprocess.PIPE)
    return codec.loads(ran.stdout) if ran.returncode == 0 else None


def _command(show: Show, words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "headrace.cli", words[0], show.settings.pipeline, *words[1:]]


def _summary(
    console: Console, account: Account, history: int, latencies: Floats, judged: Mapping[str, Any], json: bool
) -> None:
    both = percentiles(latencies)
    difference = account.unanswered + account.repeated + account.strange + account.both
    if json:
        latency = None if both is None else {"p50_ms": both[0], "p99_ms": both[1]}
        document = {**asdict(account), "difference": difference, "history": history, "latency": latency, **judged}
        print_json(document)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    live = account.events - history
    table.add_row("events in", f"{account.events:,}", f"{history:,} of history, {live:,} live")
    table.add_row("predictions out", f"{account.predictions:,}")
    table.add_row("dead letters", f"{account.dead_letters:,}")
    verdict = "[green]every event has exactly one answer, compared by event id[/]"
    if not account.balanced:
        verdict = (
            f"[red]{account.unanswered:,} unanswered, {account.repeated:,} repeated, {account.strange:,} of no event, "
            f"{account.both:,} both answered and refused[/]"
        )
    table.add_row("difference", f"{difference:,}", verdict)
    if both is not None:
        table.add_row("latency", f"{both[0]:,.0f} ms", f"p50; p99 {both[1]:,.0f} ms; {len(latencies):,} live events")
    console.print(table)
