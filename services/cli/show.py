"""One run of the demo, step by step: history, a first model, then live events under everybody's eyes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from rich.console import Console
from rich.live import Live

from services.cli import tables
from services.cli.dashboard import Picture, ServiceState, line_of, panel_of
from services.cli.fleet import Fleet, MemberState, ask, scrape
from services.cli.lagging import inputs, measure
from services.cli.members import members
from services.cli.pace import Steady
from services.cli.planning import publish_plan
from services.cli.publishing import Publisher
from services.cli.run import GRACE_S
from services.cli.services import needed
from services.cli.supervisor import told
from services.cli.tables import Rows
from services.cli.train import revision, used
from services.cli.watching import WINDOW_S, Account, Watch
from services.inference.store import ModelStore
from services.kit.errors import HeadraceError
from services.kit.reading import read_topic
from services.kit.settings import Settings
from services.parts.maven import Report
from services.pipeline.wiring import Contracts
from services.simulation.simulators import World, simulate
from services.training.bootstrap import train_offline

WORLD = World(entities=2_000, others=4_000)
HISTORY_DAYS = 30
EVENTS_A_DAY = 1.8
"""Of an entity, at the least; a world that makes fewer ends the show early."""
DAY_MS = 86_400_000
TREES = 100
TURN_S = 0.2
LINE_EVERY_S = 5.0
SETUP_S = 600.0
SETTLE_S = 60.0
"""How long to wait for the last answers before the account is made."""
Result = TypeVar("Result")


class Stopped(HeadraceError):
    """Told to stop before there was anything to account for."""


@dataclass(frozen=True, slots=True)
class Plot:
    """What will be published: `history` in one go with the `labels` known by its end, then `live` at a pace."""

    history: Rows
    labels: Rows
    live: Rows


class Show:
    """The services of a pipeline, what goes into them and what comes out.

    All methods are for one thread, which must live as long as the show (see `Fleet`).

    Args:
        settings, contracts: of the pipeline, whose topics exist and are empty.
        env: variables of all members.
        directory: takes logs and fetched models.
        stop: once set, the set-up raises Stopped, and the live part ends early.
        report: told the progress of the set-up.
    """

    def __init__(
        self,
        settings: Settings,
        contracts: Contracts,
        env: dict[str, str],
        directory: Path,
        stop: threading.Event,
        report: Report,
    ) -> None:
        self.settings = settings
        self.contracts = contracts
        self.directory = directory
        self.stop = stop
        self.report = report
        self.published: list[pa.ChunkedArray] = []
        pipeline = contracts.pipeline
        services = needed(pipeline)
        self.fleet = Fleet(members(pipeline, services, {}), directory / "logs", env, time.monotonic)
        events = (contracts.channel("events").codec, pipeline.events.id)
        self.watch = Watch(
            settings.connection, contracts.channel("predictions"), contracts.channel("dead-letters"), events
        )
        self.fleet.start()

    def close(self) -> None:
        """Drain the services and stop watching."""
        self.fleet.stop(self.settings.drain_s + GRACE_S)
        self.watch.close()

    # ---- set-up ----------------------------------------------------------------------------------------------------

    def write(self, live: int, seed: int) -> Plot:
        """Make events up: some weeks of history, and `live` more that follow."""
        pipeline, what = self.contracts.pipeline, "making up events"
        self.report(what, 0.0)
        days = HISTORY_DAYS + ceil(live / (WORLD.entities * EVENTS_A_DAY))
        world = World(WORLD.entities, WORLD.others, days, WORLD.start, seed)
        table = self._meanwhile(lambda: simulate(pipeline, world))
        events = tables.events(table, pipeline, self.contracts.channel("events").codec.reader.arrow, {})
        schema = self.contracts.channel("labels").codec.reader.arrow
        labels = tables.labels(table, pipeline, schema, {}, "simulation")
        split = WORLD.start + HISTORY_DAYS * DAY_MS
        self.report(what, 1.0)
        return Plot(events.between(None, split), labels.between(None, split), events.between(split, None))

    def publish_history(self, plot: Plot) -> None:
        """Write history and labels as fast as the broker takes them."""
        total = len(plot.history.times) + len(plot.labels.times)
        what, done = f"publishing {total:,} events and labels of {HISTORY_DAYS} days", 0

        def more(count: int) -> None:
            nonlocal done
            done += count
            self.report(what, min(done / total, 0.99))

        for topic, rows in (("events", plot.history), ("labels", plot.labels)):
            publisher = self._publisher(topic)
            self._meanwhile(partial(publisher.publish, rows, None, more))
            if topic == "events":
                self._note(rows, publisher.sent)
        self.report(what, 1.0)

    def await_features(self) -> None:
        """Until every event of the history has its features."""
        pipeline = self.contracts.pipeline
        group = f"{pipeline.name}.enrich"
        topic = {group: inputs(pipeline)[group]}
        total = sum(len(ids) for ids in self.published)

        def left() -> int:
            found = self._meanwhile(lambda: measure(self.settings.connection, topic, time.time()))
            return total if all(lag.committed is None for lag in found) else sum(lag.records for lag in found)

        self._await(f"computing features of {total:,} events", total, left)

    def train(self) -> str:
        """Train the first model from the topics and make it the champion; returns its title."""
        pipeline, connection = self.contracts.pipeline, self.settings.connection
        what = "training the first model"
        self.report(what, 0.0)
        trees = 0

        def grown(_: int) -> None:
            nonlocal trees
            if self.stop.is_set():
                raise Stopped(what)
            trees += 1
            self.report(what, min(trees / TREES, 0.99))

        def work() -> str:
            features, _ = read_topic(connection, self.contracts.channel("features"))
            labels, _ = read_topic(connection, self.contracts.channel("labels"))
            offsets = {f"{pipeline.name}.{name}": used(t) for name, t in (("features", features), ("labels", labels))}
            store = ModelStore(self.settings.models, self.directory / "fetched")
            package, uri = train_offline(
                pipeline,
                features,
                labels,
                store,
                "first",
                trees=TREES,
                revision=revision(),
                offsets=offsets,
                progress=grown,
            )
            publish_plan(connection, self.contracts.channel("plans"), pipeline.name, package, uri, "the demo's first")
            return package.title

        title = self._meanwhile(work)
        self.report(what, 1.0)
        return title

    def await_predictions(self) -> None:
        """Until the history is answered."""
        total = sum(len(ids) for ids in self.published)
        self._await(f"predicting {total:,} events", total, self._unanswered)

    # ---- live ------------------------------------------------------------------------------------------------------

    def play(self, rows: Rows, rate: float, until: float, console: Console) -> None:
        """Publish at a steady rate until a moment of the monotonic clock, and show what happens."""
        self.watch.measure()
        over = threading.Event()
        publisher = self._publisher("events", over)
        steps: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        before = sum(len(ids) for ids in self.published)
        gauges = _Gauges(self.fleet)
        with ThreadPoolExecutor(1) as pool, _Screen(console) as screen:
            try:
                writing = pool.submit(publisher.publish, rows, Steady(rate))
                while not writing.done():
                    now = time.monotonic()
                    if now >= until or self.stop.is_set():
                        over.set()
                    self._turn()
                    steps.append((now, publisher.sent))
                    while steps[0][0] < now - WINDOW_S:
                        steps.popleft()
                    lately = (steps[-1][1] - steps[0][1]) / max(steps[-1][0] - steps[0][0], TURN_S)
                    seen = self.watch.seen(time.time())
                    name = self.contracts.pipeline.name
                    screen.show(Picture(name, until - now, before + publisher.sent, lately, seen, gauges.read(now)))
                    over.wait(TURN_S)
                writing.result()
            finally:
                over.set()
        self._note(rows, publisher.sent)

    def settle(self) -> Account:
        """The account of all events, as soon as all are answered, or after a bounded wait for that."""
        deadline = time.monotonic() + SETTLE_S
        pause = threading.Event()
        while self._unanswered() > 0 and time.monotonic() < deadline:
            self._turn()
            pause.wait(TURN_S)
        return self.watch.account(pa.chunked_array([part for ids in self.published for part in ids.chunks]))

    # ---- between ---------------------------------------------------------------------------------------------------

    def _publisher(self, topic: str, stop: threading.Event | None = None) -> Publisher:
        channel = self.contracts.channel(topic)
        linger_ms = 20 if stop is None else 1
        return Publisher(self.settings.connection, channel, time.monotonic, stop or self.stop, linger_ms=linger_ms)

    def _note(self, rows: Rows, sent: int) -> None:
        self.published.append(rows.columns.column(self.contracts.pipeline.events.id).slice(0, sent))

    def _unanswered(self) -> int:
        seen = self.watch.seen(time.time())
        return sum(len(ids) for ids in self.published) - seen.predictions - seen.dead_letters

    def _turn(self) -> None:
        """Look after the services; HeadraceError when one of them gave up."""
        for state in self.fleet.step():
            if state.fate.gave_up:
                raise HeadraceError(
                    f"{state.name} gave up ({told(state.fate.code or 0)}); see {self.directory}/logs/{state.name}.log"
                )

    def _meanwhile(self, work: Callable[[], Result]) -> Result:
        """Do something that takes long on another thread while this one looks after the services."""
        with ThreadPoolExecutor(1) as pool:
            doing = pool.submit(work)
            while not doing.done():
                self._turn()
                self.stop.wait(TURN_S / 4)
                if self.stop.is_set():
                    doing.cancel()
                    break
        if self.stop.is_set():
            raise Stopped("stopped during the set-up")
        return doing.result()

    def _await(self, what: str, total: int, left: Callable[[], int]) -> None:
        deadline = time.monotonic() + SETUP_S
        self.report(what, 0.0)
        while (rest := left()) > 0:
            self.report(what, min(1 - rest / max(total, 1), 0.99))
            self._turn()
            if self.stop.wait(TURN_S):
                raise Stopped(what)
            if time.monotonic() > deadline:
                raise HeadraceError(f"{what}: {rest:,} are still left after {SETUP_S:g} s; see {self.directory}/logs")
        self.report(what, 1.0)


class _Gauges:
    """What members say of themselves, asked once a second."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.asked = float("-inf")
        self.found: list[ServiceState] = []
        self.records: dict[str, tuple[float, float]] = {}

    def read(self, now: float) -> list[ServiceState]:
        if now - self.asked >= 1.0:
            self.asked = now
            self.found = [self._read(state, now) for state in self.fleet.states()]
        return self.found

    def _read(self, state: MemberState, now: float) -> ServiceState:
        metrics = scrape(state.port) if state.pid is not None else {}
        status, body = ask(state.port, "/readyz") if metrics else (0, "starting")
        records = sum(metrics.get("headrace_records_total", ()))
        before, at = self.records.get(state.name, (records, now))
        self.records[state.name] = (records, now)
        rate = max(records - before, 0.0) / max(now - at, 1.0)
        lag = max(metrics.get("headrace_lag_seconds", ()), default=0.0)
        words = "ready" if status == 200 else body.strip().removeprefix("not ready: ")
        return ServiceState(state.name, words, status == 200, lag, rate, state.fate.restarts)


class _Screen:
    """A panel that redraws itself on a terminal; elsewhere a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.last = time.monotonic()

    def __enter__(self) -> _Screen:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self, picture: Picture) -> None:
        if self.live is not None:
            self.live.update(panel_of(picture), refresh=True)
        elif time.monotonic() - self.last >= LINE_EVERY_S:
            self.last = time.monotonic()
            self.console.print(line_of(picture), soft_wrap=True, highlight=False, markup=False)
