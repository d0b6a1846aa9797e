"""What a schedule is about: a service, what is published to it, and what must have come of that whatever happened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from headrace.streaming.kafka.bindings import Channel, Wiring
from headrace.streaming.task.runner import Runner
from headrace.streaming.task.service import Service
from tests.simulated.broker import Broker, Offset
from tests.simulated.groups import Part
from tests.simulated.log import Log, Transaction
from tests.simulated.plain import PlainCodec, SilentMetrics
from tests.simulated.plan import Plan
from tests.simulated.process import SimulatedLibrary
from tests.simulated.settings import SESSION_MS, Simulated, of_member
from tests.streaming.tally import CHECKPOINT, DEAD, EVENT, NOTE, TALLY

PIPELINE = "simulated"
SCHEMAS = {
    "events": EVENT, "left": EVENT, "right": EVENT, "exchange": EVENT, "tallies": TALLY, "notes": NOTE,
    "decisions": TALLY, "dead-letters": DEAD, "checkpoints": CHECKPOINT,
}  # fmt: skip
CHECKPOINTS = f"{PIPELINE}.checkpoints"
Row = Mapping[str, Any]


class Event(NamedTuple):
    """One thing that is published; an amount below 0 is refused."""

    name: str
    key: str
    amount: int


class Store(Protocol):
    """What rows wait for."""

    def lacks(self, partition: int) -> bool:
        """Whether it has not yet what the rows of a partition need."""

    def slow(self) -> bool:
        """Whether it does not answer."""


def named(logical: str) -> str:
    """A topic's name on the broker."""
    return f"{PIPELINE}.{logical}"


@cache
def _codec(logical: str) -> PlainCodec:
    return PlainCodec(SCHEMAS[logical])


@cache
def channel(logical: str) -> Channel:
    """A topic."""
    codec: Any = _codec(logical)
    return Channel(logical, named(logical), codec)


@cache
def wiring(service: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Wiring:
    """A service's topics, for a member without a name."""
    return Wiring(
        PIPELINE,
        service,
        "",
        tuple(map(channel, inputs)),
        channel("dead-letters"),
        channel("checkpoints"),
        {logical: channel(logical) for logical in outputs},
    )


@cache
def _encoded(event: Event) -> bytes:
    """An event's value."""
    row = {"id": event.name, "key": event.key, "amount": event.amount}
    value: bytes = channel("events").codec.encode(pa.RecordBatch.from_pylist([row], schema=EVENT.arrow))[0]
    return value


@cache
def _settings() -> Simulated:
    return Simulated(pipeline=PIPELINE, session_timeout_ms=SESSION_MS)


@cache
def _metrics() -> SilentMetrics:
    """Shared: to make them takes longer than all else at a start, and nothing depends on them."""
    return SilentMetrics()


class Scene:
    """Sees what is committed as it is, and judges at the end. Each breach of what must be true is a sentence.

    Attributes:
        service: how the service is called.
        inputs, outputs: logical topics.
        events: what was published and is readable, by (topic, partition, offset).
        breaches: what was wrong.
        in_transactions: whether some of it is published in transactions.
        waits_by_the_clock: whether members wait for what others say by their clocks: one that is off by an hour may
            cost an hour.
        growing: whether somebody is to give topics more partitions, see `Operator`.
        lossy: whether input was lost that was not answered: then members may refuse to go on, and not all is answered.
    """

    service: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    in_transactions = True
    waits_by_the_clock = False

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.events: dict[tuple[str, int, int], Any] = {}
        self.breaches: list[str] = []
        self.lossy = self.growing = False
        self.group = f"{PIPELINE}.{self.service}"
        self.once = plan.mode == "exactly_once"
        self._snapshots: dict[tuple[int, int], Row] = {}

    # ---- what a scene says of itself ---------------------------------------------------------------------------------

    def serve(self, store: Store) -> Service:
        """A service of one process."""
        raise NotImplementedError

    def member(self, name: str, library: SimulatedLibrary, store: Store) -> Runner:
        """A process of the service."""
        settings = _settings().model_copy(update=of_member(self.plan, name, library))
        return Runner(self.serve(store), self.wired(name), settings, _metrics())

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Any]]:
        """What is written where for the event of a number; each has a `key`."""
        raise NotImplementedError

    def resting(self) -> bool:
        """Whether nobody publishes before the service has had its time."""
        return False

    def encoded(self, event: Any) -> bytes:
        """The value of what is published."""
        return _encoded(event)

    def read(self, logical: str, values: Sequence[bytes]) -> Sequence[Row]:
        """What was written to a topic."""
        return _codec(logical).rows(values)

    def state(self, part: Part, snapshot: bytes) -> Any:
        """What a checkpoint of a partition says, to be held against `fold`."""
        return json.loads(snapshot)

    def names(self) -> list[str]:
        """Of members."""
        return [f"m{number}" for number in range(self.plan.members)]

    def groups(self) -> list[str]:
        """All groups that there are."""
        return [self.group]

    def group_of(self, topic: str) -> str:
        """The group that reads a topic."""
        return self.group

    def grow(self) -> None:
        """The input grows by a partition, where the service may go on after that."""

    def add_partitions(self) -> None:
        """Give topics more partitions: all is answered, and nobody runs."""
        raise NotImplementedError

    def move(self, library: SimulatedLibrary) -> None:
        """Move what services remember to where keys belong now."""
        raise NotImplementedError

    def fold(self, part: Part, below: int) -> Any:
        """The state of a partition after all its records below an offset."""
        raise NotImplementedError

    def judge(self) -> None:
        """Hold all that was written against all that was published."""
        raise NotImplementedError

    # ---- what follows ------------------------------------------------------------------------------------------------

    def open(self, broker: Broker) -> None:
        """Make the topics."""
        self.broker = broker
        for logical in dict.fromkeys((*self.inputs, *self.outputs)):
            broker.create(named(logical), self.plan.partitions)
        broker.create(named("dead-letters"), 1)
        broker.create(CHECKPOINTS, 1)

    def wired(self, member: str) -> Wiring:
        """The topics as a member has them."""
        return replace(wiring(self.service, self.inputs, self.outputs), member=member)

    def logs(self) -> list[Log]:
        """The partitions that the group reads."""
        return [log for logical in self.inputs for log in self.broker.topics[named(logical)]]

    def committed(self, log: Log) -> Offset | None:
        """What the group has committed of a partition."""
        return self.broker.offsets.get((self.group_of(log.topic), log.topic, log.partition))

    def done(self) -> bool:
        """Whether all that can be read was answered, and its offsets committed."""
        return all(map(self.answered, self.logs()))

    def answered(self, log: Log) -> bool:
        """Whether all that can be read of a partition was."""
        last = log.last()
        return last is None or (self.committed(log) or (0, ""))[0] > last

    def standing(self) -> str:
        """How far the group is."""
        told = (f"{log.topic}[{log.partition}] {self.committed(log)} of {log.last()}" for log in self.logs())
        return ", ".join(told)

    def retire(self) -> None:
        """Retention takes input that the group has answered and needs for no state."""
        for log in self.logs():
            offset = self.committed(log)
            if offset is not None:
                log.cut(int(json.loads(offset[1] or "{}").get("checkpoint", 0)))

    def lose(self, draw: Random) -> None:
        """Retention takes input that the group has not answered; one that never committed begins where the log does."""
        log = draw.choice(self.logs())
        offset = self.committed(log)
        if offset is not None and log.stable > offset[0]:
            log.cut(draw.randint(offset[0] + 1, log.stable))
            self.lossy = True

    def note(self, breach: str) -> None:
        """Something was wrong."""
        if breach not in self.breaches:
            self.breaches.append(breach)

    def told(self, group: str, part: Part, offset: Offset, transaction: Transaction | None) -> None:
        """An offset was committed: its checkpoint is there, and is the fold of what lies below it."""
        if group != self.group_of(part[0]):
            return
        at, metadata = offset
        spoken = json.loads(metadata or "{}")
        if "checkpoint" not in spoken:
            return
        if spoken["checkpoint"] > at:
            self.note(f"a checkpoint at {spoken['checkpoint']} was committed with offset {at} of {part}")
        payload = b""
        for chunk in ((where, first + step) for where, first, count in spoken["chunks"] for step in range(count)):
            row = self._chunk(chunk)
            if row is None or (row["topic"], row["partition"]) != part:
                self.note(f"the checkpoint that is committed for {part} is not there")
                return
            payload += row["payload"]
        found, wanted = self.state(part, payload), self.fold(part, spoken["checkpoint"])
        if found != wanted:
            self.note(f"the checkpoint of {part} at {spoken['checkpoint']} is {found}, and the fold is {wanted}")

    def _chunk(self, place: tuple[int, int]) -> Row | None:
        if place not in self._snapshots:
            log = self.broker.log(CHECKPOINTS, place[0])
            entry = log.entries[place[1]] if place[1] < log.end else None
            if entry is None or entry.control or entry.value is None:
                return None
            if entry.transaction is not None and entry.transaction.outcome is not True:
                return None
            self._snapshots[place] = self.read("checkpoints", [entry.value])[0]
        return self._snapshots[place]

    def rows(self, logical: str) -> list[Sequence[Row]]:
        """What can be read of a topic, by partition."""
        return [
            self.read(logical, [entry.value or b"" for _, entry in log.history()])
            for log in self.broker.topics[named(logical)]
        ]

    def each_once(self, what: str, seen: Iterable[str], wanted: Iterable[str]) -> None:
        """All that was wanted was seen, nothing else, and nothing twice."""
        counts, deserved = Counter(seen), set(wanted)
        if not self.lossy and (lost := sorted(deserved - set(counts))):
            self.note(f"never {what}: {lost}")
        if strange := sorted(set(counts) - deserved):
            self.note(f"{what} and not to be: {strange}")
        if self.once and (doubled := sorted(name for name, times in counts.items() if times > 1)):
            self.note(f"{what} more than once: {doubled}")

    def refused_once(self) -> None:
        """Each event with an amount below 0 is a dead letter, and nothing else is."""
        letters = [
            f"{row['topic']}[{row['partition']}]@{row['offset']}" for rows in self.rows("dead-letters") for row in rows
        ]
        wanted = [f"{topic}[{number}]@{at}" for (topic, number, at), event in self.events.items() if event.amount < 0]
        self.each_once("refused", letters, wanted)
