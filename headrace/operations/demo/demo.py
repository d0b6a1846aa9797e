"""The demo as a whole: from an empty broker by way of live events to a balanced account, and what is left of it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from headrace.devparts import home as parts
from headrace.devparts.home import Running
from headrace.devparts.maven import Report
from headrace.domain.pipeline.wiring import read_contracts
from headrace.domain.pipeline.workspace import resolve
from headrace.operations.demo.monitor import Account
from headrace.operations.demo.picture import Picture
from headrace.operations.demo.report import DemoFigures
from headrace.operations.demo.scenario import Plot, Show
from headrace.operations.demo.scene import TWO_MODELS, Setting
from headrace.operations.demo.tour import FROM_OUTSIDE, KeptSystem, take_down
from headrace.operations.local.environment import environment
from headrace.operations.topics.provisioning import provision
from headrace.streaming.process.settings import Settings, read_settings

PARTITIONS = 4
LEAST_LIVE_S = 20.0
"""Events come in for at least this long, whatever the set-up took."""


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """What is to be shown.

    Attributes:
        pipeline: whose events are made up; a file, or the name of one.
        minutes: how long it lasts, set-up included, downloads not.
        rate: live events a second.
        seed: the same one makes the same events.
        keep: whether broker and store stay up afterwards, for `tour.leave_up`.
    """

    pipeline: str
    minutes: float
    rate: float
    seed: int
    keep: bool


@dataclass(frozen=True, slots=True)
class EndedDemo:
    """How it ended; `kept` is what can be left up, None where nothing is to be."""

    account: Account
    kept: KeptSystem | None


class DemoView(Protocol):
    """Where a demo says how far it is; see `cli.render.demo.view` for a terminal."""

    def set_up(self) -> AbstractContextManager[Report]:
        """Inside, the system starts and learns from its history; Stopped ends it where `stop` was set."""

    def live(self) -> AbstractContextManager[Callable[[Picture], None]]:
        """Inside, live events come in."""

    def settling(self) -> AbstractContextManager[object]:
        """Inside, the last answers are waited for."""

    def concluded(self, show: Show, figures: DemoFigures) -> None:
        """Told once what was counted, while there are still topics to be asked for more."""

    def draining(self) -> None:
        """Told that all of it is being stopped."""


def run_demo(request: DemoRequest, directory: Path, stop: threading.Event, view: DemoView) -> EndedDemo:
    """Show the whole system at work, on a broker and a store of its own that are empty at first.

    Args:
        directory: takes all that there is of it. It is gone afterwards, unless it is to be kept, events and answers
            differ, or the set-up came to no end.
        stop: once set, it ends early.

    Raises:
        Stopped: told to stop during the set-up: there is nothing to account for.
        HeadraceError: the system does not come up, or not through.
    """
    with ExitStack() as system, ExitStack() as services:
        with view.set_up() as report:
            clear(directory, report)
            system.callback(parts.down, directory)
            running = parts.up(directory, with_parent=not request.keep, report=report)
            until = time.monotonic() + 60 * request.minutes
            show = services.enter_context(opened(request.pipeline, directory, running, stop, report))
            plot = history(show, int(request.rate * 60 * request.minutes), request.rate, request.seed)
        if request.keep:
            system.pop_all()  # From here on there is something to keep: broker and store outlive this.
        with view.live() as draw:
            show.play(plot, request.rate, max(until, time.monotonic() + LEAST_LIVE_S), draw)
        with view.settling():
            account = show.settle()
        view.concluded(show, DemoFigures(account, len(plot.history.times), show.watch.latencies()))
        kept = kept_of(show, plot) if request.keep else None
        view.draining()
    if account.balanced and not request.keep:
        shutil.rmtree(directory)
    return EndedDemo(account, kept)


def clear(directory: Path, report: Report) -> None:
    """Take down what an earlier demo left up in a directory, and delete it."""
    if directory.exists():
        report("taking down what an earlier demo left up", 0.0)
        take_down(directory)
        shutil.rmtree(directory, ignore_errors=True)
        report("taking down what an earlier demo left up", 1.0)


@contextmanager
def opened(
    pipeline: str,
    directory: Path,
    running: Running,
    stop: threading.Event,
    report: Report,
    *,
    setting: Setting = TWO_MODELS,
    listen: Callable[[pa.RecordBatch], None] = lambda outcomes: None,
    partitions: int = PARTITIONS,
) -> Iterator[Show]:
    """A show on these parts, on topics that are made; what else runs on this machine has no part in it."""
    for name in FROM_OUTSIDE:
        os.environ.pop(f"HEADRACE_{name}", None)
    path = str(resolve(pipeline, Path.cwd()))
    pins, models, fetched = directory / "ids.json", directory / "models", directory / "fetched"
    settings = read_settings(
        Settings, pipeline=path, bootstrap=running.bootstrap, redis=running.redis, schema_ids=pins, models=str(models)
    )
    provision(settings, partitions)
    more = {"HEADRACE_SCHEMA_IDS": str(pins), "HEADRACE_MODELS": str(models), "HEADRACE_MODEL_CACHE": str(fetched)}
    more["HEADRACE_TRAININGS"] = str(directory / "trainings")
    env = environment(path, running.bootstrap, running.redis, None, more)
    show = Show(settings, read_contracts(settings), env, directory, stop, report, setting, listen)
    try:
        yield show
    finally:
        show.close()


def history(show: Show, live: int, rate: float, seed: int) -> Plot:
    """The set-up: made-up events, the older ones answered by models that were trained from them, all caught up."""
    show.await_services()
    plot = show.write(live, rate, seed)
    show.publish_history(plot)
    show.await_features()
    show.train()
    show.await_predictions()
    show.await_calm()
    return plot


def kept_of(show: Show, plot: Plot) -> KeptSystem:
    """What can be left up of a show that is over."""
    answered = show.watch.seen(time.time()).last
    event = answered[-1].event_id if answered else None
    return KeptSystem(show.directory, show.settings.pipeline, show.env, show.rest(plot), event, show.models)
