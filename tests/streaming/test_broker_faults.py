"""The loop when brokers die under it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.devparts.kafka import Kafka
from headrace.errors import ContractError, Transient
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from tests.conftest import started
from tests.streaming.test_runner import Stage, assert_exact, events, expected

pytestmark = pytest.mark.faults


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Kafka]:
    """Three brokers of this test's own, quick to notice that one is gone."""
    overrides = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
    kafka = Kafka(tmp_path / "kafka", 3, heap="512m", brief=True, overrides=overrides, with_parent=True)
    started(kafka.start)
    yield kafka
    kafka.stop()


@pytest.mark.slow
def test_a_partition_without_a_leader_is_trouble_that_passes(cluster: Kafka, pipeline_name: str) -> None:
    """It is waited for, though librdkafka calls it unknown, as one that never was: that is a mistake, and said."""
    Admin(cluster.address).create(pipeline_name, 6, 1, {})
    consumer = Consumer(Connection(cluster.address))
    assert [consumer.watermarks(pipeline_name, number) for number in range(6)] == [(0, 0)] * 6
    cluster.kill(3)
    lost = 0
    for number in range(6):
        try:
            consumer.watermarks(pipeline_name, number, 2.0)
        except Transient:
            lost += 1
    assert 0 < lost < 6
    with pytest.raises(ContractError):
        consumer.watermarks(pipeline_name, 6, 2.0)
    cluster.start()
    end = time.monotonic() + 120
    found: list[tuple[int, int]] = []
    while len(found) < 6 and time.monotonic() < end:
        with contextlib.suppress(Transient):
            found.append(consumer.watermarks(pipeline_name, len(found), 2.0))
    assert found == [(0, 0)] * 6
    consumer.close()


@pytest.mark.slow
def test_the_loss_of_each_broker_in_turn_changes_nothing(cluster: Kafka, pipeline_name: str, tmp_path: Path) -> None:
    """Leaders, group and transaction coordinators die one after the other; each event is answered once, exactly."""
    stage = Stage(cluster.address, pipeline_name, tmp_path, replication=3)
    published = events(30_000)
    try:
        stage.publish(published[:5_000])
        stage.start("a")
        stage.start("b")
        stage.await_answers(5_000)
        for node in (1, 2, 3):
            part = published[node * 5_000 : node * 5_000 + 5_000]
            stage.publish(part)
            cluster.kill(node)
            stage.await_answers(node * 5_000 + 5_000, between=stage.revive)
            cluster.start()
            assert cluster.running()
        stage.publish(published[20_000:])
        assert_exact(stage.await_answers(len(published), between=stage.revive), expected(published))
    finally:
        stage.close()
