"""Commits that are refused, hang, or take long, on a broker behind a cable: nothing is lost, and nothing doubled."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from headrace.devparts.kafka import Kafka
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.errors import Undelivered
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.task.transactions import OFFSETS_S, AtLeastOnce, Parcel, Retry
from tests.cable import GROUP_HEARTBEAT, TXN_OFFSET_COMMIT, Cable, cable_to
from tests.conftest import started
from tests.streaming.test_runner import Stage, assert_exact, events, expected

pytestmark = pytest.mark.faults

HELD_AT = 40


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kafka, Cable]]:
    """A broker that the tests here share, and a cable to it that members use."""
    beats = {"group.consumer.min.heartbeat.interval.ms": "500", "group.consumer.heartbeat.interval.ms": "500"}
    kafka = Kafka(tmp_path_factory.mktemp("kafka"), heap="512m", brief=True, overrides=beats, with_parent=True)
    cable = cable_to(kafka)
    started(kafka.start)
    yield kafka, cable
    cable.close()
    kafka.stop()


@pytest.fixture
def cable(broker: tuple[Kafka, Cable]) -> Iterator[Cable]:
    """The cable, mended afterwards."""
    yield broker[1]
    broker[1].met = broker[1].rate = None
    broker[1].mend()


@pytest.fixture
def stage(broker: tuple[Kafka, Cable], cable: Cable, pipeline_name: str, tmp_path: Path) -> Iterator[Stage]:
    """Topics of one test, and members behind the cable."""
    made = Stage(broker[0].address, pipeline_name, tmp_path)
    made.settings = {"HEADRACE_BOOTSTRAP": f"127.0.0.1:{cable.port}", "HEADRACE_SILENCE_S": "60"}
    yield made
    made.close()


def stale(request: bytes) -> bytes:
    """A commit of a transaction's offsets by a member that has missed the group's newest change.

    TxnOffsetCommit, version 3 on: header (length, kind, version, number, client), transactional id, group, producer's
    id and epoch, then the member's epoch.
    """
    assert int.from_bytes(request[6:8], "big") >= 3
    at = 12 + 2 + int.from_bytes(request[12:14], "big") + 1
    for _ in range(2):
        assert request[at] < 128, "a length of one byte"
        at += request[at]
    at += 8 + 2
    epoch = int.from_bytes(request[at : at + 4], "big")
    assert 0 < epoch < 1000
    return request[:at] + (epoch - 1).to_bytes(4, "big") + request[at + 4 :]


def await_said(stage: Stage, member: str, words: str, seconds: float = 90) -> None:
    """Wait until a member's log says something."""
    end = time.monotonic() + seconds
    while words not in (stage.directory / f"{member}.log").read_text():
        assert time.monotonic() < end, f"{member} never said {words}\n{stage.logs()}"
        stage.assert_alive()
        time.sleep(0.05)  # Another process's doing: there is no event to wait for.


class Revocation:
    """Lets a newcomer join right after an ordinary commit of the other member, whose next one is in the revocation.

    Not after its first one: under load that may come before rows do, and a revocation then has nothing to commit.

    Attributes:
        hit: set when that commit met its fault.
    """

    def __init__(self, newcomer: str, fault: Callable[[bytes], bytes]) -> None:
        self.hit = threading.Event()
        self._newcomer = newcomer.encode()
        self._fault = fault
        self._waits, self._open = threading.Event(), threading.Event()
        self._commits = 0

    def met(self, kind: int, request: bytes) -> bytes:
        """Passes requests on, as `Cable.met`."""
        if kind == GROUP_HEARTBEAT and self._newcomer in request:
            self._waits.set()
            self._open.wait(90)
        if kind != TXN_OFFSET_COMMIT or not self._waits.is_set() or self.hit.is_set():
            return request
        self._commits += 1
        if not self._open.is_set():
            if self._commits > 1:
                self._open.set()
            return request
        self.hit.set()
        return self._fault(request)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["refused", "hangs"])
def test_outputs_of_partitions_that_stay_survive_a_commit_that_fails_in_a_revocation(
    stage: Stage, cable: Cable, fault: str
) -> None:
    """A newcomer takes half of the partitions away while answers are open, and the commit before they go is aborted."""
    published = events(6_000)
    stage.publish(published)
    pace, limit = stage.directory / "pace", stage.directory / "limit"
    pace.touch()
    limit.write_text(str(HELD_AT))
    # Always at work and with few rows in a batch, a member commits every five seconds, and in a revocation.
    stage.settings |= {
        "HEADRACE_GROUP_PROTOCOL": "consumer", "HEADRACE_BATCH_ROWS": "8", "HEADRACE_LINGER_MS": "0",
        "HEADRACE_COMMIT_MS": "5000", "TALLY_PACE": str(pace), "TALLY_LIMIT": str(limit),
    }  # fmt: skip

    def hang(request: bytes) -> bytes:
        cable.hold()
        return request

    revocation = Revocation("newcomer", stale if fault == "refused" else hang)
    cable.met = revocation.met
    stage.start("first")
    stage.start("newcomer")
    assert revocation.hit.wait(120), stage.logs()
    if fault == "hangs":
        await_said(stage, "first", "producer replaced")
        cable.mend()
    await_said(stage, "first", "outputs dropped at revocation")
    pace.unlink()
    limit.unlink()
    assert_exact(stage.await_answers(len(published)), expected(published))
    assert stage.stop("first", signal.SIGTERM) == 0, stage.logs()
    assert stage.stop("newcomer", signal.SIGTERM) == 0, stage.logs()
    assert_exact(stage.answers(), expected(published))


def test_a_broker_that_is_slow_to_take_offsets_is_waited_for_longer_each_time(stage: Stage, cable: Cable) -> None:
    """Longer than the first try lasts, each time: commits go through by the second, and nothing is doubled."""

    def slowly(kind: int, request: bytes) -> bytes:
        if kind == TXN_OFFSET_COMMIT:
            time.sleep(OFFSETS_S * 1.5)  # The fault itself: too long for the first try, not for the second.
        return request

    published = events(2_000)
    cable.met = slowly
    stage.publish(published)
    stage.start("a")
    await_said(stage, "a", "producer replaced")
    assert_exact(stage.await_answers(len(published)), expected(published))
    assert stage.stop("a", signal.SIGTERM) == 0, stage.logs()
    assert_exact(stage.answers(), expected(published))


@pytest.mark.slow
def test_a_large_checkpoint_over_a_slow_connection_is_committed_and_found_again(stage: Stage, cable: Cable) -> None:
    """It takes longer than patience lasts where nothing moves: as long as it gets on, it is waited for."""
    published = events(2_000)
    stage.settings |= {"TALLY_BALLAST": "16000000", "HEADRACE_PATIENCE_S": "3", "HEADRACE_CHECKPOINT_S": "1"}
    cable.rate = 2e6
    stage.publish(published[:1_000], partition=0)
    stage.start("a")
    await_checkpoint(stage, 0)
    stage.stop("a", signal.SIGKILL)
    cable.rate = None
    stage.publish(published[1_000:], partition=0)
    stage.start("a")
    assert_exact(stage.await_answers(len(published)), expected(published))
    assert "transaction aborted" not in (stage.directory / "a.log").read_text()


def await_checkpoint(stage: Stage, partition: int) -> None:
    """Wait until a partition's committed offset names a checkpoint; its member must live all the while."""
    reader = Consumer(Connection(stage.bootstrap), group=f"{stage.pipeline}.tally")
    end = time.monotonic() + 90
    while '"checkpoint"' not in (
        reader.committed([TopicPartition(f"{stage.pipeline}.events", partition)])[0].metadata or ""
    ):
        assert time.monotonic() < end, stage.logs()
        stage.assert_alive()
        time.sleep(0.2)  # Polls the broker: there is no event to wait for.
    reader.close()


@pytest.mark.slow
def test_outputs_that_were_given_up_are_not_taken_for_written(
    stage: Stage, cable: Cable, broker: tuple[Kafka, Cable]
) -> None:
    """In at_least_once no offset is committed behind them: the process ends, and they are answered again."""
    topic, source = f"{stage.pipeline}.tallies", f"{stage.pipeline}.events"
    near = Connection(f"127.0.0.1:{cable.port}")
    consumer = Consumer(near, group=f"{stage.pipeline}.tally")
    delivery = AtLeastOnce(
        near, f"{stage.pipeline}.tally.a", Retry(20, lambda: None, time.monotonic, time.sleep), give_up_s=1
    )
    sent = Parcel(topic, [b"k"], [b"v"], np.zeros(1, np.int32))
    delivery.send(sent)
    delivery.commit(consumer, [TopicPartition(source, 0, 1)], None)
    cable.hold()
    delivery.send(sent)
    with pytest.raises(Undelivered):
        delivery.commit(consumer, [TopicPartition(source, 0, 2)], None)
    cable.mend()
    assert consumer.committed([TopicPartition(source, 0)])[0].offset == 1
    consumer.close()


@pytest.mark.slow
def test_records_that_the_library_purges_are_given_up_and_break_no_contract(
    stage: Stage, cable: Cable, broker: tuple[Kafka, Cable]
) -> None:
    """As it does with what waits in a transaction that a broker held up for minutes: all is sent again, in another."""
    near = Connection(f"127.0.0.1:{cable.port}")
    producer = Producer(near, transactional_id=f"{stage.pipeline}.purged")
    producer.init_transactions()
    producer.begin()
    cable.hold()
    producer.send_one(f"{stage.pipeline}.tallies", b"k", b"v", partition=0, delivered=lambda partition, offset: None)
    producer._producer.purge()
    with pytest.raises(Undelivered, match="PURGE"):
        producer.flush(60.0)
    cable.mend()
    producer.abort()
    producer.close()
