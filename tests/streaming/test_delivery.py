"""Outputs over aborted transactions, on a real broker: sent again, in order, and only for partitions that stay."""

from __future__ import annotations

import time

import numpy as np

from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.errors import Stuck
from headrace.streaming.kafka.reader import messages, ranges
from headrace.streaming.task.transactions import ExactlyOnce, Parcel, Retry


def values(connection: Connection, topic: str) -> list[bytes]:
    """What a read_committed reader sees."""
    return [
        message.value() or b"" for part in messages(connection, topic, ranges(connection, topic)) for message in part
    ]


def parcel(topic: str, *rows: tuple[bytes, int]) -> Parcel:
    """Records with the input partition that each answers for."""
    return Parcel(topic, [None] * len(rows), [value for value, _ in rows], np.array([p for _, p in rows], np.int32))


def opened(kafka: str, topic: str) -> tuple[Connection, ExactlyOnce, Consumer]:
    """A topic of one partition, and a delivery to it."""
    Admin(kafka).create(topic, 1, 1, {})
    connection = Connection(kafka)
    delivery = ExactlyOnce(connection, topic, Retry(30, lambda: None, time.monotonic, time.sleep))
    return connection, delivery, Consumer(connection)


def test_what_stays_is_sent_again_after_an_abort_in_a_revocation(kafka: str, pipeline_name: str) -> None:
    """Partition 1 goes with a commit that failed: 0's outputs precede its offsets, 1's never appear."""
    connection, delivery, consumer = opened(kafka, pipeline_name)
    delivery.send(parcel(pipeline_name, (b"a0", 0), (b"a1", 1)))
    delivery.send(parcel(pipeline_name, (b"b1", 1)))
    delivery.abort()
    delivery.forget({1})
    delivery.commit(consumer, [], None)
    assert values(connection, pipeline_name) == [b"a0"]
    delivery.send(parcel(pipeline_name, (b"c0", 0)))
    delivery.commit(consumer, [], None)
    assert values(connection, pipeline_name) == [b"a0", b"c0"]
    consumer.close()
    delivery.producer.close()


def test_what_is_sent_after_an_abort_follows_what_was_sent_before(kafka: str, pipeline_name: str) -> None:
    """The order of outputs is that of the answers, over any number of aborts."""
    connection, delivery, consumer = opened(kafka, pipeline_name)
    for number in range(6):
        delivery.send(parcel(pipeline_name, (b"%d" % number, 0)))
        if number % 2:
            delivery.abort()
    delivery.commit(consumer, [], None)
    assert values(connection, pipeline_name) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    consumer.close()
    delivery.producer.close()


def test_a_producer_that_hangs_is_left_behind_with_its_transaction(kafka: str, pipeline_name: str) -> None:
    """The new one of the same name fences it; outputs appear once, whatever the old one had written."""
    connection, delivery, consumer = opened(kafka, pipeline_name)
    delivery.send(parcel(pipeline_name, (b"a", 0)))
    delivery.flush()
    delivery.replace(Stuck("as a call that never comes back"))
    delivery.send(parcel(pipeline_name, (b"b", 0)))
    delivery.commit(consumer, [], None)
    assert values(connection, pipeline_name) == [b"a", b"b"]
    consumer.close()
    delivery.producer.close()


def test_an_abort_right_after_a_commit_loses_nothing(kafka: str, pipeline_name: str) -> None:
    """The broker may know of no transaction then, which librdkafka takes for the producer's end: a new one goes on."""
    connection, delivery, consumer = opened(kafka, pipeline_name)
    wanted = [f"{number}".encode() for number in range(40)]
    for value in wanted:
        delivery.send(parcel(pipeline_name, (value, 0)))
        delivery.abort()
        delivery.commit(consumer, [], None)
    assert values(connection, pipeline_name) == wanted
    consumer.close()
    delivery.producer.close()


def test_a_producer_that_aborts_again_and_again_is_left_behind(kafka: str, pipeline_name: str) -> None:
    """After a broker stood still for minutes one held records that it sent no more, in each transaction anew."""
    connection, delivery, consumer = opened(kafka, pipeline_name)
    first = delivery.producer
    for value in (b"a", b"b"):
        assert delivery.producer is first
        delivery.send(parcel(pipeline_name, (value, 0)))
        delivery.abort()
    assert delivery.producer is not first
    assert list(delivery.left) == [first]
    delivery.commit(consumer, [], None)
    delivery.send(parcel(pipeline_name, (b"c", 0)))
    delivery.flush()  # The broker knows of the transaction; the test below is about one of which it does not.
    delivery.abort()
    assert list(delivery.left) == [first], "a commit between two is a new beginning"
    delivery.commit(consumer, [], None)
    assert values(connection, pipeline_name) == [b"a", b"b", b"c"]
    consumer.close()
    delivery.producer.close()
