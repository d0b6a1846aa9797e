"""A broker in its first seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.devparts.kafka import Kafka
from tests.conftest import started
from tests.members import ROOT

pytestmark = pytest.mark.faults

ASK = """
import sys
from headrace.streaming.kafka.admin import committed
from headrace.streaming.kafka.connection import Connection
for number in range(8):
    print(committed(Connection(sys.argv[1]), f"group-{number}", [("nothing", 0)]))
"""


@pytest.mark.slow
def test_committed_offsets_are_asked_of_a_coordinator_that_is_only_starting(tmp_path: Path) -> None:
    """The first question about a group, to a broker that never had one, has an answer and ends no process."""
    broker = Kafka(tmp_path / "kafka", brief=True, with_parent=True)
    started(broker.start)
    try:
        asked = subprocess.run(
            [sys.executable, "-c", ASK, broker.address],
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=600,
        )
    finally:
        broker.stop()
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.split() == ["{}"] * 8
