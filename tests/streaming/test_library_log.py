"""What librdkafka has to say: told once, in a form of ours, and never as a raw line on a terminal."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from headrace.streaming.kafka.client_log import QUIET_S, LibraryLog
from tests.members import ROOT

ASK = """
import sys
from headrace.errors import Transient
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Consumer, Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.process.logs import configure
if sys.argv[1] == "service":
    configure("json", service="s")
nobody = Connection("127.0.0.1:1")
for ask in (
    lambda: Consumer(nobody).partitions("t", 0.6),
    lambda: Producer(nobody).partitions("t", 0.6),
    lambda: Admin(nobody).topics(0.6),
):
    try:
        ask()
    except Transient:
        pass
"""


@pytest.mark.parametrize("who", ["service", "command"])
def test_a_broker_that_is_away_is_told_once_by_all_clients(who: str) -> None:
    """A reader, a writer and an operator's client try again and again: one line for the one fact, on stderr."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK, who],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    (line,) = asked.stderr.splitlines()
    assert asked.stdout == ""
    if who == "service":
        line = json.loads(line)["says"]
    assert "127.0.0.1:1/bootstrap: Connect to" in line
    assert "%3|" not in line


def test_a_fact_is_news_again_after_a_while() -> None:
    """What went on is not repeated; what comes back after a quiet time is."""
    told: list[str] = []
    at = 0.0
    log = LibraryLog(lambda: at, lambda kind, text: told.append(text))
    for seconds in (0.0, QUIET_S, 2 * QUIET_S, 3 * QUIET_S + 1):
        at = seconds
        log.log(40, "%s [%s] %s", "FAIL", "rdkafka#producer-1", f"h:1: refused (after {int(at)}ms in state CONNECT)")
        log.log(40, "%s [%s] %s", "FAIL", "rdkafka#producer-1", "h:2: refused (after 0ms in state CONNECT)")
    assert told == ["h:1: refused", "h:2: refused"] * 2
