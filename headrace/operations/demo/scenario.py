"""One run of the demo, step by step: history, a first model, then live events under everybody's eyes."""

from __future__ import annotations

import getpass
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from headrace.devparts.maven import Report
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plan_log import publish
from headrace.domain.plans.plans import Plan
from headrace.domain.simulation.simulators import simulate
from headrace.domain.training.job.outcome_topic import within
from headrace.errors import HeadraceError
from headrace.operations.demo.first_models import TREES, train_first
from headrace.operations.demo.monitor import WINDOW_S, Account, Watch
from headrace.operations.demo.picture import Gauges, Picture
from headrace.operations.demo.scene import EVENTS_A_DAY, TWO_MODELS, Setting
from headrace.operations.local.fleet import GRACE_S, Fleet, ask, scrape
from headrace.operations.local.members import members
from headrace.operations.local.supervisor import told
from headrace.operations.plan_changes.plan_topic import now
from headrace.operations.services import inputs, needed
from headrace.operations.tables import event_table as tables
from headrace.operations.tables.event_table import Rows
from headrace.operations.topics.producer import Publisher
from headrace.operations.topics.rate import Alongside, Steady
from headrace.streaming.kafka.lag import measure
from headrace.streaming.process.settings import Settings

LEAD_S = 1.5
"""Labels are sent earlier than the events of their time, as nobody wants to wait for the way that they go."""
TURN_S = 0.2
NO_PLAN = "no plan"
"""What the scoring services lack until models are trained."""
CALM_S = 2.0
"""Before live events come, every service must have been no further behind than this for so long."""
SETUP_S = 600.0
SETTLE_S = 60.0
"""How long to wait for the last answers before the account is made."""
Result = TypeVar("Result")


class Stopped(HeadraceError):
    """Told to stop before there was anything to account for."""


@dataclass(frozen=True, slots=True)
class Plot:
    """What will be published: `history` in one go with the labels `known` by its end, then `live` with `labels`.

    `table` has all of it, in the order of the events.
    """

    history: Rows
    known: Rows
    live: Rows
    labels: Rows
    table: pa.Table


class Show:
    """The services of a pipeline, what goes into them and what comes out.

    All methods are for one thread, which must live as long as the show (see `Fleet`).

    Args:
        settings, contracts: of the pipeline, whose topics exist and are empty.
        env: variables of all members.
        directory: takes logs and fetched models.
        stop: once set, the set-up raises Stopped, and the live part ends early.
        report: told the progress of the set-up.
        setting: what is played.
        listen: told every batch of outcomes, on a thread of its own.
    """

    def __init__(
        self,
        settings: Settings,
        contracts: Contracts,
        env: dict[str, str],
        directory: Path,
        stop: threading.Event,
        report: Report,
        setting: Setting = TWO_MODELS,
        listen: Callable[[pa.RecordBatch], None] = lambda outcomes: None,
    ) -> None:
        self.setting = setting
        self.settings = settings
        self.contracts = contracts
        self.env = env
        self.directory = directory
        self.stop = stop
        self.report = report
        self.published: list[pa.ChunkedArray] = []
        self.models: dict[str, str] = {}
        pipeline = contracts.pipeline
        services = needed(pipeline)
        self.fleet = Fleet(members(pipeline, services, {}), directory / "logs", env, time.monotonic)
        events = (contracts.channel("events").codec, pipeline.events.id)
        names = ("predictions", "dead-letters", "outcomes", "scorecards")
        self.watch = Watch(settings.connection, events, *(contracts.channel(name) for name in names), listen=listen)
        self.fleet.start()

    def close(self) -> None:
        """Drain the services and stop watching."""
        self.fleet.stop(self.settings.drain_s + GRACE_S)
        self.watch.close()

    # ---- set-up ----------------------------------------------------------------------------------------------------

    def await_services(self) -> None:
        """Until all services run, but for the plan that some need: the first time, kernels are compiled before that."""
        what, total = "starting services; the first time, compiling their kernels", len(self.fleet.states())

        def left() -> int:
            asked = [ask(state.port, "/readyz") for state in self.fleet.states() if state.pid is not None]
            return total - sum(status == 200 or NO_PLAN in body for status, body in asked)

        self._await(what, total, left)

    def write(self, live: int, rate: float, seed: int) -> Plot:
        """Make events up: some weeks of history, and `live` more that follow at `rate` a second."""
        pipeline, what = self.contracts.pipeline, "making up events"
        self.report(what, 0.0)
        setting = self.setting
        days = setting.unseen_days + setting.history_days + ceil(live / (setting.world.entities * EVENTS_A_DAY))
        world = replace(setting.world, days=days, seed=seed)
        table = self._meanwhile(lambda: simulate(pipeline, world))
        if setting.unseen_days:
            seen: Any = within(table[pipeline.events.time], setting.begin, None)
            table = table.filter(seen)
        events = tables.events(table, pipeline, self.contracts.channel("events").codec.reader.arrow, {})
        schema = self.contracts.channel("labels").codec.reader.arrow
        labels = tables.labels(table, pipeline, schema, {}, "simulation")
        split = setting.live
        self.report(what, 1.0)
        following = events.between(split, None)
        ahead = min(int(LEAD_S * rate), len(following.times) - 1)
        known = int(following.times[ahead])
        past, told = events.between(None, split), labels.between(None, known)
        return Plot(past, told, following, labels.between(known, None), table)

    def publish_history(self, plot: Plot) -> None:
        """Write history and labels as fast as the broker takes them."""
        total = len(plot.history.times) + len(plot.known.times)
        what, done = f"publishing {total:,} events and labels of {self.setting.history_days} days", 0

        def more(count: int) -> None:
            nonlocal done
            done += count
            self.report(what, min(done / total, 0.99))

        for topic, rows in (("labels", plot.known), ("events", plot.history)):
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

    def train(self) -> tuple[str, ...]:
        """Train the contenders from the first part of the history, and write the first plan; returns their titles."""
        pipeline, connection = self.contracts.pipeline, self.settings.connection
        what = f"training {len(self.setting.contenders)} models"
        self.report(what, 0.0)
        trees = 0

        def grown(_: int) -> None:
            nonlocal trees
            if self.stop.is_set():
                raise Stopped(what)
            trees += 1
            self.report(what, min(trees / TREES, 0.99))

        def work() -> tuple[str, ...]:
            store = ModelStore(self.settings.models, self.directory / "fetched")
            found = train_first(self.setting, connection, self.contracts, store, grown)
            arms = tuple(each.arm for each in found if each.arm is not None)
            self.models.update({arm.arm: arm.title for arm in arms})
            publish(
                connection,
                self.contracts.channel("plans"),
                pipeline.name,
                lambda _: Plan(pipeline.name, 0, arms),
                time=now(),
                actor=getpass.getuser(),
                reason="the demo's first",
            )
            return tuple(each.title for each in found)

        titles = self._meanwhile(work)
        self.report(what, 1.0)
        return titles

    def await_predictions(self) -> None:
        """Until the history is answered."""
        total = sum(len(ids) for ids in self.published)
        self._await(f"predicting {total:,} events", total, self._unanswered)

    def await_calm(self) -> None:
        """Until outcomes and scorecards have caught up with the history, so that live figures are of live events."""
        backlog, calm_since = 1, time.monotonic()

        def left() -> int:
            nonlocal backlog, calm_since
            found = [scrape(state.port) for state in self.fleet.states()]
            if any(max(metrics.get("headrace_lag_seconds", (1e9,)), default=1e9) > CALM_S for metrics in found):
                behind = int(sum(sum(metrics.get("headrace_lag_records", ())) for metrics in found))
                backlog, calm_since = max(backlog, behind), time.monotonic()
                return max(behind, 1)
            return 0 if time.monotonic() - calm_since >= CALM_S else 1

        self._await("concluding outcomes and making scorecards", lambda: backlog, left)

    def rest(self, plot: Plot) -> pa.Table:
        """The events that were made up and did not go in."""
        return plot.table.slice(sum(len(ids) for ids in self.published))

    # ---- live ------------------------------------------------------------------------------------------------------

    def play(
        self,
        plot: Plot,
        rate: float,
        until: float,
        show: Callable[[Picture], None],
        over: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Publish at a steady rate until a moment of the monotonic clock, labels as their time comes, and show it.

        Args:
            plot, rate: what is published, and how many events a second.
            until: when it ends, if `over` was not set before.
            show: told a picture several times a second.
            over: set by whoever shall end it.
            clock: seconds by which events are due; one that stands still now and then lets them wait.
        """
        self.watch.measure()
        over = over or threading.Event()
        publisher = self._publisher("events", over, clock)
        steps: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        before = sum(len(ids) for ids in self.published)
        gauges = Gauges(self.fleet)
        telling = self._publisher("labels", over, clock)
        with ThreadPoolExecutor(2) as pool:
            try:
                writing = pool.submit(publisher.publish, plot.live, Steady(rate))
                labelling = pool.submit(telling.publish, plot.labels, Alongside(plot.live.times, rate, LEAD_S))
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
                    show(Picture(name, until - now, before + publisher.sent, lately, seen, gauges.read(now)))
                    over.wait(TURN_S)
                writing.result()
                labelling.result()
            finally:
                over.set()
        self._note(plot.live, publisher.sent)

    def settle(self) -> Account:
        """The account of all events, as soon as all are answered, or after a bounded wait for that."""
        deadline = time.monotonic() + SETTLE_S
        pause = threading.Event()
        while self._unanswered() > 0 and time.monotonic() < deadline:
            self._turn()
            pause.wait(TURN_S)
        return self.watch.account(pa.chunked_array([part for ids in self.published for part in ids.chunks]))

    # ---- between ---------------------------------------------------------------------------------------------------

    def _publisher(
        self, topic: str, stop: threading.Event | None = None, clock: Callable[[], float] = time.monotonic
    ) -> Publisher:
        channel = self.contracts.channel(topic)
        linger_ms = 20 if stop is None else 1
        return Publisher(self.settings.connection, channel, clock, stop or self.stop, linger_ms=linger_ms)

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

    def _await(self, what: str, total: int | Callable[[], int], left: Callable[[], int]) -> None:
        deadline = time.monotonic() + SETUP_S
        self.report(what, 0.0)
        while (rest := left()) > 0:
            most = total if isinstance(total, int) else total()
            self.report(what, min(1 - rest / max(most, 1), 0.99))
            self._turn()
            if self.stop.wait(TURN_S):
                raise Stopped(what)
            if time.monotonic() > deadline:
                raise HeadraceError(f"{what}: {rest:,} are still left after {SETUP_S:g} s; see {self.directory}/logs")
        self.report(what, 1.0)
