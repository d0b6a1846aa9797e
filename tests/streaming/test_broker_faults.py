"""The loop when brokers die under it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.devparts.kafka import Kafka
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
