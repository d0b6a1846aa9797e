"""Reading a range or a fact topic: all of it, or an error, whatever happens to the broker meanwhile."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import TopicPartition as Offsets
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from headrace.devparts.kafka import Kafka
from headrace.errors import ContractError, Transient
from headrace.operations.topics.tail import Follower
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.global_table import Facts
from headrace.streaming.kafka.lag import measure
from headrace.streaming.kafka.message import Message
from headrace.streaming.kafka.reader import AT_ONCE, Range, messages, ranges
from headrace.streaming.process.metrics import Metrics
from tests.conftest import started
from tests.streaming.tally import NOTE, channel

RECORDS = 3 * AT_ONCE
"""Most are unread when the first have come, however quick the machine: see `connection`."""
SIZE = 1_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that is frozen and killed, and that asks who may read what has a rule."""
    rules = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    kafka = Kafka(tmp_path_factory.mktemp("kafka"), brief=True, overrides=rules, with_parent=True)
    started(kafka.start)
    yield kafka
    kafka.stop()


@pytest.fixture
def connection(broker: Kafka) -> Connection:
    """A reader that fetches a little at a time: most of a topic is unread when something happens.

    It has taken `AT_ONCE` records at most, and holds a few batches of the producer's that were fetched ahead.
    """
    little = {"queued.max.messages.kbytes": "64", "queued.min.messages": "10", "fetch.message.max.bytes": "20000"}
    return Connection(broker.address, little)


@pytest.fixture
def topic(connection: Connection) -> str:
    """A topic of two partitions with `RECORDS` records."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    Admin(connection).create(name, 2, 1, {})
    draw = np.random.default_rng(1)
    producer = Producer(connection)
    producer.send(name, [None] * RECORDS, [draw.bytes(SIZE) for _ in range(RECORDS)], [n % 2 for n in range(RECORDS)])
    producer.flush()
    return name


def interrupted(connection: Connection, topic: str, how: Callable[[], object], timeout: float = 60.0) -> list[Message]:
    """Read a whole topic; something happens when the first records have come."""
    found: list[Message] = []
    wanted = ranges(connection, topic)
    for batch in messages(connection, topic, wanted, timeout):
        if not found:
            how()
        found += batch
    return found


@pytest.mark.faults
@pytest.mark.slow
def test_a_frozen_broker_is_no_end(broker: Kafka, connection: Connection, topic: str) -> None:
    """A broker that falls silent amid a topic is an error within the bound, not a shorter topic."""
    process = broker.process()
    assert process is not None
    try:
        with pytest.raises(Transient, match="not read to its end"):
            interrupted(connection, topic, process.freeze, timeout=4)
    finally:
        process.thaw()
    assert len(interrupted(connection, topic, lambda: None)) == RECORDS


@pytest.mark.faults
@pytest.mark.slow
def test_a_killed_broker_is_waited_for(broker: Kafka, connection: Connection, topic: str) -> None:
    """All is read when the broker comes back within the bound, though errors were told meanwhile."""
    begun, killed = threading.Event(), threading.Event()

    def outage() -> None:
        begun.set()
        assert killed.wait(60)

    with ThreadPoolExecutor(1) as pool:  # The broker lives as long as the thread that starts it, so the reader has one.
        reading = pool.submit(interrupted, connection, topic, outage)
        assert begun.wait(60)
        broker.kill()
        killed.set()
        broker.start()
        found = reading.result()
    assert sorted({(m.partition(), m.offset()) for m in found}) == [(p, n) for p in (0, 1) for n in range(RECORDS // 2)]


def readable(broker: Kafka, topic: str) -> bool:
    """Whether who comes now is let in: the same rules are asked as for who reads already."""
    try:
        ranges(Connection(broker.address), topic)
    except ContractError:
        return False
    return True


def await_that(holds: Callable[[], bool]) -> None:
    """Wait for what a broker does a little after the controller has answered."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)  # Asks the broker: there is no event to wait for.


def rule(topic: str, operation: AclOperation, kind: AclPermissionType) -> AclBinding:
    """What everybody may, or may not."""
    return AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, kind)


def lay_down(broker: Kafka, made: AclBinding) -> None:
    """Have the controller know a rule."""
    client = AdminClient({"bootstrap.servers": broker.address})
    for future in client.create_acls([made]).values():
        future.result(30)


def deny(broker: Kafka, topic: str) -> None:
    """Take from everybody the right to read a topic: the broker refuses it when this returns."""
    lay_down(broker, rule(topic, AclOperation.READ, AclPermissionType.DENY))
    await_that(lambda: not readable(broker, topic))


def test_a_right_that_is_taken_away_is_no_end(broker: Kafka, connection: Connection, topic: str) -> None:
    """A range is not shorter because somebody may not read on."""
    with pytest.raises(ContractError, match=rf"{topic}\[\d\] cannot be read.*TOPIC_AUTHORIZATION_FAILED"):
        interrupted(connection, topic, lambda: deny(broker, topic))
    with pytest.raises(ContractError, match="TOPIC_AUTHORIZATION_FAILED"):
        measure(connection, {"nobody": [topic]}, 0.0)


def again(call: Callable[[], object]) -> None:
    """Call until it raises, for as long as a broker may take to refuse."""
    for _ in range(300):
        call()


@pytest.mark.parametrize("described", [False, True])
def test_a_right_that_was_never_there_is_told(broker: Kafka, topic: str, described: bool) -> None:
    """Who knows what to read and asks for nothing else is told at once, and does not wait for what will not come."""
    if described:
        lay_down(broker, rule(topic, AclOperation.DESCRIBE, AclPermissionType.ALLOW))
    else:
        deny(broker, topic)
    begun = time.monotonic()
    with pytest.raises(ContractError, match=rf"{topic}.*TOPIC_AUTHORIZATION_FAILED"):
        again(lambda: list(messages(Connection(broker.address), topic, [Range(0, 0, 10), Range(1, 0, 10)])))
    assert time.monotonic() - begun < 30


def test_a_topic_that_was_never_there_is_told(connection: Connection, topic: str) -> None:
    """So is who reads a topic that does not exist, or a partition that it has not."""
    with pytest.raises(ContractError, match="missing_here"):
        list(messages(connection, "missing_here", [Range(0, 0, 10)]))
    with pytest.raises(ContractError, match=rf"{topic} has 2 partitions"):
        list(messages(connection, topic, [Range(7, 0, 10)]))


def test_who_follows_a_topic_is_told_that_it_may_not(broker: Kafka, connection: Connection) -> None:
    """Neither facts nor a follower take a topic that they may not read for one with nothing new."""
    facts_of = channel(f"test_{uuid.uuid4().hex[:12]}", "notes", NOTE)
    Admin(connection).create(facts_of.name, 2, 1, {})
    facts, follower = Facts(connection, facts_of, Metrics()), Follower(connection, facts_of)
    assert list(facts.whole()) == []
    assert follower.poll(0.5) is None
    late = Facts(connection, facts_of, Metrics())
    deny(broker, facts_of.name)
    for read in (lambda: list(late.whole()), lambda: list(facts.news()), lambda: follower.poll(0.2)):
        with pytest.raises(ContractError, match="TOPIC_AUTHORIZATION_FAILED"):
            again(read)
    for each in (facts, late, follower):
        each.close()


def test_records_that_are_deleted_meanwhile_are_no_end(broker: Kafka, connection: Connection, topic: str) -> None:
    """Who is overtaken by retention is told so."""

    def delete() -> None:
        client = AdminClient({"bootstrap.servers": broker.address})
        for future in client.delete_records([Offsets(topic, p, RECORDS // 2) for p in (0, 1)]).values():
            future.result(30)

    with pytest.raises(ContractError, match="cannot be read"):
        interrupted(connection, topic, delete)


@pytest.mark.slow
def test_a_topic_that_is_deleted_meanwhile_is_no_end(broker: Kafka, connection: Connection, topic: str) -> None:
    """A topic that goes while it is read is an error."""

    def logs() -> list[Path]:
        return list(broker.directory.rglob(f"{topic}-[01]"))

    def delete() -> None:
        assert len(logs()) == 2
        Admin(connection).delete([topic])
        await_that(lambda: not logs())  # Until then the broker answers who knows the partitions already.

    with pytest.raises((ContractError, Transient)):
        interrupted(connection, topic, delete, timeout=20)
