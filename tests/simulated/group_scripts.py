"""Scripts of consumer groups; see `scripts`."""

from __future__ import annotations

import numpy as np

from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.task.transactions import ExactlyOnce, Parcel, Retry, Stake
from tests.simulated.scripts import Seen, Stage, Subscriber, contents, outcome, producer, take, until, write


def offsets_come_with_their_transaction(stage: Stage) -> Seen:
    """Offsets and metadata are committed with a transaction, aborted with it, and unstable as long as it is open."""
    topic, group = stage.topic(1), stage.name("group")
    member = Subscriber(stage, group, topic, "i1")
    until(stage, lambda: member.has() == [0], member)
    by = producer(stage, stage.name("producer"))
    place = [TopicPartition(topic, 0)]

    def told() -> tuple[int, str | None]:
        found = member.consumer.committed(place)[0]
        return found.offset, found.metadata or None

    def send(offset: int, metadata: str) -> None:
        write(by, topic, b"a")
        take(stage, by, [TopicPartition(topic, 0, offset, metadata=metadata)], member.consumer.group_metadata())

    seen: Seen = [told()]
    send(1, "one")
    by.commit()
    seen.append(told())
    send(2, "two")
    by.abort()
    seen.append(told())
    send(3, "three")
    by.commit()
    seen.append(told())
    member.consumer.close()
    by.close()
    return seen


def an_old_generation_commits_nothing(stage: Stage) -> Seen:
    """Metadata of before a rebalance: the transaction must be aborted; with that of now it goes through."""
    topic, group = stage.topic(2), stage.name("group")
    first = Subscriber(stage, group, topic, "i1")
    until(stage, lambda: first.has() == [0, 1], first)
    old = first.consumer.group_metadata()
    second = Subscriber(stage, group, topic, "i2")
    until(stage, lambda: len(first.has()) == len(second.has()) == 1, first, second)
    by = producer(stage, stage.name("producer"))
    mine = TopicPartition(topic, first.has()[0], 1)
    write(by, topic, b"a")
    seen: Seen = [outcome(take, stage, by, [mine], old), outcome(by.commit)]
    by.abort()
    write(by, topic, b"b")
    seen.append(outcome(take, stage, by, [mine], first.consumer.group_metadata()))
    seen.append(outcome(by.commit))
    seen.append(first.consumer.committed([mine])[0].offset)
    for member in (first, second):
        member.consumer.close()
    by.close()
    return seen


def metadata_of_nobody_is_not_asked_about(stage: Stage) -> Seen:
    """Of a consumer that never joined, offsets are taken if it has no name, and refused if it has one."""
    topic, group = stage.topic(1), stage.name("group")
    member = Subscriber(stage, group, topic, "i1")
    until(stage, lambda: member.has() == [0], member)
    seen: Seen = []
    for instance in (None, "i1", "i9"):
        stranger = Subscriber(stage, group, topic, instance, subscribes=False)
        by = producer(stage, stage.name("producer"))
        write(by, topic, b"a")
        metadata = stranger.consumer.group_metadata()
        seen.append(outcome(take, stage, by, [TopicPartition(topic, 0, 1)], metadata))
        by.abort()
        by.close()
    member.consumer.close()
    return seen


def a_twin_takes_the_place_of_a_member(stage: Stage) -> Seen:
    """A second life under a name: who has the partition, and what the first one is told and may still commit."""
    topic, group = stage.topic(1), stage.name("group")
    old = Subscriber(stage, group, topic, "i1")
    until(stage, lambda: old.has() == [0], old)
    before = old.consumer.group_metadata()
    new = Subscriber(stage, group, topic, "i1")
    if stage.protocol == "consumer":
        until(stage, lambda: bool(new.errors), new, old)
        seen: Seen = [new.errors[:1], old.has()]
    else:
        until(stage, lambda: new.has() == [0], new)
        by = producer(stage, stage.name("producer"))
        write(by, topic, b"a")
        seen = [outcome(take, stage, by, [TopicPartition(topic, 0, 1)], before)]
        by.abort()
        until(stage, lambda: bool(old.errors), old, new)
        later = stage.moment() + 1.0
        until(stage, lambda: stage.moment() > later, old, new)
        seen += [old.errors[:1], old.told, new.told]
        by.close()
    new.consumer.close()
    old.consumer.close()
    return seen


def a_static_member_may_come_back(stage: Stage) -> Seen:
    """One that leaves in order finds what it had, and the others hear of nothing."""
    topic, group = stage.topic(2), stage.name("group")
    stays, goes = Subscriber(stage, group, topic, "i1"), Subscriber(stage, group, topic, "i2")
    until(stage, lambda: len(stays.has()) == len(goes.has()) == 1, stays, goes)
    had, heard = goes.has(), len(stays.told)
    goes.consumer.close()
    back = Subscriber(stage, group, topic, "i2")
    until(stage, lambda: back.has() == had, stays, back)
    seen: Seen = [goes.told[-1][0], len(stays.told) - heard]
    for member in (stays, back):
        member.consumer.close()
    return seen


def a_silent_member_loses_its_partitions(stage: Stage) -> Seen:
    """A member that left without a word is one until its session ends; then another has all."""
    topic, group = stage.topic(2), stage.name("group")
    stays, goes = Subscriber(stage, group, topic, "i1"), Subscriber(stage, group, topic, "i2")
    until(stage, lambda: len(stays.has()) == len(goes.has()) == 1, stays, goes)
    goes.consumer.close()
    begun = stage.moment()
    until(stage, lambda: stays.has() == [0, 1], stays)
    seen: Seen = [4.0 < stage.moment() - begun < 25.0]
    stays.consumer.close()
    return seen


def a_stale_member_commits_nothing_without_a_transaction(stage: Stage) -> Seen:
    """A member whose twin has taken over is refused, and the twin is not."""
    topic, group = stage.topic(1), stage.name("group")
    old = Subscriber(stage, group, topic, "i1")
    until(stage, lambda: old.has() == [0], old)
    seen: Seen = [outcome(old.consumer.commit, [TopicPartition(topic, 0, 1)])]
    new = Subscriber(stage, group, topic, "i1")
    until(stage, lambda: new.has() == [0], new)
    seen += [outcome(old.consumer.commit, [TopicPartition(topic, 0, 2)])]
    seen += [outcome(new.consumer.commit, [TopicPartition(topic, 0, 3)])]
    seen.append(new.consumer.committed([TopicPartition(topic, 0)])[0].offset)
    new.consumer.close()
    old.consumer.close()
    return seen


def facts_follow_one_another(stage: Stage) -> Seen:
    """A decision is written with its answers and offsets, and only if no other was written since what it rests on."""
    topic, answers, facts = stage.topic(1), stage.topic(1), stage.topic(1)
    group, name, writer = stage.name("group"), stage.name("member"), stage.name("writer")
    member = Subscriber(stage, group, topic, "i1")
    until(stage, lambda: member.has() == [0], member)
    mine = np.zeros(1, np.int32)

    def life() -> ExactlyOnce:
        retry = Retry(20.0, lambda: None, stage.moment, stage.wait)
        return ExactlyOnce(stage.connection("member"), name, retry)

    def decide(delivery: ExactlyOnce, value: bytes, after: int) -> None:
        delivery.send(Parcel(facts, [b"k"], [value], mine, [0]), Stake(facts, writer, after))
        delivery.send(Parcel(answers, [b"k"], [value], mine, [0]))
        delivery.flush()

    def commit(delivery: ExactlyOnce, offset: int) -> None:
        member.poll()
        delivery.commit(member.consumer, [TopicPartition(topic, 0, offset)], member.consumer.group_metadata())

    def told() -> Seen:
        committed = member.consumer.committed([TopicPartition(topic, 0)])[0].offset
        ends = [(each, member.consumer.watermarks(each, 0)[1]) for each in (facts, answers)]
        # Values alone: of two producers' transactions the end of the later one may be told first.
        read = [contents(stage, each, "read_committed", end) for each, end in ends]
        return [committed, *([value for _, value in part] for part in read)]

    first = life()
    decide(first, b"1", -1)
    commit(first, 1)
    seen: Seen = [told(), outcome(decide, first, b"of nothing", -1), told()]
    second = life()
    decide(second, b"2", 0)
    rival = producer(stage, writer)
    write(rival, facts, b"another's")
    rival.commit()
    seen += [outcome(commit, second, 2), told(), outcome(decide, life(), b"2", 0), told()]
    third = life()
    decide(third, b"2", 4)
    commit(third, 2)
    third.send(Parcel(answers, [b"k"], [b"with no decision"], mine, [0]))
    commit(third, 3)
    seen.append(told())
    rival.close()
    member.consumer.close()
    return seen


CLASSIC = (a_stale_member_commits_nothing_without_a_transaction,)
"""Scripts of what the newer protocol does not have."""
TOGETHER = (
    offsets_come_with_their_transaction,
    an_old_generation_commits_nothing,
    metadata_of_nobody_is_not_asked_about,
    a_twin_takes_the_place_of_a_member,
    a_static_member_may_come_back,
    a_silent_member_loses_its_partitions,
    facts_follow_one_another,
)
"""Scripts of groups, for either protocol."""
