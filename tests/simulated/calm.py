"""A pipeline on a broker in memory to which nothing happens: one process of each service, as it is built for Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa

from headrace.columnar.partitioner import murmur2
from headrace.domain.models.package import ModelPackage
from headrace.domain.plans import plans
from headrace.streaming.process.settings import Settings
from headrace.streaming.task.runner import Runner
from tests.simulated.broker import Broker
from tests.simulated.consumer import MemoryConsumer
from tests.simulated.plan import Plan
from tests.simulated.process import Process, SimulatedLibrary
from tests.simulated.producer import MemoryAdmin, MemoryProducer
from tests.simulated.product.contracts import contracts
from tests.simulated.product.crew import Crew

LATENCY_S = 0.001
PLAN = Plan(
    0, members=1, partitions=1, events=0, turns=0, scene="", mode="exactly_once", protocol="classic",
    batch_rows=2_000, commit_ms=100.0, checkpoint_rows=50_000, overtaking=0.0,
)  # fmt: skip  # one schedule of nothing


class Kind(NamedTuple):
    """A service: what builds it, its settings, and values of these."""

    build: Callable[..., Runner]
    settings: type[Settings]
    own: Mapping[str, Any]


class CalmPipeline:
    """All topics of a pipeline, and services one by one.

    Args:
        path: the pipeline file.
        partitions: of every topic but those that have one.
    """

    def __init__(self, path: Path, partitions: int = 1) -> None:
        self.path = path
        self.contracts = contracts(path)
        self.chance = Random(0)
        self.broker = Broker(self.chance)
        self.now = 0.0
        for subject in self.contracts.schemas:
            topic = subject.removesuffix("-value")
            single = topic.endswith((".drift-parts", ".drift", ".control", ".plans", ".dead-letters", ".checkpoints"))
            self.broker.create(topic, 1 if single else partitions)
        self._turns: list[Iterator[None]] = []
        self._runners: list[Runner] = []

    # ---- what surrounds a process --------------------------------------------------------------------------------

    def point(self, process: Process, what: str) -> None:
        """Nothing happens."""

    def elapse(self, process: Process, seconds: float) -> None:
        """Time goes by."""
        self.now += seconds
        self.broker.pass_to(self.now)

    def hangs(self, process: Process, what: str) -> bool:
        """Nothing does."""
        return False

    # ---- what a test does ----------------------------------------------------------------------------------------

    def start(self, name: str, kind: Kind) -> None:
        """Start a process of a service."""
        process = Process(name, len(self._turns), self)
        library = SimulatedLibrary(process, MemoryConsumer, MemoryProducer, MemoryAdmin)
        runner = Crew(kind.build, kind.settings, self.path, **kind.own).member(PLAN, name, library)
        self._runners.append(runner)
        self._turns.append(runner.turns())

    def publish(self, logical: str, rows: pa.RecordBatch, key: str) -> None:
        """Write records, keyed by a column."""
        topic = self.named(logical)
        values = self.contracts.channel(logical).codec.encode(rows)
        logs = self.broker.topics[topic]
        for name, value in zip(rows[key].cast(pa.string()).to_pylist(), values, strict=True):
            self.broker.append((topic, (murmur2(name.encode()) & 0x7FFFFFFF) % len(logs)), name.encode(), value)

    def crown(self, package: ModelPackage, uri: str) -> None:
        """Publish a plan in which a package is the champion."""
        arm = plans.Arm("champion", package.manifest.name, package.manifest.version, package.digest, uri)
        fact = plans.Plan(self.contracts.pipeline.name, 1, (arm,)).fact(0, "test", "the first")
        schema = self.contracts.channel("plans").codec.reader.arrow
        self.publish("plans", pa.RecordBatch.from_pylist([fact], schema=schema), "pipeline")

    def settle(self, seconds: float) -> None:
        """Let all services go on for so long at least, until there is nothing left to read."""
        end = self.now + seconds
        while self.now < end or not self._answered():
            for turns in self._turns:
                next(turns)
            self.elapse(Process("", 0, self), LATENCY_S)

    def read(self, logical: str) -> pa.Table:
        """All committed records of a topic."""
        codec = self.contracts.channel(logical).codec
        values = [entry.value or b"" for log in self.broker.topics[self.named(logical)] for _, entry in log.history()]
        return pa.Table.from_batches([codec.decode(values).columns])

    def named(self, logical: str) -> str:
        """A topic's name on the broker."""
        return f"{self.contracts.pipeline.name}.{logical}"

    def _answered(self) -> bool:
        """Whether every service has committed all that it can read."""
        for runner in self._runners:
            for channel in runner.wiring.inputs:
                for log in self.broker.topics[channel.name]:
                    last = log.last()
                    offset = self.broker.offsets.get((runner.wiring.group, channel.name, log.partition))
                    if last is not None and (offset or (0, ""))[0] <= last:
                        return False
        return True
