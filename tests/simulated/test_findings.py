"""What schedules have found, each as the one situation that shows it."""

from __future__ import annotations

import pytest

from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.task.transactions import AtLeastOnce, Retry, TransactionAborted
from tests.simulated.memory import InMemory
from tests.simulated.scripts import Subscriber, until


def _delivery(memory: InMemory, name: str) -> AtLeastOnce:
    connection = memory.connection(name)
    return AtLeastOnce(connection, name, Retry(10, lambda: None, memory.moment, memory.wait))


def _checkpoint(delivery: AtLeastOnce, topic: str, value: bytes) -> None:
    """Queue a checkpoint of one record under the key that all have."""
    delivery.open()
    delivery.producer.send_one(topic, "key", value, partition=0, delivered=lambda *_: None)


def test_a_checkpoint_of_who_is_no_member_any_more_takes_nobodys_place() -> None:
    """In at_least_once too: what was begun before partitions went is written late, and compaction keeps what counts."""
    memory = InMemory("classic", 1)
    events, checkpoints, group = memory.topic(1), memory.topic(1), memory.name("group")
    old = Subscriber(memory, group, events, "old")
    until(memory, lambda: old.has() == [0], old)
    late = _delivery(memory, "old")
    _checkpoint(late, checkpoints, b"late")
    new = Subscriber(memory, group, events, "new")
    memory.wait(10.0)
    old.consumer.close()
    until(memory, lambda: new.has() == [0], new)
    delivery = _delivery(memory, "new")
    _checkpoint(delivery, checkpoints, b"committed")
    place = TopicPartition(events, 0, 5, metadata="{}")
    delivery.commit(new.consumer, [place], new.consumer.group_metadata())
    with pytest.raises(TransactionAborted):
        late.commit(old.consumer, [place], old.consumer.group_metadata())
    late.abort()
    memory.wait(1.0)
    log = memory.broker.log(checkpoints, 0)
    log.compact()
    assert [entry.value for _, entry in log.visible()] == [b"committed"]
    reader = Consumer(memory.connection("reader"), group=group)
    assert reader.committed([TopicPartition(events, 0)])[0].offset == 5
