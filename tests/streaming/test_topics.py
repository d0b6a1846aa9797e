"""Topics as data: the files are sound, bad ones are told, and what a broker lacks of them is found and applied."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.errors import ConfigurationError
from headrace.streaming.contracts.topic_changes import Wanted, apply, plan, refusals, unwanted, wanted
from headrace.streaming.contracts.topics import Topic, load_topic, load_topics
from headrace.streaming.kafka.admin import Admin

ROOT = Path(__file__).resolve().parents[2]
TOPICS = load_topics([ROOT / "topics"])
MADE = {"event", "features", "predictions", "exchange", "outcomes"}
"""Schemas that are named or made by the pipeline file."""
OUTSIDE = {"producers", "consumers", "cli"}
"""The user's own programs and the headrace command."""


def section(name: str) -> list[list[str]]:
    """The cells of the table below a heading of docs/architecture.md, without its head."""
    text = (ROOT / "docs" / "architecture.md").read_text().split(f"## {name}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
class TestFiles:
    """Each file of `topics/`."""

    def test_it_is_written_and_read_by_services_that_exist(self, topic: Topic) -> None:
        """Producers and consumers are services of docs/architecture.md, the command, or the user's own."""
        services = {row[0].strip("`") for row in section("Services")}
        assert {*topic.producers, *topic.consumers} <= services | OUTSIDE

    def test_its_schema_exists(self, topic: Topic) -> None:
        """The schema is a file of `schemas/`, or one that follows from the pipeline file."""
        assert topic.value_schema in MADE or (ROOT / "schemas" / f"{topic.value_schema}.avsc").is_file()

    def test_what_is_acknowledged_survives_a_broker(self, topic: Topic) -> None:
        """Three replicas, two of which must have a record before it counts."""
        assert topic.replication == 3
        assert topic.config["min.insync.replicas"] == "2"


def test_the_map_shows_every_topic() -> None:
    """`ls topics/` and the table of docs/architecture.md are the same list."""
    documented = {row[0].strip("`").split(".")[0] for row in section("Topics")}
    assert documented == set(TOPICS)


def test_a_dead_letter_has_room_for_any_record() -> None:
    """A record travels whole inside its dead letter, so that topic takes larger ones than any that is read."""
    room = int(TOPICS["dead-letters"].config["max.message.bytes"])
    largest = max(int(topic.config["max.message.bytes"]) for name, topic in TOPICS.items() if name != "dead-letters")
    assert room >= largest + 1_048_576


def test_facts_and_state_are_kept_for_ever() -> None:
    """Checkpoints and plans are compacted, decisions are never deleted."""
    for name in ("checkpoints", "plans"):
        assert TOPICS[name].config["cleanup.policy"] == "compact"
    for name in ("checkpoints", "plans", "control"):
        assert TOPICS[name].config["retention.ms"] == "-1"


GOOD: dict[str, Any] = {
    "topic": "orders",
    "description": "What was ordered, once each, by anybody.",
    "key": "the customer",
    "schema": "order",
    "partitions": 4,
    "replication": 3,
    "config": {
        "cleanup.policy": "delete",
        "retention.ms": 1000,
        "max.message.bytes": 1000,
        "min.insync.replicas": 2,
    },
    "producers": ["shop"],
    "consumers": ["bank"],
}


def config(**changes: object) -> dict[str, Any]:
    """The good topic with other properties; `None` takes one out, `_` in a name stands for a dot."""
    merged = {**GOOD["config"], **{name.replace("_", "."): value for name, value in changes.items()}}
    return {"config": {name: value for name, value in merged.items() if value is not None}}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"partition": 4}, "partition: Extra inputs"),
    ({"partitions": 0}, "partitions: .* greater than or equal to 1"),
    ({"partitions": "4"}, "partitions: .* valid integer"),
    ({"description": "short"}, "description: .* at least 20"),
    ({"topic": "Orders"}, "topic: .* match"),
    ({"schema": "../order"}, "schema: .* match"),
    ({"producers": []}, "producers: .* at least 1"),
    ({"for_each": "view"}, "for_each: .* 'foreign_view'"),
    (config(retention_mss=1), "unknown property retention.mss: did you mean retention.ms"),
    (config(retention_ms=-2), "retention.ms cannot be -2"),
    (config(retention_ms="7d"), "retention.ms cannot be 7d"),
    (config(retention_ms=1.5), "valid string"),
    (config(cleanup_policy="compress"), "cleanup.policy cannot be compress: write compact or"),
    (config(cleanup_policy=None), "config says nothing of cleanup.policy"),
    (config(min_insync_replicas=4), "min.insync.replicas is above replication"),
    ({**config(cleanup_policy="compact"), "key": None}, "a compacted topic needs keys"),
    ({"topic": "invoices"}, "describes the topic invoices: call the file invoices.yaml"),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_a_bad_file_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """The validator is proven with files that break each of its rules; the unbroken one passes."""
    path = tmp_path / "orders.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    assert load_topic(path).config["retention.ms"] == "1000"
    path.write_text(yaml.safe_dump({**GOOD, **change}))
    with pytest.raises(ConfigurationError, match=reason):
        load_topic(path)


@pytest.mark.parametrize("left_out", GOOD)
def test_a_file_leaves_nothing_out(tmp_path: Path, left_out: str) -> None:
    """Who, what and how are all said: no entry of a topic file has a default that could surprise."""
    path = tmp_path / "orders.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in GOOD.items() if name != left_out}))
    with pytest.raises(ConfigurationError, match=f"{left_out}: Field required"):
        load_topic(path)


@pytest.mark.parametrize("text", ["a: [", "topic: a\ntopic: b", "- a", "", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_topic_file_is_refused(tmp_path: Path, text: str) -> None:
    """Broken YAML, a key twice, a list, nothing, and code are told as mistakes of the file."""
    path = tmp_path / "orders.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(str(path))):
        load_topic(path)


def test_the_users_topic_comes_first(tmp_path: Path) -> None:
    """A topic file of the user's project replaces ours of the same name; the others stay."""
    content = yaml.safe_load((ROOT / "topics" / "events.yaml").read_text())
    (tmp_path / "events.yaml").write_text(yaml.safe_dump({**content, "partitions": 7}))
    topics = load_topics([tmp_path, ROOT / "topics"])
    assert topics["events"].partitions == 7
    assert set(topics) == set(TOPICS)


@dataclass(frozen=True)
class Has:
    """A topic as a broker has it."""

    partitions: int = 4
    replication: int = 3
    config: Mapping[str, str] = field(default_factory=dict)


def one(partitions: int = 4, asked: bool = False, **properties: object) -> list[Wanted]:
    """One wanted topic, `a`."""
    settings = {name.replace("_", "."): str(value) for name, value in properties.items()}
    return [Wanted("a", partitions, 3, {"min.insync.replicas": "2", **settings}, asked)]


INSYNC = {"min.insync.replicas": "2"}


def test_a_missing_topic_is_created() -> None:
    """With the partitions, replicas and properties that are wanted."""
    (change,) = plan({}, one(retention_ms=5))
    assert (change.kind, change.refused) == ("create", "")
    assert change.after == {"partitions": "4", "replication": "3", "retention.ms": "5", **INSYNC}


def test_nothing_is_done_twice() -> None:
    """A broker that has all that is wanted, in whatever order it writes lists, gives an empty plan."""
    has = {"a": Has(config={**INSYNC, "cleanup.policy": "delete,compact", "flush.ms": "9"})}
    assert plan(has, one(cleanup_policy="compact,delete")) == []


def test_partitions_stay_unless_asked() -> None:
    """A file says how many partitions a topic starts with; one that exists keeps its own."""
    assert plan({"a": Has(8, config=INSYNC)}, one(4)) == []
    assert plan({"a": Has(2, config=INSYNC)}, one(4)) == []


def test_more_partitions_are_refused_unless_allowed() -> None:
    """Keys would move; with --allow-repartition it is done."""
    (change,) = plan({"a": Has(2, config=INSYNC)}, one(4, asked=True))
    assert "keys would move" in change.refused
    assert "--allow-repartition" in change.remedy
    (change,) = plan({"a": Has(2, config=INSYNC)}, one(4, asked=True), allow_repartition=True)
    assert (change.refused, change.before, change.after) == ("", {"partitions": "2"}, {"partitions": "4"})


def test_fewer_partitions_are_always_refused() -> None:
    """No flag takes a partition away."""
    (change,) = plan({"a": Has(8, config=INSYNC)}, one(4, True), allow_repartition=True, allow_data_loss=True)
    assert "cannot be taken away" in change.refused


@pytest.mark.parametrize(
    ("before", "after", "lossy"),
    [
        ({"retention.ms": "10"}, {"retention_ms": 20}, False),
        ({"retention.ms": "20"}, {"retention_ms": 10}, True),
        ({"retention.ms": "-1"}, {"retention_ms": 10}, True),
        ({"retention.ms": "10"}, {"retention_ms": -1}, False),
        ({}, {"retention_ms": 1000}, True),
        ({}, {"retention_ms": 604_800_001}, False),
        ({}, {"retention_bytes": 1000}, True),
        ({"retention.bytes": "10"}, {"retention_bytes": -1}, False),
        ({}, {"cleanup_policy": "compact"}, True),
        ({"cleanup.policy": "compact"}, {"cleanup_policy": "compact,delete"}, True),
        ({"cleanup.policy": "compact,delete"}, {"cleanup_policy": "compact"}, False),
        ({"max.message.bytes": "10"}, {"max_message_bytes": 5}, False),
    ],
)
def test_what_would_lose_records_is_refused_unless_allowed(
    before: dict[str, str], after: dict[str, object], lossy: bool
) -> None:
    """Shorter retention, compaction and deletion need a flag; what keeps more does not."""
    has = {"a": Has(config={**INSYNC, **before})}
    (change,) = plan(has, one(**after))
    assert bool(change.refused) == lossy
    (change,) = plan(has, one(**after), allow_data_loss=True)
    assert not change.refused


def test_a_refusal_does_not_hide_the_rest() -> None:
    """The plan shows what would be done and what not; `apply` then does nothing at all."""
    changes = plan({"a": Has(config={"retention.ms": "20"})}, one(retention_ms=10, max_message_bytes=5))
    assert [bool(change.refused) for change in changes] == [False, True]
    with pytest.raises(ConfigurationError, match="nothing was changed:\na: config: records"):
        apply(Admin("localhost:1"), changes)


def test_fewer_replicas_need_fewer_in_sync() -> None:
    """On one broker a record counts with its one copy; on two it counts with one, so that one may be away."""
    for replicas, insync in ((1, "1"), (2, "1"), (3, "2"), (5, "2")):
        for topic in wanted(TOPICS, "p", {}, replication=replicas):
            assert topic.config["min.insync.replicas"] == insync


def test_replicas_are_kept_or_refused() -> None:
    """A topic keeps its replicas when nothing is asked; moving them is another tool's work."""
    has = {t.name: Has(t.partitions, 1, t.config) for t in wanted(TOPICS, "p", {}, replication=1)}
    assert plan(has, wanted(TOPICS, "p", {})) == []
    changes = plan(has, wanted(TOPICS, "p", {}, replication=3))
    assert {change.remedy for change in changes if change.kind == "replication"} == {"kafka-reassign-partitions"}


def test_each_foreign_view_has_a_topic() -> None:
    """The `view` file stands for one topic a view; fixed topics keep their one partition."""
    topics = {topic.name: topic for topic in wanted(TOPICS, "p", {"view": ["view.shop", "view.card"]}, partitions=8)}
    assert {"p.view.shop", "p.view.card"} <= set(topics)
    assert "p.view" not in topics
    assert topics["p.view.shop"].partitions == 8
    assert topics["p.plans"].partitions == topics["p.control"].partitions == 1
    assert not topics["p.plans"].partitions_asked


def test_a_reason_is_told_once_with_all_the_topics_that_it_holds_for() -> None:
    """On one broker no topic can have three replicas: that is one sentence, in the plan as in the error."""
    topics = wanted(TOPICS, "p", {"view": ["view.shop"]}, partitions=3)
    changes = plan({}, topics, brokers=1)
    (refusal,) = refusals(changes)
    assert refusal.topics == tuple(topic.name for topic in topics)
    with pytest.raises(ConfigurationError) as raised:
        apply(Admin("localhost:1"), changes)
    assert str(raised.value).count("3 replicas need as many brokers") == 1
    has = {topic.name: Has(2, 1, topic.config) for topic in wanted(TOPICS, "p", {"view": ["view.shop"]}, replication=1)}
    grown = {each.topics for each in refusals(plan(has, topics)) if each.kind == "partitions"}
    assert grown == {tuple(topic.name for topic in topics if topic.partitions_asked)}


def test_topics_of_others_are_left_alone() -> None:
    """What lies under the pipeline's name and is not wanted is reported; what lies elsewhere is not even that."""
    topics = wanted(TOPICS, "p", {})
    assert unwanted(["p.events", "p.view.old", "other.events", "pp.x"], topics, "p") == ["p.view.old"]


def test_a_broker_gets_what_it_lacks(kafka: str, pipeline_name: str) -> None:
    """On a real broker: created once, nothing to do after, more partitions and properties when allowed."""
    admin = Admin(kafka)

    def pending(**options: Any) -> list[Any]:
        topics = wanted(
            TOPICS, pipeline_name, {"view": ["view.terminal"]}, options.pop("partitions", None), replication=1
        )
        return plan(admin.topics(), topics, **options)

    changes = pending(partitions=2)
    assert {change.kind for change in changes} == {"create"}
    apply(admin, changes)
    assert pending(partitions=2) == []
    assert pending() == []
    apply(admin, pending(partitions=3, allow_repartition=True))
    state = admin.topics()[f"{pipeline_name}.events"]
    assert state.partitions == 3
    assert state.config["message.timestamp.type"] == "LogAppendTime"
    admin.alter_config(f"{pipeline_name}.events", {"retention.ms": "-1", "max.message.bytes": "5000"})
    changes = pending()
    assert sorted((change.kind, bool(change.refused)) for change in changes) == [("config", False), ("config", True)]
    apply(admin, pending(allow_data_loss=True))
    assert pending() == []
