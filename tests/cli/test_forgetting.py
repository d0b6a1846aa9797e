"""Brokers that forget offsets of groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.devparts.kafka import Kafka
from headrace.operations.topics.offsets_retention import SETTING, bound, judged
from headrace.operations.topics.topic_plan import topics_of
from tests.cli.terminal import Terminal
from tests.conftest import started

ROOT = Path(__file__).parents[2]


def test_offsets_must_live_as_long_as_records() -> None:
    """The bound is the longest retention of a topic that deletes, and what headrace starts itself keeps it."""
    _, topics = topics_of(str(ROOT / "pipelines" / "card_fraud.yaml"))
    assert bound(topics) == 400 * 24 * 60
    assert f'{SETTING.upper().replace(".", "_")}: "{bound(topics)}"' in (ROOT / "compose/compose.yaml").read_text()


def test_brokers_that_differ_are_named() -> None:
    """Each value that is too short is told once, with the brokers that have it."""
    told = judged({3: "10080", 1: "10080", 2: "576000", 4: "60"}, 576_000)
    assert [line.partition(":")[0].rpartition(" on ")[2] for line in told] == ["broker 4", "broker 1, 3"]


@pytest.mark.parametrize(("minutes", "warned"), [(None, 0), ("10080", 1)], ids=["ours", "Kafka's default"])
def test_plan_warns_of_a_broker_that_forgets_sooner(
    terminal: Terminal, tmp_path: Path, minutes: str | None, warned: int
) -> None:
    """`headrace topics plan` warns where offsets expire before records, with the value to set; ours keep them."""
    overrides = {} if minutes is None else {SETTING: minutes}
    broker = Kafka(tmp_path / "kafka", brief=True, overrides=overrides, with_parent=True)
    started(broker.start)
    try:
        asked = ("topics", "plan", "card_fraud", "--replication", 1, "--bootstrap", broker.address)
        told = terminal.json(*asked)["warnings"]
        _, out, _ = terminal.run(*asked)
    finally:
        broker.stop()
    assert len(told) == warned
    assert all("7 days" in line and "576000 or more" in line and line in out for line in told)
