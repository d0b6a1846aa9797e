"""The broker in memory shows clients what a real one shows them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from random import Random

import pytest

from headrace.streaming.kafka.client import Admin, Connection
from tests.simulated.broker import Broker
from tests.simulated.consumer import Consumer
from tests.simulated.process import Process, SimulatedLibrary
from tests.simulated.producer import Admin as SimulatedAdmin
from tests.simulated.producer import Producer
from tests.simulated.scripts import ALONE, TOGETHER, Seen, Stage

Script = Callable[[Stage], Seen]


class Real:
    """The broker that all tests share."""

    def __init__(self, bootstrap: str, protocol: str) -> None:
        self.protocol = protocol
        self._connection = Connection(bootstrap)

    def connection(self, name: str) -> Connection:
        return self._connection

    def topic(self, partitions: int) -> str:
        name = self.name("topic")
        Admin(self._connection).create(name, partitions, 1, {})
        return name

    def name(self, prefix: str) -> str:
        return f"{prefix}-{uuid.uuid4().hex[:12]}"

    def moment(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """A real broker's time goes by in `poll`."""


class InMemory:
    """A broker in memory, without faults."""

    def __init__(self, protocol: str, seed: int) -> None:
        self.protocol = protocol
        self.chance = Random(seed)
        self.broker = Broker(self.chance)
        self.now = 0.0
        self._names = 0

    # What processes ask of their surroundings.

    def point(self, process: Process, what: str) -> None:
        """Nothing happens here but that time goes by."""
        self.elapse(process, 0.001)

    def elapse(self, process: Process | None, seconds: float) -> None:
        self.now += seconds
        self.broker.pass_to(self.now)

    def hangs(self, process: Process, what: str) -> bool:
        return False

    # What scripts ask of a stage.

    def connection(self, name: str) -> Connection:
        self._names += 1
        process = Process(name, self._names, self)
        library = SimulatedLibrary(process, Consumer, Producer, SimulatedAdmin)
        return Connection("memory:9092", library=library)

    def topic(self, partitions: int) -> str:
        name = self.name("topic")
        self.broker.create(name, partitions)
        return name

    def name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}-{self._names}"

    def moment(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.elapse(None, seconds)


def _same(script: Script, real: Stage, protocol: str) -> None:
    wanted = script(real)
    for seed in range(5):  # whatever comes first where the order is open
        assert script(InMemory(protocol, seed)) == wanted


@pytest.mark.parametrize("script", ALONE, ids=lambda script: script.__name__)
def test_it_shows_what_a_real_one_shows(script: Script, kafka: str) -> None:
    """Offsets, markers, isolation and fencing, as clients see them."""
    _same(script, Real(kafka, "classic"), "classic")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("script", TOGETHER, ids=lambda script: script.__name__)
def test_it_keeps_groups_as_a_real_one_does(script: Script, protocol: str, kafka: str) -> None:
    """Who has which partition, and whose commits count, by either protocol."""
    _same(script, Real(kafka, protocol), protocol)
