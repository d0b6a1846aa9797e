"""A process as its Kafka clients know it: it can be killed, frozen and cut off, and time goes by while it waits."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol, TypeVar

from confluent_kafka import KafkaException

from headrace.streaming.kafka.errors import Stuck
from tests.simulated.broker import Broker
from tests.simulated.refusals import timed_out

T = TypeVar("T")
STEP_S = 0.02
ANSWERED = " answered"
"""Behind the name of a call: it has had its effect, and whoever made it does not know yet."""


class Killed(BaseException):
    """The process is no more. Raised by every call it still makes, so that nothing it would do has any effect."""


class Surroundings(Protocol):
    """What goes on around a process."""

    now: float
    broker: Broker
    chance: Random

    def point(self, process: Process, what: str) -> None:
        """Here others may go first, and anything may happen to the process."""

    def elapse(self, process: Process, seconds: float) -> None:
        """Time goes by for a process that waits; others go on."""

    def hangs(self, process: Process, what: str) -> bool:
        """Whether a call never comes back."""


class Process:
    """One process.

    Attributes:
        number: no other process of the schedule has it.
        clients: the producers that it made.
        dead: nothing it does has any effect any more.
        frozen: it does nothing, and does not know.
        cut_until: until when no request comes through.
        cut_since: when it was cut off last.
        skew: how far its wall clock is off, seconds.
    """

    def __init__(self, name: str, number: int, around: Surroundings) -> None:
        self.name = name
        self.number = number
        self.clients: list[Any] = []
        self.around = around
        self.dead = False
        self.frozen = False
        self.cut_since = self.cut_until = 0.0
        self.skew = 0.0

    @property
    def now(self) -> float:
        return self.around.now

    @property
    def broker(self) -> Broker:
        return self.around.broker

    @property
    def chance(self) -> Random:
        return self.around.chance

    def connected(self) -> bool:
        """Whether a request would come through."""
        return self.around.now >= self.cut_until

    def beats(self) -> bool:
        """Whether its heartbeats come through."""
        return not self.dead and not self.frozen and self.connected()

    def point(self, what: str) -> None:
        """Others may go first, and anything may happen."""
        if self.dead:
            raise Killed
        self.around.point(self, what)
        if self.dead:
            raise Killed

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        if self.dead:
            raise Killed
        self.around.elapse(self, seconds)
        if self.dead:
            raise Killed

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Whether a condition came true in time."""
        end = self.now + timeout
        while not condition():
            if self.now >= end:
                return False
            self.wait(min(max(end - self.now, 0.001), STEP_S * (1 << self.chance.randrange(8))))
        return True

    def request(self, what: str, timeout: float, effect: Callable[[], T]) -> T:
        """One request to the broker. Timed out, it may have had its effect or not: the answer is lost as well."""
        end = self.now + timeout
        self.point(what)
        if not self.connected() and not self.wait_for(self.connected, max(end - self.now, 0.0)):
            raise timed_out()
        answer = effect()
        self.point(what + ANSWERED)
        if not self.connected() and not self.wait_for(self.connected, max(end - self.now, 0.0)):
            raise timed_out()
        return answer

    def insist(self, what: str, timeout: float, effect: Callable[[], T]) -> T:
        """As `request`, again and again while the broker says that it is busy, as librdkafka does."""
        end = self.now + timeout
        while True:
            try:
                return self.request(what, max(end - self.now, 0.0), effect)
            except KafkaException as raised:
                error = raised.args[0]
                if not error.retriable() or error.name() == "_TIMED_OUT":
                    raise
                if self.now >= end:
                    raise timed_out() from raised
                self.wait(STEP_S)


class SimulatedLibrary:
    """The library that a simulated process has: its clients are in memory, its time is the simulator's.

    Args:
        consumer, producer, admin: what the clients are made of, given the process and their properties.
    """

    def __init__(
        self,
        process: Process,
        consumer: Callable[[Process, dict[str, Any]], Any],
        producer: Callable[[Process, dict[str, Any]], Any],
        admin: Callable[[Process, dict[str, Any]], Any],
    ) -> None:
        self.process = process
        self._consumer = consumer
        self._producer = producer
        self._admin = admin

    def consumer(self, config: dict[str, Any]) -> Any:
        return self._consumer(self.process, config)

    def producer(self, config: dict[str, Any]) -> Any:
        made = self._producer(self.process, config)
        self.process.clients.append(made)
        return made

    def admin(self, config: dict[str, Any]) -> Any:
        return self._admin(self.process, config)

    def wall(self) -> float:
        return self.process.broker.wall + self.process.now + self.process.skew

    def monotonic(self) -> float:
        return self.process.now

    def sleep(self, seconds: float) -> None:
        self.process.wait(seconds)

    def call_until(self, seconds: float, function: Callable[..., T], *arguments: Any) -> T:
        if self.process.around.hangs(self.process, function.__name__):
            self.process.wait(seconds)
            raise Stuck(f"{function.__name__} did not come back within {seconds:g} s")
        return function(*arguments)
