"""The embedded Kafka: what was written is there after a kill, and a directory of something else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # its own documentation's way

from headrace.devparts import kafka
from headrace.devparts.kafka import Kafka
from headrace.devparts.maven import fetch
from headrace.errors import ConfigurationError

# A killed node may register again when its old session has ended: 9 s by default.
SHORT_SESSION = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}


def create(bootstrap: str, topic: str, replicas: int) -> None:
    """A topic of one partition."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, replicas)])[topic].result(30)


def write(bootstrap: str, topic: str, values: list[bytes]) -> None:
    """Write values, acknowledged by all replicas in sync."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "message.timeout.ms": 30_000})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def read(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    """The first values of the topic's partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(count, timeout=30)
    consumer.close()
    return [message.value() for message in messages]


def test_a_broker_starts_by_an_archive_of_classes_and_without_a_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is made once; one that Java cannot use is a slower start, and nothing else."""
    archive = kafka.class_archive(fetch("kafka"))
    assert archive.stat().st_size > 1_000_000
    made = archive.stat().st_mtime_ns
    assert kafka.class_archive(fetch("kafka")).stat().st_mtime_ns == made
    foreign = tmp_path / "foreign.jsa"
    foreign.write_text("of another Java")
    monkeypatch.setattr(kafka, "class_archive", lambda *_: foreign)
    broker = Kafka(tmp_path / "broker", brief=True, heap="512m", with_parent=True)
    broker.start()
    create(broker.address, "numbers", 1)
    broker.stop()


@pytest.mark.faults
def test_records_survive_a_killed_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed broker is seen as gone; started again, it has the same address and every acknowledged record. Its data
    lies in its directory, whose name may have blanks and any letters, and nowhere else, in a plain C locale too.
    """
    monkeypatch.setenv("LC_ALL", "C")
    directory = tmp_path / "Häuser und 猫"
    broker = Kafka(directory, brief=True, heap="512m", overrides=SHORT_SESSION, with_parent=True)
    broker.start()
    values = [b"%d" % number for number in range(100)]
    create(broker.address, "numbers", 1)
    write(broker.address, "numbers", values)
    broker.kill()
    assert not broker.running()

    again = Kafka(directory, brief=True, heap="512m", overrides=SHORT_SESSION, with_parent=True)
    assert again.address == broker.address
    again.start()
    assert read(again.address, "numbers", 100) == values
    again.stop()
    assert not broker.running()
    assert (directory / "data-1" / "meta.properties").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [directory.name]


def test_a_directory_with_a_comma_is_refused(tmp_path: Path) -> None:
    """Kafka would take it for two."""
    with pytest.raises(ConfigurationError, match="no comma"):
        Kafka(tmp_path / "a,b")


def test_directory_of_another_size_is_refused(tmp_path: Path) -> None:
    """A directory that holds a cluster of three is not taken for one of one."""
    Kafka(tmp_path, nodes=3)
    with pytest.raises(ConfigurationError, match="3 processes of kafka, not 1"):
        Kafka(tmp_path)


def test_broken_settings_show_the_brokers_own_words(tmp_path: Path) -> None:
    """A setting that Kafka refuses is told in Kafka's words."""
    broker = Kafka(tmp_path, overrides={"process.roles": "acrobat"}, with_parent=True)
    with pytest.raises(ConfigurationError, match="acrobat"):
        broker.start()
