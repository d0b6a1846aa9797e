"""The loop when the broker is away for a while, or the way to it: it goes on by itself, soon, and exactly."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.devparts.kafka import Kafka
from tests.cable import Cable, cable_to
from tests.conftest import started
from tests.streaming.test_runner import Stage, assert_exact, events, expected

pytestmark = pytest.mark.faults


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[Kafka, Cable]]:
    """A broker of this test's own, and a cable to it that its clients use."""
    kafka = Kafka(tmp_path / "kafka", heap="512m", brief=True, with_parent=True)
    cable = cable_to(kafka)
    started(kafka.start)
    yield kafka, cable
    cable.close()
    kafka.stop()


@pytest.mark.slow
def test_cuts_of_the_network_change_nothing(broker: tuple[Kafka, Cable], pipeline_name: str, tmp_path: Path) -> None:
    """Connections break or hang for a second, again and again, in the middle of commits; no member has to end."""
    kafka, cable = broker
    stage = Stage(kafka.address, pipeline_name, tmp_path)
    stage.settings = {
        "HEADRACE_BOOTSTRAP": f"127.0.0.1:{cable.port}", "HEADRACE_COMMIT_MS": "5",
        "HEADRACE_SILENCE_S": "60",
    }  # fmt: skip
    published = events(30_000)
    try:
        stage.publish(published[:3_000])
        stage.start("a")
        stage.await_answers(3_000)
        for part in range(1, 10):
            stage.publish(published[part * 3_000 : part * 3_000 + 3_000])
            time.sleep(0.05 * part)  # Another moment of the work each time.
            (cable.cut if part % 2 else cable.hold)()
            time.sleep(1)  # The fault itself.
            cable.mend()
            stage.await_answers(part * 3_000 + 3_000)
        assert_exact(stage.answers(), expected(published))
    finally:
        stage.close()


@pytest.mark.slow
def test_a_broker_that_is_away_for_ten_seconds_changes_nothing(
    broker: tuple[Kafka, Cable], pipeline_name: str, tmp_path: Path
) -> None:
    """Killed at work and started again, it finds the member where it was."""
    kafka, _ = broker
    stage = Stage(kafka.address, pipeline_name, tmp_path)
    stage.settings = {"HEADRACE_SILENCE_S": "60"}
    published = events(20_000)
    try:
        stage.publish(published[:10_000])
        stage.start("a")
        stage.await_answers(100)
        kafka.kill()
        time.sleep(10)  # The fault itself.
        kafka.start()
        stage.publish(published[10_000:])
        # A join whose answer was lost fences its own member: then it ends, and is started again.
        assert_exact(stage.await_answers(len(published), between=stage.revive), expected(published))
        assert stage.stop("a", signal.SIGTERM) == 0
    finally:
        stage.close()
