"""Where load tests run: a real Kafka, a real Redis, a trained model, and pipelines that come and go."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from headrace.devparts.kafka import Kafka
from headrace.devparts.redis import Redis
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.store import ModelStore
from headrace.domain.training.bootstrap import train_offline
from headrace.domain.training.dataset import labels_of
from headrace.operations.plan_changes.plan_topic import publish_plan
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.connection import Connection
from loadtests.following import Follower
from loadtests.meters import Meter, watched
from loadtests.stream import Stream, transactions
from tests.members import ROOT
from tests.project import Project

PARTITIONS = 4
TRAINED_ON = 60_000
TREES = 100
SERVING = ("enrich-0", "views-0", "labels-0", "score-0")
"""Members that predictions need: the terminals' risk folds labels."""

kernels: Any = pc  # its stubs know too few of the overloads


@dataclass
class Arena:
    """Real parts on this machine alone, and what all load tests need on them.

    Attributes:
        directory: takes everything, and is deleted at the end.
        bootstrap, redis: where the parts answer.
        made_up: play made-up transactions although the real ones are there.
        say: told what is going on.
        model_rows: events that the model is trained on.
        idle_after: of the pipeline's view, where it is not the pipeline's own: every backfill waits so long, once.
    """

    directory: Path
    bootstrap: str
    redis: str
    broker_pid: int
    made_up: bool
    say: Callable[[str], None]
    model_rows: int = TRAINED_ON
    idle_after: str | None = None

    @property
    def connection(self) -> Connection:
        return Connection(self.bootstrap)

    def stream(self, rows: int) -> Stream:
        """The transactions that load tests play."""
        return transactions(rows, self.made_up)

    @contextmanager
    def project(self, source: Path | None = None, **settings: str) -> Iterator[Project]:
        """A card fraud pipeline of one's own; its processes end and its topics go with it.

        Args:
            source: its file, where it is another than the repository's.
            settings: variables of its members' processes (HEADRACE_MODE="...").
        """
        name = f"bench_{uuid.uuid4().hex[:8]}"
        project = Project(source or self._source(), name, self.directory / name, self.bootstrap, self.redis, PARTITIONS)
        # Installed packages come with their byte code; a shell that forbids to write it would have every start compile.
        project.settings = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONFAULTHANDLER": "1", **settings}
        try:
            yield project
        finally:
            project.close()
            admin = Admin(self.connection)
            admin.delete([topic for topic in admin.topics() if topic.startswith(name)])

    def _source(self) -> Path:
        """The pipeline file, or a copy that waits less."""
        path = ROOT / "pipelines/card_fraud.yaml"
        if self.idle_after is None:
            return path
        text, line = path.read_text(), "    delay: 7d\n"
        assert line in text, "the view with a delay is not where it was"
        copy = self.directory / "source" / "pipelines" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text.replace(line, f"    idle_after: {self.idle_after}\n{line}"))
        if not (copy.parents[1] / "schemas").exists():
            shutil.copytree(ROOT / "schemas", copy.parents[1] / "schemas")
        return copy

    def topic(self, project: Project, name: str) -> str:
        """A further topic, which goes with the project; its name on the broker."""
        full = f"{project.name}.{name}"
        admin = Admin(self.connection)
        admin.create(full, PARTITIONS, 1, {})
        end = time.monotonic() + 30
        while full not in admin.topics():
            assert time.monotonic() < end, f"{full} was created and does not show"
            time.sleep(0.05)  # Until the broker's metadata has it; there is no event to wait for.
        return full

    @cached_property
    def model(self) -> tuple[ModelPackage, str]:
        """A LightGBM of 100 trees on the pipeline's inputs, and where it is stored."""
        stream = self.stream(self.model_rows)
        self.say(f"training {TREES} trees on {len(stream):,} events")
        with self.project() as project:
            self.publish(project, stream)
            begin(project, ("enrich-0", "views-0"))
            features = collected(project, "features", len(stream))
            events = pa.Table.from_batches([stream.events]).append_column("fraud", stream.fraud)
            pipeline = project.contracts.pipeline
            store = ModelStore(str(self.directory / "models"), self.directory / "cache")
            labels = labels_of(pipeline, events)
            return train_offline(pipeline, features, labels, store, "1", trees=TREES)

    def publish(self, project: Project, stream: Stream) -> None:
        """Publish a stream and what all its events turn out to be, each a week after it; start `labels-0` on that.

        Returns when it has read all labels. A backfill waits, once, until idle labels were seen at their end
        `idle_after` after the events were written: that is over by then, or soon, as idleness is told after a second.
        """
        project.publish(stream.events, "customer_id")
        project.publish(stream.labels(), "event_id", "labels")
        project.start("labels-0", HEADRACE_IDLE_AFTER_S="1")
        meter = Meter(project, "labels-0")
        watched([meter], lambda newest: newest[0].records >= len(stream), 300 + len(stream) / 2_000, project.logs)

    def plan(self, project: Project) -> None:
        """Make the model the champion of a project."""
        package, uri = self.model
        project.settings["HEADRACE_MODELS"] = str(self.directory / "models")
        project.settings["HEADRACE_MODEL_CACHE"] = str(self.directory / "cache")
        publish_plan(self.connection, project.contracts.channel("plans"), project.name, package, uri, "load test")


def collected(
    project: Project, logical: str, count: int, seconds: float = 600, between: Callable[[int], None] | None = None
) -> pa.Table:
    """All records of a topic, in the order of reading: once `count` are there, members stop and the rest is read.

    Args:
        between: called with the number of records so far, several times a second; by default, that all members live is
            asserted.

    Raises:
        AssertionError: they did not come in time, or a member ended; with the members' logs.
    """
    batches: list[pa.RecordBatch] = []
    got, waited = 0, 0.0
    with Follower(project.connection, project.contracts.channel(logical)) as follower:
        before, _ = follower.poll(0)
        while got < count:
            now, intake = follower.poll(0.2)
            if intake is not None:
                batches.append(intake.batch.columns)
                got += len(intake.batch)
            waited = 0.0 if intake is not None else waited + now - before
            before = now
            assert waited < seconds, f"{got} of {count} {logical}\n{project.logs()}"
            if between is None:
                alive(project)
            else:
                between(got)
        for member in list(project.processes):
            project.stop(member)
        batches += [intake.batch.columns for intake in follower.rest()]
    return pa.Table.from_batches(batches)


def begin(project: Project, members: Iterable[str]) -> None:
    """Start members."""
    for member in members:
        project.start(member)


def alive(project: Project) -> None:
    """Assert that every member still runs."""
    for member, process in project.processes.items():
        assert process.poll() is None, f"{member} ended with {process.returncode}\n{project.logs()}"


def stuck(project: Project) -> str:
    """What members say of themselves, and where each of their threads stands; it ends them."""
    wanted = {
        f"headrace_{name}"
        for name in ("records_total", "emitted_total", "lag_records", "idle_seconds", "partitions_held", "dark_models")
    }
    said = []
    for member, process in project.processes.items():
        found = Meter(project, member, whole_log=True).metrics()
        figures = ", ".join(f"{name} {label} {value:g}" for (name, label), value in found.items() if name in wanted)
        said.append(f"{member}: {figures}")
        process.send_signal(signal.SIGABRT)
        process.wait(30)
    return "\n".join([*said, project.logs()])


def console() -> Console:
    """For tables: as wide as the terminal, or wide enough for them where there is none."""
    made = Console(soft_wrap=True, highlight=False)
    return made if made.is_terminal else Console(soft_wrap=True, highlight=False, width=140)


@contextmanager
def arena(
    made_up: bool = False,
    say: Callable[[str], None] = print,
    brief: bool = False,
    overrides: Mapping[str, str] | None = None,
) -> Iterator[Arena]:
    """Start the parts, and take them down with everything that was made on them.

    Args:
        brief: they measure nothing.
        overrides: settings of the broker beside ours.
    """
    directory = Path(tempfile.mkdtemp(prefix="headrace-load-"))
    broker = Kafka(directory / "kafka", brief=brief, overrides=overrides, with_parent=True)
    store = Redis(directory / "redis", with_parent=True)
    try:
        say("starting Kafka and Redis")
        store.start()
        broker.start()
        yield Arena(directory, broker.address, store.address, broker.processes()[0].pid, made_up, say)
    finally:
        broker.stop()
        store.stop()
        shutil.rmtree(directory, ignore_errors=True)
