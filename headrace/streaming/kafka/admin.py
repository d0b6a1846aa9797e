"""Topics, groups and offsets, as an operator sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported without saying so
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection, ask
from headrace.streaming.kafka.errors import NoSuchTopic, call, construct
from headrace.streaming.kafka.message import TopicPartition


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker has it; `config` holds what was set for this topic itself."""

    partitions: int
    replication: int
    config: Mapping[str, str]


class Admin:
    """Topics, groups and offsets, as an operator sees them."""

    def __init__(self, connection: Connection | str) -> None:
        self.connection = Connection(connection) if isinstance(connection, str) else connection
        self._entrance = self.connection.entrance()
        self._client: Any = construct(
            self.connection.library.admin, self.connection.properties_of(error_cb=self._entrance.heard)
        )

    @property
    def _admin(self) -> Any:
        """The client, once the cluster has answered it."""
        self._entrance.enter(self._client, 15.0)
        return self._client

    def topics(self, of: Callable[[str], bool] = lambda _: True, timeout: float = 30.0) -> dict[str, TopicState]:
        """Topics that are not Kafka's own, whose names `of` takes: to describe each of thousands takes a while."""
        self._entrance.enter(self._client, timeout)
        listed = call(self._client.list_topics, timeout=timeout).topics
        names = sorted(name for name in listed if not name.startswith("__") and of(name))
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        # An entry's source is an int, in spite of its type.
        asked = self._admin.describe_configs(resources) if resources else {}
        states = {}
        for resource, future in asked.items():
            try:
                entries: Mapping[str, Any] = call(future.result, timeout)
            except NoSuchTopic:
                continue  # deleted since it was listed
            own = {
                name: str(entry.value)
                for name, entry in entries.items()
                if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
            }
            found = listed[resource.name].partitions
            states[resource.name] = TopicState(len(found), len(found[0].replicas) if found else 0, own)
        return states

    def brokers(self, timeout: float = 15.0) -> int:
        """How many brokers the cluster has now."""
        return len(ask(self.connection.library, self._admin.list_topics, timeout=timeout).brokers)

    def broker_setting(self, name: str, timeout: float = 15.0) -> dict[int, str]:
        """What each broker that runs now is set to, by its number."""
        brokers = ask(self.connection.library, self._admin.list_topics, timeout=timeout).brokers
        asked = self._admin.describe_configs([ConfigResource(ResourceType.BROKER, str(node)) for node in brokers])
        found = {}
        for resource, future in asked.items():
            entries: Mapping[str, Any] = call(future.result, timeout)
            if name in entries:
                found[int(resource.name)] = str(entries[name].value)
        return found

    def create(self, name: str, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        topic = NewTopic(name, partitions, replication, config=dict(config))
        self._wait(self._admin.create_topics([topic]))

    def add_partitions(self, name: str, total: int) -> None:
        self._wait(self._admin.create_partitions([NewPartitions(name, total)]))

    def alter_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set the named properties and leave the others alone."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        self._wait(self._admin.incremental_alter_configs([resource]))

    def delete(self, names: Sequence[str]) -> None:
        self._wait(self._admin.delete_topics(list(names)))

    def groups(self) -> list[str]:
        """The ids of all consumer groups."""
        listed = call(self._admin.list_consumer_groups().result, 15.0)
        return sorted(group.group_id for group in listed.valid)

    def members(self, group: str) -> int:
        """How many members a group has at this moment; none when there is no such group."""
        admin = self._admin
        asked = ask(self.connection.library, lambda: admin.describe_consumer_groups([group])[group].result(15.0))
        return len(asked.members)

    @staticmethod
    def _wait(futures: Mapping[Any, Any], timeout: float = 60.0) -> None:
        for future in futures.values():
            call(future.result, timeout)


def committed(connection: Connection, group: str, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """What a group has committed of these partitions; nothing of those where it never did. Asked without joining it.

    The admin client's list_consumer_group_offsets would ask the same, but ends the process by a segmentation fault when
    the group's coordinator is only starting (librdkafka 2.16: rd_kafka_handle_OffsetFetch without a group of its own).
    """
    consumer = Consumer(connection, group=group)
    try:
        found = consumer.committed([TopicPartition(topic, number) for topic, number in partitions])
    finally:
        consumer.close()
    return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}
