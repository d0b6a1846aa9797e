"""The loop on real parts of its own: services are processes that may die, and what tells that all is taken in."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.devparts import process
from headrace.devparts.kafka import Kafka
from headrace.devparts.redis import Redis
from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.models.store import ModelStore
from headrace.errors import HeadraceError
from headrace.operations.local.fleet import scrape
from headrace.operations.plan_changes.plan_topic import publish_plan
from headrace.operations.services import inputs, needed
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.lag import Lag, measure
from headrace.streaming.kafka.reader import ranges, read
from loadtests.loop_faults import cards
from tests.notification.webhook import Webhook
from tests.project import Project

PARTITIONS = 2
STILL_S = 2.5
"""Nothing is written for so long: longer than idle sources are waited for."""
QUIET = ("checkpoints", "drift", "scorecards", "exchange", "view.terminal")
"""Topics that are written by the clock."""
PATIENT = ("drift-0", "release-0")
"""Who takes rows of several partitions in one order, and must not go on without those of a partition that a fault holds
up: what is idle is told by the clock, and a fault that is longer than that makes another order (ADR 32, ADR 41).
"""
BEATS = 40
"""Records that such a topic gets while one looks."""


class Loop(Project):
    """The pipeline of `cards`, with every service that it needs.

    Attributes:
        watch: called every tenth of a second while something is waited for.
        webhook: takes notifications.
    """

    def __init__(self, directory: Path, kafka: Kafka, redis: str, webhook: Webhook, port: int) -> None:
        path = cards.source(directory / "source")
        super().__init__(path, cards.NAME, directory / "project", kafka.address, redis, PARTITIONS)
        self.kafka = kafka
        self.webhook = webhook
        self.watch: Callable[[], None] = lambda: None
        self.kinds = needed(self.contracts.pipeline)
        self.ports = dict(zip(self.members, process.free_ports(len(self.members)), strict=True))
        self.restarts: dict[str, int] = {}
        self.settings |= {
            "HEADRACE_TRAININGS": str(self.directory / "trainings"),
            "HEADRACE_CHECKPOINT_S": "2",
            "HEADRACE_IDLE_AFTER_S": "1",
            "HEADRACE_PUBLISH_S": "0.5",
            "HEADRACE_LOOK_S": "0.2",
            "HEADRACE_SHED_AFTER_S": "0",  # What is left out under pressure depends on the pressure.
            "LOOP_WEBHOOK": f"json://127.0.0.1:{port}",
        }

    @property
    def members(self) -> tuple[str, ...]:
        """One of each service."""
        return tuple(f"{kind}-0" for kind in self.kinds)

    def environment(self, member: str, **settings: str) -> dict[str, str]:
        own = {"HEADRACE_PORT": str(self.ports[member])}
        if member in PATIENT:
            own["HEADRACE_IDLE_AFTER_S"] = "900"
        return super().environment(member, **own, **settings)

    def revive(self) -> None:
        """As a supervisor does; counts it."""
        before = dict(self.processes)
        super().revive()
        for member, each in self.processes.items():
            self.restarts[member] = self.restarts.get(member, 0) + (before[member] is not each)

    # ---- what there is -------------------------------------------------------------------------------------------

    def events(self) -> list[ControlEvent]:
        """All control events, in the order of the topic."""
        channel = self.contracts.channel("control")
        intakes = read(self.connection, channel, ranges(self.connection, channel.name))
        found = [read_event(row) for intake in intakes for row in intake.batch.columns.to_pylist()]
        return [event for event in found if event is not None]

    def ends(self) -> dict[tuple[str, int], int]:
        """Where the pipeline's topics end, but for those that are written by the clock."""
        consumer = Consumer(self.connection)
        subjects = (name.removeprefix(f"{self.name}.").removesuffix("-value") for name in self.contracts.schemas)
        try:
            found = {}
            for name in subjects:
                if name in QUIET:
                    continue
                topic = self.contracts.channel(name).name
                for partition in range(consumer.partitions(topic)):
                    found[name, partition] = consumer.watermarks(topic, partition)[1]
            return found
        finally:
            consumer.close()

    # ---- waiting -------------------------------------------------------------------------------------------------

    def wait(self, until: Callable[[], bool], what: str, within: float = 180.0) -> None:
        """Wait for something; members that end meanwhile are started again."""
        end = time.monotonic() + within
        while not until():
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not come within {within:g} s\n{self.logs()}")
            self.turn()

    def turn(self) -> None:
        """A tenth of a second."""
        self.revive()
        self.watch()
        time.sleep(0.1)

    def calm(self, what: str, until: Callable[[], bool] = lambda: True, within: float = 900.0) -> None:
        """Wait until all is taken in: every group is at the end of what it reads, and nothing was written for a while.

        Args:
            what: for whoever waits in vain.
            until: what has to be there as well.
            within: seconds; the broker may stand still for five minutes of these.
        """
        known: dict[tuple[str, int], int] = {}
        since = time.monotonic()
        behind = ""

        def quiet() -> bool:
            nonlocal known, since, behind
            now = time.monotonic()
            try:
                found = self.ends()
                away = [member for member in self.members if not self._ready(member)]
                if found != known or away:
                    behind = f"not ready: {away}" if away else f"written: {sorted(found.items() - known.items())}"
                    known, since = found, now
                    return False
                if now - since < STILL_S:
                    return False
                if not until():
                    behind = "what has to be there is not"
                    return False
                lags = measure(self.connection, inputs(self.contracts.pipeline), time.time())
            except HeadraceError as error:  # The broker may be away.
                behind, since = str(error), now
                return False
            behind = ", ".join(
                f"{lag.group} {lag.topic} {lag.records}" for lag in lags if lag.records > self._beats(lag)
            )
            return not behind and self.ends() == known

        try:
            self.wait(quiet, what, within)
        except AssertionError as error:
            raise AssertionError(f"{error}\nbehind: {behind}") from None

    def _beats(self, lag: Lag) -> int:
        return BEATS if lag.topic.removeprefix(f"{self.name}.") in QUIET else 0

    def _ready(self, member: str) -> bool:
        figures = scrape(self.ports[member])
        return sum(figures.get("headrace_ready", ())) > 0 and not sum(figures.get("headrace_retrain_active", ()))

    # ---- people --------------------------------------------------------------------------------------------------

    def put(self, version: str, weight: float) -> str:
        """A model of `cards` into the store; its address."""
        return self._store.put(cards.package(version, weight))

    def crown(self, version: str, weight: float) -> None:
        """Make a model of `cards` the champion, as a person does with the first one."""
        package = cards.package(version, weight)
        uri = self._store.put(package)
        publish_plan(self.connection, self.contracts.channel("plans"), self.name, package, uri, "the first")

    @property
    def _store(self) -> ModelStore:
        return ModelStore(str(self.directory / "models"), self.directory / "put")

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """`headrace ...` of this pipeline, as a process."""
        env = {**self.environment(self.members[0]), "HEADRACE_PORT": "0", "USER": "ann", "LOGNAME": "ann"}
        return subprocess.Popen(
            [sys.executable, "-m", "headrace.cli", *words, "--bootstrap", self.bootstrap],
            cwd=self.directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip  # what, and how

    def ask(self, *words: str) -> str:
        """`headrace models ...` until it ends, while members are started again; what it said."""
        running = self.begin("models", *words, "-p", str(self.path), "--reason", "the story says so")
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(running.communicate()[0]), daemon=True)
        reader.start()
        self.wait(lambda: not reader.is_alive(), f"an answer to {words}")
        assert running.returncode == 0, f"headrace models {' '.join(words)}: {running.returncode}\n{said}"
        return said[0]

    def ask_and_die(self, *words: str) -> None:
        """`headrace models ...`, killed as soon as what it asks for is on the topic."""
        before = len(self.events())
        running = self.begin("models", *words, "-p", str(self.path), "--reason", "the story says so")
        try:
            self.wait(lambda: len(self.events()) > before, f"the request of {words}")
        finally:
            running.kill()
            running.communicate()


@contextmanager
def parts(directory: Path) -> Iterator[Loop]:
    """A broker, a store, a receiver of messages and the loop on them; all end with the block."""
    broker = Kafka(directory / "kafka", brief=True, with_parent=True)
    store = Redis(directory / "redis", with_parent=True)
    webhook = Webhook()
    loop: Loop | None = None
    with webhook.at() as port:
        try:
            store.start()
            broker.start()
            loop = Loop(directory, broker, store.address, webhook, port)
            yield loop
        finally:
            if loop is not None:
                loop.close()
            broker.kill()
            store.stop()


def dumped(value: object) -> str:
    """As JSON, the same for the same."""
    return json.dumps(value, sort_keys=True)
