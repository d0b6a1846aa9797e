"""A broker in memory without faults, for scripts and for tests of one situation."""

from __future__ import annotations

from random import Random

from headrace.streaming.kafka.connection import Connection
from tests.simulated.broker import Broker
from tests.simulated.consumer import MemoryConsumer
from tests.simulated.process import Process, SimulatedLibrary
from tests.simulated.producer import MemoryAdmin, MemoryProducer


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

    def lacks(self, partition: int) -> bool:
        return False

    def slow(self) -> bool:
        return False

    # What scripts ask of a stage.

    def connection(self, name: str) -> Connection:
        self._names += 1
        process = Process(name, self._names, self)
        library = SimulatedLibrary(process, MemoryConsumer, MemoryProducer, MemoryAdmin)
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
