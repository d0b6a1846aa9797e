"""The loop on a real broker: nothing lost, nothing doubled, state exact, whatever is killed."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.errors import Transient
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import Message
from headrace.streaming.kafka.reader import read_topic
from headrace.streaming.task.runner import BATCH_BYTES, bounded
from tests.members import Members
from tests.streaming import tally

PARTITIONS = 4


class Stage(Members):
    """Topics of one test, and the tally processes that run on them."""

    module = "tests.streaming.tally"
    inputs = ("events",)

    def __init__(self, bootstrap: str, pipeline: str, directory: Path, replication: int = 1) -> None:
        super().__init__(bootstrap, directory)
        self.pipeline = pipeline
        admin = Admin(bootstrap)
        for name in (*self.inputs, "tallies", "notes", "dead-letters"):
            admin.create(f"{pipeline}.{name}", PARTITIONS, replication, {"max.message.bytes": "4000000"})
        admin.create(f"{pipeline}.checkpoints", 2, replication, {"cleanup.policy": "compact"})

    def publish(
        self,
        events: list[tuple[str, str, int]],
        topic: str = "events",
        partition: int | None = None,
        by: str | None = None,
    ) -> None:
        """Write (id, key, amount) events; the key decides the partition where none is named. `by`: in a transaction."""
        rows = [{"id": name, "key": key, "amount": amount} for name, key, amount in events]
        values = tally.channel(self.pipeline, "events", tally.EVENT).codec.encode(
            pa.RecordBatch.from_pylist(rows, schema=tally.EVENT.arrow)
        )
        producer = Producer(Connection(self.bootstrap), transactional_id=by)
        if by is not None:
            producer.init_transactions()
            producer.begin()
        where = None if partition is None else [partition] * len(events)
        producer.send(f"{self.pipeline}.{topic}", [key for _, key, _ in events], values, where)
        producer.flush()
        if by is not None:
            producer.commit()

    def command(self, member: str) -> list[str]:
        return [self.module]

    def own(self) -> dict[str, str]:
        return {"HEADRACE_PIPELINE": self.pipeline, "HEADRACE_CHECKPOINT_S": "1", "HEADRACE_SILENCE_S": "20"}

    def answers(self) -> list[dict[str, object]]:
        """All tallies that a read_committed consumer sees."""
        channel = tally.channel(self.pipeline, "tallies", tally.TALLY)
        rows: list[dict[str, object]] = read_topic(Connection(self.bootstrap), channel)[0].to_pylist()
        return rows

    def dead_letters(self) -> list[dict[str, object]]:
        """All dead letters."""
        channel = tally.channel(self.pipeline, "dead-letters", tally.DEAD, 4_000_000)
        rows: list[dict[str, object]] = read_topic(Connection(self.bootstrap), channel)[0].to_pylist()
        return rows

    def await_answers(
        self, count: int, seconds: float = 120, between: Callable[[], None] | None = None
    ) -> list[dict[str, object]]:
        """Wait until so many tallies are readable; fail with the members' logs when they do not come."""
        end = time.monotonic() + seconds
        found: list[dict[str, object]] = []
        while time.monotonic() < end:
            try:
                found = self.answers()
            except Transient:
                continue  # A broker is away; the bound is the time.
            if len(found) >= count:
                return found
            (between or self.assert_alive)()
            time.sleep(0.2)  # Polls the broker: there is no event to wait for.
        raise AssertionError(f"{len(found)} of {count} answers after {seconds:g} s\n{self.logs()}")


@pytest.fixture
def stage(kafka: str, pipeline_name: str, tmp_path: Path) -> Iterator[Stage]:
    """Topics and processes of one test; what still runs is killed at the end."""
    made = Stage(kafka, pipeline_name, tmp_path)
    yield made
    made.close()


def expected(events: list[tuple[str, str, int]]) -> dict[str, tuple[int, int]]:
    """What a fold in publishing order gives for each id."""
    state: dict[str, tuple[int, int]] = {}
    answers = {}
    for name, key, amount in events:
        if amount >= 0:
            count, total = state.get(key, (0, 0))
            state[key] = answers[name] = (count + 1, total + amount)
    return answers


def events(count: int, start: int = 0, seed: int = 1) -> list[tuple[str, str, int]]:
    """Events of 500 keys."""
    draw = random.Random(seed)
    return [(f"e{number}", f"k{draw.randrange(500)}", draw.randrange(1000)) for number in range(start, start + count)]


def assert_exact(answers: list[dict[str, object]], wanted: dict[str, tuple[int, int]]) -> None:
    """Each id once, with the count and total of an undisturbed fold."""
    doubled = [name for name, times in Counter(answer["id"] for answer in answers).items() if times > 1]
    found = {str(answer["id"]): (answer["count"], answer["total"]) for answer in answers}
    assert doubled == []
    assert sorted(set(wanted) - set(found)) == []
    assert {name: got for name, got in found.items() if got != wanted[name]} == {}


@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])
def test_every_event_is_answered_once(stage: Stage, mode: str) -> None:
    """Undisturbed, each event has one answer, in both modes, and SIGTERM drains with exit code 0."""
    published = events(20_000)
    stage.publish(published)
    stage.start("a", HEADRACE_MODE=mode)
    assert_exact(stage.await_answers(len(published)), expected(published))
    assert stage.stop("a") == 0, stage.logs()


def test_a_refused_record_is_a_dead_letter_and_its_neighbours_go_on(stage: Stage) -> None:
    """An unreadable record and an inadmissible one land once, whole, with a reason; the others are answered."""
    published = [("a", "k", 1), ("b", "k", -5), ("c", "k", 2)]
    stage.publish(published)
    producer = Producer(Connection(stage.bootstrap))
    producer.send_one(f"{stage.pipeline}.events", "k", b"\x00\x00\x00\x00\x07nonsense", headers=[("trace", b"t1")])
    producer.flush()
    stage.start("a")
    assert_exact(stage.await_answers(2), expected(published))
    assert stage.stop("a") == 0
    letters = {str(letter["reason"]): letter for letter in stage.dead_letters()}
    assert set(letters) - {"negative"} <= {"truncated", "malformed", "trailing_bytes"}
    assert len(letters) == 2
    broken = next(letter for reason, letter in letters.items() if reason != "negative")
    assert broken["value"] == b"\x00\x00\x00\x00\x07nonsense"
    assert broken["key"] == b"k"
    assert broken["headers"] == [{"key": "trace", "value": b"t1"}]


def test_held_rows_are_answered_once_they_are_released(stage: Stage) -> None:
    """A partition that must wait is answered later, exactly once, even when its member dies while it waits."""
    published = events(4_000)
    stage.publish(published)
    stage.start("a", TALLY_HOLD_UNTIL=str(time.time() + 3600))
    others = len(stage.answers())
    end = time.monotonic() + 60
    while others == 0 or len(stage.answers()) > others:
        assert time.monotonic() < end, stage.logs()
        others = len(stage.answers())
        time.sleep(0.5)  # Until the three partitions that may go on are through.
    stage.stop("a", signal.SIGKILL)
    stage.start("a")
    assert_exact(stage.await_answers(len(published)), expected(published))
    notes = read_topic(Connection(stage.bootstrap), tally.channel(stage.pipeline, "notes", tally.NOTE))[0]
    for partition in range(PARTITIONS):
        spans = sorted((row["first"], row["last"]) for row in notes.to_pylist() if row["_partition"] == partition)
        overlapping = [(left, right) for left, right in pairwise(spans) if right[0] <= left[1]]
        assert overlapping == [], "a row was admitted twice"


def test_a_member_is_idle_from_when_its_work_was_done(stage: Stage) -> None:
    """A batch that takes longer than it is to be idle is work: what comes soon after its answers is answered too."""
    published = events(100)
    stage.publish(published[:50])
    pace = stage.directory / "pace"
    pace.touch()
    member = stage.start("a", TALLY_PACE=str(pace), TALLY_PACE_S="5", HEADRACE_UNTIL_IDLE_S="4")
    stage.await_answers(50)
    stage.publish(published[50:])
    assert member.wait(120) == 0, stage.logs()
    assert_exact(stage.answers(), expected(published))


def disturb(stage: Stage, draw: random.Random) -> None:
    """One fault: a kill, a drain, a newcomer, a freeze past the session."""
    member = draw.choice(sorted(stage.processes))
    fault = draw.choice(["kill", "kill", "term", "join", "freeze"])
    if fault in ("kill", "term"):
        stage.stop(member, signal.SIGKILL if fault == "kill" else signal.SIGTERM)
        stage.start(member)
    elif fault == "join" and "c" not in stage.processes:
        stage.start("c")
    else:
        stage.processes[member].send_signal(signal.SIGSTOP)
        time.sleep(7)  # Past the session time-out of 6 s: the frozen member's partitions have moved.
        stage.processes[member].send_signal(signal.SIGCONT)


@pytest.mark.faults
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_kills_joins_and_zombies_change_nothing(stage: Stage, protocol: str) -> None:
    """Members are killed, drained, frozen and added while events flow; the answers are those of an undisturbed fold."""
    draw = random.Random(7)
    published = events(60_000)
    stage.settings = {"HEADRACE_GROUP_PROTOCOL": protocol, "HEADRACE_BATCH_ROWS": "500"}
    stage.start("a")
    stage.start("b")
    for part in range(6):
        stage.publish(published[part * 10_000 : (part + 1) * 10_000])
        time.sleep(1.5)  # Let some of it flow before the next fault.
        disturb(stage, draw)
        stage.revive()
    assert_exact(stage.await_answers(len(published), between=stage.revive), expected(published))


@pytest.mark.parametrize(
    ("sizes", "first"),
    [
        ([10] * 5, 5),
        ([BATCH_BYTES, 1], 1),
        ([BATCH_BYTES + 1, 1], 1),
        ([1, BATCH_BYTES - 1, 0, 1], 3),
        ([1, BATCH_BYTES, 1], 1),
    ],
)
def test_a_batch_has_so_many_bytes_and_one_record_at_least(sizes: list[int], first: int) -> None:
    """Large records are taken a few at a time, in their order, and none is left out."""
    polled = [Message("t", 0, offset, None, bytes(size)) for offset, size in enumerate(sizes)]
    taken, later = bounded(polled)
    assert len(taken) == first
    assert taken + later == polled
