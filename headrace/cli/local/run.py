"""`headrace run`: services of a pipeline as processes under a supervisor, until they are stopped."""

from __future__ import annotations

import json as codec
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from headrace.cli.options import Bootstrap, Json, pipeline_of
from headrace.cli.signals import stopped_by_signals
from headrace.devparts import process
from headrace.domain.pipeline import units
from headrace.errors import ConfigurationError
from headrace.operations.local.environment import check_settings, environment
from headrace.operations.local.fleet import GRACE_S, Fleet, MemberState
from headrace.operations.local.home import STATE
from headrace.operations.local.log_tail import Tail
from headrace.operations.local.members import members, refuse_secret, scales, variables
from headrace.operations.local.supervisor import DRAINED, STARTING, outcome
from headrace.operations.local.supervisor import ended as after
from headrace.operations.services import SERVICES

TURN_S = 0.2
IDLE_EVERY_S = 0.5
CRASHES = 6
"""Restarts in a row of a member in a run that is to end by itself: nobody may be there to see that it never will."""
COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")


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
    env = environment(pipeline, bootstrap, redis, None if mode is None else mode.value, variables(set_ or []))
    settings = check_settings(env)
    chosen = members(spec, services, scales(scale or []), member_prefix)
    idle = None if until_idle is None else seconds(until_idle)
    if "enrich" in services and "labels" not in services and spec.label_views:
        views = ", ".join(view.name for view in spec.label_views)
        typer.echo(f"labels are folded into {views}: enrich waits unless the service labels runs somewhere", err=True)
    if sys.stderr.isatty() and logs is None:
        env.setdefault("HEADRACE_LOG", "console")
    stop = threading.Event()
    with _directory(logs) as directory, stopped_by_signals(stop):
        fleet = Fleet(chosen, directory, env, time.monotonic)
        teller = _Teller(fleet, directory, Console(stderr=True, soft_wrap=True), to_files=logs is not None)
        fleet.start()
        try:
            _watch(fleet, teller, stop, idle, persist=logs is not None)
        finally:
            fleet.stop(settings.drain_s + GRACE_S, teller.tell)
            teller.tell(last=True)
    states = fleet.states()
    teller.conclude(states)
    if json:
        typer.echo(codec.dumps({"members": [asdict(state) for state in states]}))
    raise typer.Exit(exit_code(states))


def seconds(text: str) -> float:
    """A duration on the command line, such as 5s.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return units.milliseconds(text) / 1000
    except ValueError as error:
        raise ConfigurationError(f"{text} is no duration: {error}") from None


def exit_code(states: list[MemberState]) -> int:
    """How a fleet went that has ended, for a shell: a member's own code where it gave up.

    Who was stopped while it was starting had begun nothing, so nothing is left undone.
    """
    codes = [state.fate.code for state in states]
    if all(code in (DRAINED, STARTING) for code in codes):
        return 0
    return next((code for code in codes if code in (2, 3)), 1) or 1


def _watch(fleet: Fleet, teller: _Teller, stop: threading.Event, idle: float | None, persist: bool) -> None:
    """Until told to stop, all had nothing to do for `idle` seconds, or there is nothing left to watch."""
    asked = fleet.clock()
    while not stop.is_set() and fleet.running():
        ended = fleet.step()
        teller.tell(ended)
        if not persist and any(state.fate.gave_up for state in ended):
            return
        if idle is not None and any(state.fate.failures > CRASHES for state in ended):
            return
        if idle is not None and fleet.clock() - asked >= IDLE_EVERY_S:
            asked = fleet.clock()
            if fleet.idle_s() >= idle:
                return
        stop.wait(TURN_S)


class _Teller:
    """Says what members log and when they end; keeps the state file for `headrace status`."""

    def __init__(self, fleet: Fleet, directory: Path, console: Console, to_files: bool) -> None:
        self.fleet = fleet
        self.console = console
        self.state = directory / STATE if to_files else None
        self.written = ""
        names = [state.name for state in fleet.states()]
        self.width = max(map(len, names))
        self.colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
        self.tails = {} if to_files else {name: Tail(directory / f"{name}.log") for name in names}

    def tell(self, ended: list[MemberState] | None = None, last: bool = False) -> None:
        for name, tail in self.tails.items():
            for line in tail.lines(last):
                self.say(name, line)
        for state in ended or []:
            self.say(state.name, f"ended: {after(state.fate, self.fleet.clock())}")
        if self.state is not None:
            document = codec.dumps([asdict(state) for state in self.fleet.states()], indent=1)
            if document != self.written:
                process.write(self.state, document)
                self.written = document

    def conclude(self, states: list[MemberState]) -> None:
        """Say how each member ended; in a line where all drained, as they should."""
        if all(state.fate.code == DRAINED and not state.fate.restarts for state in states):
            self.console.print(f"all {len(states)} drained" if len(states) > 1 else "drained", style="dim")
            return
        for state in states:
            self.say(state.name, outcome(state.fate))

    def say(self, name: str, line: str) -> None:
        text = Text(f"{name:<{self.width}} | ", style=self.colours[name])
        self.console.print(text + Text.from_ansi(line), highlight=False)


@contextmanager
def _directory(logs: Path | None) -> Iterator[Path]:
    if logs is not None:
        yield logs.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="headrace-run-") as directory:
        yield Path(directory)
