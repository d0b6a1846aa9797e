"""Brokers that forget offsets of groups."""

from __future__ import annotations

from pathlib import Path

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


def test_plan_warns_of_a_broker_that_forgets_sooner(terminal: Terminal, tmp_path: Path, kafka: str) -> None:
    """`headrace topics plan` warns where offsets expire before records, with the value to set; ours keep them."""
    asked = ("topics", "plan", "card_fraud", "--replication", 1, "--bootstrap")
    assert terminal.json(*asked, kafka)["warnings"] == []
    broker = Kafka(tmp_path / "kafka", brief=True, overrides={SETTING: "10080"}, with_parent=True)  # Kafka's default
    started(broker.start)
    try:
        (told,) = terminal.json(*asked, broker.address)["warnings"]
        _, out, _ = terminal.run(*asked, broker.address)
    finally:
        broker.stop()
    assert "7 days" in told
    assert "576000 or more" in told
    assert told in out
