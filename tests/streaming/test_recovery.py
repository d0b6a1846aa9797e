"""Restarts where the past is not what it was: rows wait, offsets have expired, logs and checkpoints are gone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from tests.streaming.test_runner import PARTITIONS, Stage, assert_exact, events, expected

pytestmark = pytest.mark.faults


@pytest.fixture
def stage(kafka: str, pipeline_name: str, tmp_path: Path) -> Iterator[Stage]:
    """Topics and processes of one test; what still runs is killed at the end."""
    made = Stage(kafka, pipeline_name, tmp_path)
    yield made
    made.close()


def wait(stage: Stage, ready: Callable[[], bool], seconds: float = 60) -> None:
    """Until something is so; the members' logs when it never is."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, stage.logs()
        stage.assert_alive()
        time.sleep(0.1)  # Polls the broker: there is no event to wait for.


def commitment(stage: Stage, partition: int = 0) -> tuple[int, dict[str, object]]:
    """(offset, metadata) that the group committed for a partition of its events."""
    consumer = Consumer(Connection(stage.bootstrap), group=f"{stage.pipeline}.tally")
    try:
        found = consumer.committed([TopicPartition(f"{stage.pipeline}.events", partition)])[0]
        return found.offset, json.loads(found.metadata or "{}")
    finally:
        consumer.close()


def play(stage: Stage, published: list[tuple[str, str, int]]) -> None:
    """One whole life of a member: it answers these events, and drains."""
    stage.publish(published)
    stage.start("a")
    stage.await_answers(len(published))
    assert stage.stop("a") == 0


def ended(stage: Stage, member: str, seconds: float = 120) -> int:
    """The exit code of a member that ends by itself."""
    return stage.processes.pop(member).wait(seconds)


def forget_offsets(stage: Stage) -> None:
    """What a broker does a week after the last member left."""
    group = f"{stage.pipeline}.tally"
    admin = AdminClient({"bootstrap.servers": stage.bootstrap})
    end = time.monotonic() + 60
    while Admin(stage.bootstrap).members(group):
        assert time.monotonic() < end, "a member is still in the group"
        time.sleep(0.2)  # A static member stays for its session.
    admin.delete_consumer_groups([group])[group].result(30)


def cut(stage: Stage, topic: str = "events", at: int | None = None) -> None:
    """What retention does: each partition begins at its end, or at an offset."""
    admin = AdminClient({"bootstrap.servers": stage.bootstrap})
    places = [
        TopicPartition(f"{stage.pipeline}.{topic}", number, -1 if at is None else at) for number in range(PARTITIONS)
    ]
    for future in admin.delete_records(places).values():
        future.result(30)


def renew(stage: Stage, topic: str, partitions: int) -> None:
    """Delete a topic and create it again."""
    admin, name = Admin(stage.bootstrap), f"{stage.pipeline}.{topic}"
    admin.delete([name])
    end = time.monotonic() + 60
    while name in admin.topics():
        assert time.monotonic() < end
        time.sleep(0.1)
    admin.create(name, partitions, 1, {"cleanup.policy": "compact"})


def test_a_group_whose_offsets_expired_does_not_answer_everything_again(stage: Stage) -> None:
    """It ends with 2 and the remedy, also in another start, and answers again only when told to."""
    published = events(2_000)
    play(stage, published)
    forget_offsets(stage)
    for _ in range(2):
        stage.start("a")
        assert ended(stage, "a") == 2
    assert len(stage.answers()) == 2_000
    assert "HEADRACE_RECOVER=answer_again" in stage.logs()
    stage.start("a", HEADRACE_RECOVER="answer_again")
    stage.await_answers(4_000)
    assert stage.stop("a") == 0


def test_checkpoints_made_anew_are_no_crash_loop_where_the_log_is_whole(stage: Stage) -> None:
    """Where nothing was deleted from the log the state is rebuilt from it, exactly."""
    published = events(4_000)
    play(stage, published[:2_000])
    assert "checkpoint" in commitment(stage)[1]
    renew(stage, "checkpoints", 2)
    stage.start("a")
    stage.publish(published[2_000:])
    assert_exact(stage.await_answers(4_000), expected(published))
    assert stage.stop("a") == 0
    stage.start("a")
    assert stage.stop("a") == 0


def test_state_that_the_log_no_longer_holds_is_rebuilt_only_when_that_is_said(stage: Stage) -> None:
    """Checkpoints are gone, and a part of the log as well: code 2 with the remedy, and then what there is."""
    published = events(4_000)
    play(stage, published[:2_000])
    renew(stage, "checkpoints", 2)
    cut(stage, at=100)
    stage.start("a")
    assert ended(stage, "a") == 2
    assert "HEADRACE_RECOVER=rebuild_state" in stage.logs()
    stage.publish(published[2_000:])
    stage.start("a", HEADRACE_RECOVER="rebuild_state")
    assert len({answer["id"] for answer in stage.await_answers(4_000)}) == 4_000
    assert stage.stop("a") == 0


def test_a_checkpoint_of_another_layout_is_rebuilt_and_not_misread(stage: Stage) -> None:
    """A version whose snapshots are laid out otherwise builds its state from the whole log, and goes on from its own;
    where a part of the log is gone it ends with 2, and says what wrote the checkpoint and what to do.
    """
    published = events(6_000)
    play(stage, published[:2_000])
    stage.start("a", TALLY_LAYOUT="2")
    stage.publish(published[2_000:4_000])
    assert_exact(stage.await_answers(4_000), expected(published[:4_000]))
    assert stage.stop("a") == 0
    assert "has layout 1, of version" in stage.logs()
    cut(stage, at=100)
    stage.start("a", TALLY_LAYOUT="3")
    assert ended(stage, "a") == 2
    assert "has layout 2" in stage.logs()
    assert "HEADRACE_RECOVER=rebuild_state" in stage.logs()
    stage.start("a", TALLY_LAYOUT="2")
    stage.publish(published[4_000:])
    assert_exact(stage.await_answers(6_000), expected(published))
    assert stage.stop("a") == 0


def test_retention_that_empties_a_log_stops_nothing(stage: Stage) -> None:
    """Nothing but the transaction's marker was behind what was read: no record is missed, in a drain or at work."""
    published = events(3_000)
    stage.settings = {"HEADRACE_CHECKPOINT_S": "0.1"}
    stage.publish(published[:1_000], by=f"{stage.pipeline}.writer")
    stage.start("a")
    stage.await_answers(1_000)
    wait(stage, lambda: "checkpoint" in commitment(stage)[1])
    assert stage.stop("a") == 0
    cut(stage)
    stage.start("a")
    stage.publish(published[1_000:2_000], by=f"{stage.pipeline}.writer")
    stage.await_answers(2_000)

    # Idle, its offset goes past the marker by itself; then a kill is as good as a drain.
    def past_the_end() -> bool:
        found = [(*commitment(stage, number), end_of_events(stage, number)) for number in range(PARTITIONS)]
        return all(offset == end == spoken.get("checkpoint") for offset, spoken, end in found)

    wait(stage, past_the_end, 120)
    stage.stop("a", signal.SIGKILL)
    cut(stage)
    stage.start("a")
    stage.publish(published[2_000:], by=f"{stage.pipeline}.writer")
    assert_exact(stage.await_answers(3_000), expected(published))


def end_of_events(stage: Stage, partition: int) -> int:
    """The offset after the last record or marker of a partition of the events."""
    consumer = Consumer(Connection(stage.bootstrap), isolation="read_uncommitted")
    try:
        return consumer.watermarks(f"{stage.pipeline}.events", partition)[1]
    finally:
        consumer.close()


def test_records_that_were_deleted_unread_are_skipped_only_when_that_is_said(stage: Stage) -> None:
    """A log cut before what was read ends the member with 2 and the remedy; allowed, it goes on behind the gap."""
    published = events(3_000)
    stage.publish(published[:1_000], partition=0)
    stage.start("a")
    stage.await_answers(1_000)
    assert stage.stop("a") == 0
    stage.publish(published[1_000:2_000], partition=0)
    cut(stage)
    stage.start("a")
    assert ended(stage, "a") == 2
    assert "HEADRACE_RECOVER=skip_deleted" in stage.logs()
    stage.start("a", HEADRACE_RECOVER="skip_deleted")
    stage.publish(published[2_000:], partition=0)
    found = {answer["id"] for answer in stage.await_answers(2_000)}
    assert found == {name for name, _, _ in [*published[:1_000], *published[2_000:]]}
    lines = [line for path in stage.directory.glob("*.log") for line in path.read_text().splitlines()]
    gone = [json.loads(line) for line in lines if "offsets were deleted" in line]
    assert [entry["how"] for entry in gone] == ["unanswered", "missing_from_state"]
    assert all(entry["offsets"] == entry["stop"] - entry["start"] >= 1_000 for entry in gone)


def test_answers_that_are_refused_count_towards_the_limit(stage: Stage) -> None:
    """A service that refuses all that it was to answer stops before the topic is drained, and loses nothing."""
    published = events(20_000)
    stage.publish(published)
    stage.start("a", TALLY_REFUSES="1", HEADRACE_BATCH_ROWS="500")
    assert ended(stage, "a") == 3
    assert len(stage.dead_letters()) < 10_000
    stage.start("a")
    stage.await_answers(20_000 - len(stage.dead_letters()))


def test_a_topic_that_is_deleted_is_told(stage: Stage) -> None:
    """A member whose input is gone does not wait for ever, idle and ready: it ends, at last with 2 and the topic."""
    stage.publish(events(100))
    stage.start("a")
    stage.await_answers(100)
    Admin(stage.bootstrap).delete([f"{stage.pipeline}.events"])
    code = ended(stage, "a", 180)
    if code == 75:  # It saw the number of partitions change, and begins anew to see what there is.
        stage.start("a")
        code = ended(stage, "a", 180)
    assert code == 2
    assert f"{stage.pipeline}.events" in stage.logs()[-3_000:]
