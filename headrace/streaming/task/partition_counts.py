"""How many partitions topics had when state was made: it rides with every committed offset, and is held against now.

A key's partition follows from their number. Where a topic has grown, an entity's records lie in two partitions, and
what is known of it in one of them only: to read on would cut its windows in silence.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing

from headrace.columnar.partitioner import partitions_of
from headrace.errors import ContractError, Fenced
from headrace.streaming.kafka.bindings import Channel, Wiring
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.process.health import Health
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import PARTITION_BITS, Batch
from headrace.streaming.task.service import Service

log = logger("partitions")
LOOK_S = 5.0
"""Seconds between two looks at what the broker says while records are read."""
WITHIN_S = 0.5
"""Longest time that a look takes, seconds; what the broker does not answer then is asked the next time."""
MOST_GONE = 3
"""Looks in a row that find no topic: a broker that has just started may not know of all for a moment."""
MOST_STRANGE = 0.1
"""With more keys than this share where murmur2 does not put them, publishers have a partitioner of their own."""
FIELD = "of"
"""Field of a committed offset's metadata: partitions by logical topic."""


def await_producers(connection: Connection, channels: Sequence[Channel], health: Health, stop: threading.Event) -> bool:
    """Wait for the topics that only producers create; readiness says for which. False where `stop` was set before."""
    foreign = [channel.name for channel in channels if channel.foreign]
    if not foreign:
        return True
    told = ""
    with closing(Consumer(connection)) as asking:
        while not stop.is_set():
            health.beat()
            absent = next((name for name in foreign if asking.count(name, WITHIN_S) == 0), None)
            if absent is None:
                return True
            health.missing = f"no topic {absent} yet: who writes it creates it"
            if absent != told:
                told = absent
                log.warning("waiting for a producer's topic", topic=absent)
            stop.wait(1)
    return False


class Grown(ContractError):
    """A topic has another number of partitions than it had when state was made."""


class PartitionCounts:
    """The numbers of partitions that a member works with.

    Args:
        counts: as the broker told them at the start, by logical topic.

    Attributes:
        instance: names this member in its group. It says how many partitions it knows of: the coordinator gives a
            member that comes back under its name what it had, and it would never see those that were added meanwhile.
    """

    def __init__(self, wiring: Wiring, service: Service, counts: Mapping[str, int]) -> None:
        self._group, self._pipeline = wiring.group, wiring.pipeline
        self._inputs = {channel.logical: channel.name for channel in wiring.inputs}
        named = {channel.logical: channel.name for channel in wiring.outputs.values()} | dict(wiring.beside)
        named |= self._inputs | {channel.logical: channel.name for channel in wiring.facts.values()}
        self._counted = {logical: counts[logical] for logical in service.counted}
        watched = {*self._inputs, *wiring.beside, *service.counted, *wiring.facts}
        self._watched = {logical: (name, counts[logical]) for logical, name in named.items() if logical in watched}
        self._look_at = 0.0
        self._gone: dict[str, int] = {}
        self._own_partitioner: set[str] = set()
        self.instance = f"{wiring.member}.{sum(counts[logical] for logical in self._inputs)}"

    def stamp(self, metadata: str) -> str:
        """A committed offset's metadata, with what its state depends on."""
        if not self._counted:
            return metadata
        return json.dumps(json.loads(metadata or "{}") | {FIELD: self._counted}, separators=(",", ":"))

    def check_group(self, consumer: Consumer) -> None:
        """Hold what the group committed, in all partitions, against what there is. Raises Grown where it differs."""
        places = [
            TopicPartition(name, number)
            for logical, name in self._inputs.items()
            for number in range(self._watched[logical][1])
        ]
        for found in consumer.committed(places):
            for logical, then in stamped(found.metadata).items():
                now = self._counted.get(logical, then)
                if now != then:
                    raise self._changed(self._watched[logical][0], then, now)

    def check(self, assigned: Sequence[TopicPartition]) -> None:
        """Of partitions that were assigned: none that was not there at the start, where state depends on that."""
        for logical, (name, count) in self._watched.items():
            most = max((tp.partition + 1 for tp in assigned if tp.topic == name), default=0)
            if most > count:
                self._grown(logical, name, count, most)

    def look(self, consumer: Consumer, now: float) -> None:
        """Ask the broker, now and then.

        Raises ContractError when a topic is gone, Grown where state depends on a number that changed; Fenced where more
        is to be read or heard of than this member knows: it begins anew.
        """
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        self.ask(consumer)

    def ask(self, consumer: Consumer) -> None:
        """Ask the broker at once; where records broke a contract, they may be of members who know of more partitions.

        Raises as `look` does; then there is nothing wrong with them.
        """
        for logical, (name, count) in self._watched.items():
            told = consumer.count(name, WITHIN_S)
            if told is None:
                return
            self._gone[name] = self._gone.get(name, 0) + 1 if told == 0 else 0
            if self._gone[name] >= MOST_GONE:
                raise ContractError(f"the topic {name} is gone; services of {self._pipeline} cannot go on without it")
            if told not in (0, count):
                self._grown(logical, name, count, told)

    def notice(self, consumer: Consumer, batch: Batch) -> None:
        """Look at once when a key lies where it does not belong, before its record is read. Raises Grown.

        The first record that a publisher wrote to where it belongs now is told by that. Publishers with a partitioner
        of their own put most keys elsewhere: then there is nothing to tell it by, and `look` finds it out.
        """
        if batch.topic not in self._counted or batch.topic in self._own_partitioner or not len(batch):
            return
        name, count = self._watched[batch.topic]
        keys, partition = batch.keys, batch.partition & ((1 << PARTITION_BITS) - 1)
        if keys.null_count:
            known = keys.is_valid()
            keys, partition = keys.filter(known), partition[known.to_numpy(zero_copy_only=False)]
        if not len(keys):
            return
        strange = partitions_of(keys, count) != partition
        if not strange.any():
            return
        told = consumer.count(name, WITHIN_S)
        if told and told != count:
            self._grown(batch.topic, name, count, told)
        if told and strange.mean() > MOST_STRANGE:
            self._own_partitioner.add(batch.topic)

    def _grown(self, logical: str, name: str, then: int, now: int) -> None:
        if logical in self._counted:
            raise self._changed(name, then, now)
        log.warning("begins anew", topic=name, partitions=now, before=then)
        raise Fenced(f"{name} has {now} partitions by now, and this member knows of {then}: it begins anew")

    def _changed(self, name: str, then: int, now: int) -> Grown:
        return Grown(
            f"{name} has {now} partitions, and the state of {self._group} was made when it had {then}: keys belong to "
            f"other partitions now, and windows would be cut. Stop publishers and all services of {self._pipeline}, "
            f"then move its state: headrace repartition {self._pipeline}"
        )


def carried(before: str | None, after: str) -> str:
    """Metadata that takes the place of other metadata, of state that was made with the same numbers.

    >>> carried('{"checkpoint":7,"of":{"events":3}}', '{"checkpoint":9}')
    '{"checkpoint":9,"of":{"events":3}}'
    """
    counts = stamped(before)
    return json.dumps(json.loads(after or "{}") | {FIELD: counts}, separators=(",", ":")) if counts else after


def stamped(metadata: str | None) -> dict[str, int]:
    """What `PartitionCounts.stamp` wrote; nothing where nothing was."""
    try:
        spoken = json.loads(metadata or "{}").get(FIELD, {})
        return {str(logical): int(count) for logical, count in spoken.items()}
    except (ValueError, AttributeError, TypeError) as raised:
        raise ContractError(f"the committed offset's metadata is not ours: {str(metadata)[:80]!r}") from raised
