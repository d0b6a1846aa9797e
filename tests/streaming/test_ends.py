"""Whether a log is said to be at its end while records lie there unread; on a real broker, turn by turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from headrace.streaming.process.metrics import Metrics
from headrace.streaming.process.settings import Settings, read_settings
from headrace.streaming.records.batch import Batch, Output
from headrace.streaming.task.runner import Runner
from headrace.streaming.watermarks.idleness import RECOVERY_S, Lookout, Quiet
from tests.streaming.tally import Tally, wiring
from tests.streaming.test_runner import PARTITIONS, Stage

KEYS = ("a", "b", "c", "d", "e", "f", "g", "h")
"""Between them they reach every partition."""


class Watching(Tally):
    """Remembers what it was told of ends; holds every row while `holding`."""

    holding = False

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[int, Quiet] = {}
        self.ticked: set[frozenset[int]] = set()

    def process(self, batch: Batch, now: float) -> Output:
        return Output(held=frozenset(batch.partition.tolist())) if self.holding else super().process(batch, now)

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        self.told = dict(at_end)
        self.ticked.add(frozenset(self.state))
        return Output()


class Turns:
    """A member of the tally service whose loop the test turns."""

    def __init__(self, stage: Stage, member: str = "a", **settings: object) -> None:
        self.service = Watching()
        chosen = read_settings(Settings, pipeline=stage.pipeline, bootstrap=stage.bootstrap, member=member, **settings)
        self.runner = Runner(self.service, wiring(stage.pipeline, member), chosen, Metrics())
        self.runner.open()

    def close(self) -> None:
        """Leave the group."""
        self.runner.health.close()
        self.runner.consumer.close()

    def until(self, done: Callable[[], bool], within: float = 60.0) -> None:
        """Turn the loop until something has come true."""
        end = time.monotonic() + within
        while not done():
            assert time.monotonic() < end, self.service.told
            self.runner.step()

    def read(self) -> int:
        """How many records were read, of all partitions."""
        return sum(own.read for own in self.runner.owned.values())

    def at_end(self, since: float = 0.0) -> bool:
        """Whether all partitions were told to have been at their end at that moment, or after."""
        return len(self.service.told) == PARTITIONS and all(q.until > since for q in self.service.told.values())


@pytest.fixture
def stage(kafka: str, pipeline_name: str, tmp_path: Path) -> Stage:
    """Topics of one test."""
    return Stage(kafka, pipeline_name, tmp_path)


@pytest.fixture
def start(stage: Stage) -> Iterator[Callable[..., Turns]]:
    """Starts a member, with settings; it leaves at the end."""
    made: list[Turns] = []

    def turns(**settings: object) -> Turns:
        made.append(Turns(stage, **settings))
        return made[-1]

    yield turns
    for one in made:
        one.close()


def test_a_log_that_was_paused_is_not_said_to_be_at_its_end(stage: Stage, start: Callable[..., Turns]) -> None:
    """Records written while a partition's rows were held are read before its end is told again; then it is."""
    member = start(linger_ms=200)  # A batch has the news of the end behind its records.
    member.until(member.at_end)
    member.service.holding = True
    stage.publish([(key, key, 1) for key in KEYS])
    member.until(lambda: all(own.held for own in member.runner.owned.values()))
    member.until(lambda: not member.service.told)
    before = {partition: own.read for partition, own in member.runner.owned.items()}
    stage.publish([(f"{key}2", key, 1) for key in KEYS])
    member.service.holding = False
    while member.read() < 2 * len(KEYS):
        member.runner.step()
        for partition in member.service.told:
            assert member.runner.owned[partition].read > before[partition], "at its end, with a record unread"
    member.until(member.at_end)


def test_a_log_is_at_its_end_since_it_was_read(stage: Stage, start: Callable[..., Turns]) -> None:
    """Rows held at the end of their log, and answered: the end is counted from when they were read, not answered."""
    member = start()
    member.service.holding = True
    stage.publish([(key, key, 1) for key in KEYS])
    member.until(lambda: member.read() == len(KEYS))
    answered = time.time()
    assert not member.service.told
    member.service.holding = False
    member.until(member.at_end)
    assert all(quiet.since <= answered < quiet.until for quiet in member.service.told.values())


def test_who_did_not_look_does_not_know(stage: Stage, start: Callable[..., Turns]) -> None:
    """After a pause of the loop, and with records waiting behind others, ends are told as of the last good look."""
    member = start(batch_rows=1)
    member.until(member.at_end)
    written = time.time()
    stage.publish([(f"{key}{number}", key, 1) for key in KEYS for number in range(5)])
    while member.read() < 5 * len(KEYS):
        member.runner.step()
        assert all(quiet.until <= written for quiet in member.service.told.values())
    member.until(lambda: member.at_end(time.time() - RECOVERY_S))


def test_slow_turns_are_believed_in_the_end() -> None:
    """A member whose every turn is as long as a stall still says that logs are at their end, a little later."""
    lookout = Lookout()
    for turn in range(10):
        lookout.looked(2.0 * turn, drained=True)
    assert lookout.until == 16.0


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_nothing_is_ticked_for_a_partition_that_was_given_up(start: Callable[..., Turns], protocol: str) -> None:
    """From the moment that partitions are revoked until it is known which come back, no tick sees their state."""
    first = start(group_protocol=protocol)
    first.until(lambda: len(first.runner.owned) == PARTITIONS)
    ticked: list[tuple[frozenset[int], frozenset[int]]] = []

    def turn() -> bool:
        first.service.ticked.clear()
        first.runner.step()
        ticked.extend((seen, frozenset(first.runner.owned)) for seen in first.service.ticked)
        return len(first.runner.owned) == PARTITIONS // 2

    second = start(member="b", group_protocol=protocol)
    second.until(turn)
    second.until(lambda: bool(turn()) and len(second.runner.owned) == PARTITIONS // 2)
    assert ticked
    assert [pair for pair in ticked if pair[0] != pair[1]] == []
