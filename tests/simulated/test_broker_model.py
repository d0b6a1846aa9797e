"""The broker in memory shows clients what a real one shows them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest

from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.connection import Connection
from tests.simulated.group_scripts import CLASSIC, TOGETHER
from tests.simulated.memory import InMemory
from tests.simulated.scripts import ALONE, Seen, Stage

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


def _same(script: Script, real: Stage, protocol: str) -> None:
    wanted = script(real)
    for seed in range(5):  # whatever comes first where the order is open
        assert script(InMemory(protocol, seed)) == wanted


@pytest.mark.parametrize("script", ALONE + CLASSIC, ids=lambda script: script.__name__)
def test_it_shows_what_a_real_one_shows(script: Script, kafka: str) -> None:
    """Offsets, markers, isolation and fencing, as clients see them."""
    _same(script, Real(kafka, "classic"), "classic")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("script", TOGETHER, ids=lambda script: script.__name__)
def test_it_keeps_groups_as_a_real_one_does(script: Script, protocol: str, kafka: str) -> None:
    """Who has which partition, and whose commits count, by either protocol."""
    _same(script, Real(kafka, protocol), protocol)
