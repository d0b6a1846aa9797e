"""What a broker lacks of a pipeline's topics, and how it gets it.

`plan` compares what a broker has with what is wanted and answers changes; nothing happens until `apply`. What would
lose data, or move keys between partitions, is refused unless it is allowed by name. Topics are never deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from headrace.errors import ConfigurationError, Transient
from headrace.streaming.contracts.topics import CONFIG, Topic

if TYPE_CHECKING:
    from headrace.streaming.kafka.admin import Admin, TopicState

BROKER_RETENTION_MS = 604_800_000
"""Kafka's own retention, a week, which holds where a topic says nothing (a broker's log.retention.* may differ)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic that a pipeline needs, by its name on the broker.

    `partitions_asked` and `replication_asked` tell a number that an operator asked for from one that a file starts
    with: a topic that exists keeps its own unless asked.
    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    partitions_asked: bool = False
    replication_asked: bool = False


def wanted(
    topics: Mapping[str, Topic],
    pipeline: str,
    several: Mapping[str, Sequence[str]],
    partitions: int | None = None,
    replication: int | None = None,
) -> list[Wanted]:
    """The topics of a pipeline, sorted by name.

    `several`: logical names of the topics of a file that describes not just one of its own name.
    `partitions` holds for all but fixed topics. With less `replication` than a file says, min.insync.replicas comes
    down with it, so that one replica may still be away (where there is more than one).
    """
    found = []
    for topic in topics.values():
        copies = topic.replication if replication is None else replication
        config = dict(topic.config)
        insync = min(int(config["min.insync.replicas"]), max(1, copies - 1))
        config["min.insync.replicas"] = str(insync)
        asked = partitions is not None and not topic.fixed
        count = partitions if partitions is not None and asked else topic.partitions
        suffixes = several.get(topic.topic, [topic.topic] if topic.for_each is None else [])
        found += [
            Wanted(f"{pipeline}.{suffix}", count, copies, config, asked, replication is not None) for suffix in suffixes
        ]
    return sorted(found, key=lambda topic: topic.name)


@dataclass(frozen=True, slots=True)
class TopicChange:
    """One thing to do to a topic.

    Attributes:
        before, after: the settings that change; `before` lacks what was never set.
        refused: why it will not be done; empty where it will.
        remedy: what a person can do about a refusal.
    """

    topic: str
    kind: Literal["create", "partitions", "replication", "config"]
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    remedy: str = ""


def plan(
    existing: Mapping[str, TopicState],
    topics: Iterable[Wanted],
    *,
    brokers: int | None = None,
    allow_repartition: bool = False,
    allow_data_loss: bool = False,
) -> list[TopicChange]:
    """What has to be done so that a broker has all wanted topics, refusals included; empty when it has.

    `brokers`: how many there are, for a replica needs one of its own; None does not ask. Properties that somebody else
    set and we say nothing of are left alone, as are topics that are not wanted.
    """
    changes: list[TopicChange] = []
    for topic in topics:
        state = existing.get(topic.name)
        if state is None:
            settings = {"partitions": str(topic.partitions), "replication": str(topic.replication), **topic.config}
            changes.append(TopicChange(topic.name, "create", {}, settings, *_homeless(topic, brokers)))
            continue
        changes += _partitions(topic, state, allow_repartition)
        if topic.replication_asked and topic.replication != state.replication:
            numbers = {"replication": str(state.replication)}, {"replication": str(topic.replication)}
            changes.append(
                TopicChange(
                    topic.name,
                    "replication",
                    *numbers,
                    "replicas are moved by Kafka's own tool",
                    "kafka-reassign-partitions",
                )
            )
        changes += _config(topic, state, allow_data_loss)
    return changes


def _homeless(topic: Wanted, brokers: int | None) -> tuple[str, str]:
    """Why a new topic would have replicas without a broker, and what to do; empty where each has one."""
    if brokers is None or topic.replication <= brokers:
        return "", ""
    there = "1 broker" if brokers == 1 else f"{brokers} brokers"
    return (
        f"{topic.replication} replicas need as many brokers, and there {'is' if brokers == 1 else 'are'} {there}",
        f"pass --replication {brokers}, or start more brokers",
    )


def _partitions(topic: Wanted, state: TopicState, allowed: bool) -> list[TopicChange]:
    if not topic.partitions_asked or topic.partitions == state.partitions:
        return []
    refused = remedy = ""
    if topic.partitions < state.partitions:
        refused = "partitions cannot be taken away without losing what is in them"
        remedy = f"ask for at least {state.partitions}, or start a pipeline under a new name and publish again"
    elif not allowed:
        refused = "keys would move to other partitions: an entity's events would lie in two, and its windows be cut"
        remedy = "stop publishers, then all services once they are done; pass --allow-repartition; headrace repartition"
    numbers = {"partitions": str(state.partitions)}, {"partitions": str(topic.partitions)}
    return [TopicChange(topic.name, "partitions", *numbers, refused, remedy)]


def _config(topic: Wanted, state: TopicState, allowed: bool) -> list[TopicChange]:
    different = {name: value for name, value in topic.config.items() if _plain(state.config.get(name)) != _plain(value)}
    if not topic.replication_asked:
        # It came down with the replication that the topic was created with, which is kept.
        insync = int(topic.config["min.insync.replicas"])
        if min(insync, max(1, state.replication - 1)) == int(state.config.get("min.insync.replicas", "1")):
            different.pop("min.insync.replicas", None)
    lossy = {} if allowed else {n: why for n, v in different.items() if (why := _loss(n, state.config, v))}
    safe = {name: value for name, value in different.items() if name not in lossy}
    changes = [TopicChange(topic.name, "config", _known(state, safe), safe)] if safe else []
    for name, why in lossy.items():
        one = {name: different[name]}
        changes.append(
            TopicChange(topic.name, "config", _known(state, one), one, why, "pass --allow-data-loss to do it")
        )
    return changes


def _known(state: TopicState, names: Iterable[str]) -> dict[str, str]:
    return {name: state.config[name] for name in names if name in state.config}


def _plain(value: str | None) -> str | None:
    return None if value is None else ",".join(sorted(part.strip() for part in value.split(",")))


def _loss(name: str, has: Mapping[str, str], value: str) -> str:
    """Why setting a property would lose records that are there; empty where it would not."""
    if name in ("retention.ms", "retention.bytes"):
        before = int(has.get(name, BROKER_RETENTION_MS if name == "retention.ms" else -1))
        after = int(value)
        if after != -1 and (before == -1 or after < before):
            return "records that are kept today would be deleted"
    if name == "cleanup.policy":
        before_parts, after_parts = set(has.get(name, "delete").split(",")), set(value.split(","))
        if "compact" in after_parts - before_parts:
            return "compaction would delete all but the newest record of each key"
        if "delete" in after_parts - before_parts:
            return "records of keys that are kept for ever today would be deleted with age"
    return ""


def unwanted(existing: Iterable[str], topics: Iterable[Wanted], pipeline: str) -> list[str]:
    """Topics under a pipeline's name that it does not need (any more); they are only ever reported."""
    names = {topic.name for topic in topics}
    return sorted(name for name in existing if name.startswith(f"{pipeline}.") and name not in names)


@dataclass(frozen=True, slots=True)
class TopicRefusal:
    """Changes that are refused for one reason.

    Attributes:
        kind, refused, remedy: as of each of them.
        topics: theirs.
    """

    kind: str
    refused: str
    remedy: str
    topics: tuple[str, ...]

    @property
    def text(self) -> str:
        """In a line."""
        return f"{', '.join(self.topics)}: {self.kind}: {self.refused}: {self.remedy}"


def refusals(changes: Iterable[TopicChange]) -> list[TopicRefusal]:
    """Each reason once, with all that is refused for it, in the order of the changes."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for change in changes:
        if change.refused:
            found.setdefault((change.kind, change.refused, change.remedy), []).append(change.topic)
    return [TopicRefusal(*why, tuple(topics)) for why, topics in found.items()]


def apply(broker: Admin, changes: Sequence[TopicChange], wait: float = 60.0) -> None:
    """Do all changes, or none where one is refused. Safe to repeat after a failure: plan again, apply what is left.

    Returns when the broker shows what was changed: it answers a creation before all of it knows the topic.

    Raises:
        ConfigurationError: a change is refused; lists all refusals.
        Transient: the broker took the changes, and does not show them after `wait` seconds.
    """
    if refused := refusals(changes):
        raise ConfigurationError("nothing was changed:\n" + "\n".join(each.text for each in refused))
    for change in changes:
        _do(broker, change)
    changed = {change.topic for change in changes}
    deadline = time.monotonic() + wait
    while missing := _missing(broker.topics(changed.__contains__), changes) if changes else []:
        if time.monotonic() > deadline:
            raise Transient(f"changed, but not shown after {wait:g} s: {', '.join(missing)}")
        time.sleep(0.05)


def _do(broker: Admin, change: TopicChange) -> None:
    match change.kind:
        case "create":
            partitions, replication = int(change.after["partitions"]), int(change.after["replication"])
            broker.create(change.topic, partitions, replication, _properties(change))
        case "partitions":
            broker.add_partitions(change.topic, int(change.after["partitions"]))
        case "config":
            broker.alter_config(change.topic, _properties(change))


def _properties(change: TopicChange) -> dict[str, str]:
    return {name: value for name, value in change.after.items() if name in CONFIG}


def _missing(existing: Mapping[str, TopicState], changes: Iterable[TopicChange]) -> list[str]:
    """Topics that are not yet as a change left them."""
    return [change.topic for change in changes if not _shows(existing.get(change.topic), change)]


def _shows(state: TopicState | None, change: TopicChange) -> bool:
    if state is None or state.partitions < int(change.after.get("partitions", 1)):
        return False
    return all(_plain(state.config.get(name)) == _plain(value) for name, value in _properties(change).items())
