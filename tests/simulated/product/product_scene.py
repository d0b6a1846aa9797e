"""What scenes of the product's services share: they are built as their processes build them, and speak Avro."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from headrace.streaming.kafka.decode import take_in
from headrace.streaming.records.batch import Batch, slot
from headrace.streaming.task.runner import Runner
from headrace.streaming.task.service import Service
from tests.simulated.broker import Broker
from tests.simulated.log import Log
from tests.simulated.process import SimulatedLibrary
from tests.simulated.product.contracts import PIPELINE, contracts, decode, encode
from tests.simulated.product.crew import Crew
from tests.simulated.scene import Row, Scene, Store, named

HOUR, MINUTE, SECOND = 3_600_000, 60_000, 1_000


class Said(NamedTuple):
    """A record that is published.

    Attributes:
        row: what it says.
        value: in bytes.
        good: whether it is to be refused.
    """

    key: str
    row: Mapping[str, Any]
    value: bytes
    good: bool = True


class ProductScene(Scene):
    """A service of the product.

    Attributes:
        pipeline: its file.
        crew: its processes.
        counts: partitions by logical topic, where they are not those of the schedule.
        beside: topics that the service does not use and that are there.
    """

    pipeline = PIPELINE
    crew: Crew
    counts: Mapping[str, int] = {}
    beside: Sequence[str] = ()

    def open(self, broker: Broker) -> None:
        super().open(broker)
        for logical in self.beside:
            broker.create(named(logical), self.plan.partitions)
        for logical, count in self.counts.items():
            broker.create(named(logical), count)

    def member(self, name: str, library: SimulatedLibrary, store: Store) -> Runner:
        return self.crew.member(self.plan, name, library)

    def undisturbed(self) -> Service:
        """The service, of a process that nothing happens to."""
        return self.crew.undisturbed(self.partitions())

    def record(self, logical: str, key: str, row: Row, good: bool = True) -> Said:
        """A record for a topic of the pipeline."""
        return Said(key, row, encode(logical, row, self.pipeline), good)

    def encoded(self, event: Said) -> bytes:
        return event.value

    def read(self, logical: str, values: Sequence[bytes]) -> Sequence[Row]:
        return _rows(logical, tuple(values), self.pipeline)

    def count(self, logical: str) -> int:
        """Partitions of a topic."""
        return len(self.broker.topics[named(logical)])

    def partitions(self) -> dict[str, int]:
        """Partitions of all topics, by logical name."""
        return {topic.partition(".")[2]: len(logs) for topic, logs in self.broker.topics.items()}

    def place(self, logical: str) -> int:
        """Of a topic among the inputs of the service that reads it."""
        return self.inputs.index(logical)

    def batch(self, log: Log, first: int, end: int) -> Batch | None:
        """The records of a partition that can be read, as a member is given them; None: there are none."""
        logical = log.topic.partition(".")[2]
        messages = [log.message(offset, entry) for offset, entry in log.history() if first <= offset < end]
        if not messages:
            return None
        return take_in(contracts(self.pipeline).channel(logical), messages, self.place(logical)).batch

    def said(self, logical: str, good: bool = True) -> list[Said]:
        """What was published to a topic."""
        topic = named(logical)
        return [event for (where, _, _), event in sorted(self.events.items()) if where == topic and event.good == good]

    def as_often(self, what: str, found: Iterable[Any], wanted: Iterable[Any]) -> None:
        """All that was wanted is there, as often as it should be, and nothing else."""
        seen, deserved = Counter(found), Counter(wanted)
        if not self.lossy and (lost := deserved - seen):
            self.note(f"never {what}: {sorted(lost.elements())}")
        if surplus := seen - deserved if self.once else Counter(set(seen) - set(deserved)):
            self.note(f"{what} and not to be, or too often: {sorted(surplus.elements())}")

    def refused(self, event: Said) -> bool:
        """Whether a record becomes a dead letter."""
        return not event.good

    def bad_refused_once(self) -> None:
        """What is bad is a dead letter, once, and nothing else is."""
        letters = [
            (row["topic"], row["partition"], row["offset"]) for rows in self.rows("dead-letters") for row in rows
        ]
        self.as_often("refused", letters, [place for place, event in self.events.items() if self.refused(event)])


class Fold(ABC):
    """The fold of a topic by one process, partition by partition, as far as it is asked for."""

    def __init__(self, scene: ProductScene, service: Service, logical: str) -> None:
        self._scene = scene
        self._service = service
        self._logical = logical
        self._read: dict[int, int] = {}
        self._begun: dict[int, tuple[int, bytes]] = {}

    def begin_with(self, offsets: Sequence[int], states: Sequence[bytes]) -> None:
        """Partitions begin with these states at these offsets."""
        self._begun = dict(enumerate(zip(offsets, states, strict=True)))

    @abstractmethod
    def begin(self, partition: int) -> None:
        """Forget what came of a partition."""

    @abstractmethod
    def take(self, partition: int, batch: Batch) -> None:
        """Have the service fold the next records of a partition, and keep what comes of them."""

    def serving(self, partition: int) -> Service:
        """The process that has a partition."""
        return self._service

    def snapshot(self, partition: int, below: int) -> bytes:
        """The state after all records below an offset."""
        self._run(partition, below)
        found = self.serving(partition).snapshot(self._number(partition))
        assert found is not None
        return found

    def run_all(self) -> None:
        """Fold all that can be read."""
        for log in self._scene.broker.topics[named(self._logical)]:
            self._run(log.partition, log.stable)

    def _number(self, partition: int) -> int:
        return slot(self._scene.place(self._logical), partition)

    def _run(self, partition: int, below: int) -> None:
        if partition not in self._read or self._read[partition] > below:
            self.begin(partition)
            self._read[partition], state = self._begun.get(partition, (0, None))
            self.serving(partition).restore(self._number(partition), state)
        log = self._scene.broker.log(named(self._logical), partition)
        batch = self._scene.batch(log, self._read[partition], below)
        if batch is not None:
            self.take(partition, batch)
        self._read[partition] = below


@lru_cache(64)
def _rows(logical: str, values: tuple[bytes, ...], path: Path) -> Sequence[Row]:
    """Read once: a scene looks at a partition time and again."""
    return decode(logical, values, path)
