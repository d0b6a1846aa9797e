"""Decisions on a fact topic that several members write: each rests on the one before, whoever made that."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pyarrow as pa

from headrace.errors import Transient
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.records.batch import Admission, Batch, Emit, Fact, Output, Reject
from headrace.streaming.task.service import Service
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.scene import Event, Scene, Store, channel, named
from tests.streaming.tally import TALLY


class Deciding(Service):
    """One decision for the rows at hand of a partition, numbered after the newest; each row is told which.

    Attributes:
        awaited: the partition of the decision that it has made and was not told of yet; until then it makes no other.
    """

    inputs = ("events",)
    answers = ("tallies",)
    facts = ("decisions",)

    def __init__(self, store: Store) -> None:
        self.store = store
        self.newest, self.after = 0, -1
        self.awaited: int | None = None

    def learn(self, facts: Batch, now: float) -> None:
        self.newest, self.after = facts.columns["count"][-1].as_py(), int(facts.offset[-1])
        self.awaited = None

    def admit(self, batch: Batch, now: float) -> Admission:
        bad = np.asarray(batch.columns["amount"]) < 0
        places = zip(batch.partition[bad].tolist(), batch.offset[bad].tolist(), strict=True)
        return Admission(batch.take(~bad), rejects=tuple(Reject(*place, "negative", "below 0") for place in places))

    def process(self, batch: Batch, now: float) -> Output:
        if self.store.slow():
            raise Transient("the store does not answer")
        mine = int(batch.partition[0])
        held = {partition for partition, _ in batch.runs() if partition != mine or self.awaited is not None}
        if mine in held:
            return Output(held=frozenset(held))
        self.awaited = mine
        rows = batch.take(batch.partition == mine)
        told = [{"id": name, "key": str(mine), "count": self.newest + 1, "total": 0} for name in _names(rows)]
        decision = [{**told[0], "id": " ".join(_names(rows)), "total": self.newest}]
        return Output(
            (Emit("tallies", pa.RecordBatch.from_pylist(told, schema=TALLY.arrow), None, rows.partition),),
            held=frozenset(held),
            facts=(Fact(self._of(decision, rows), self.after),),
        )

    def _of(self, decision: list[dict[str, object]], rows: Batch) -> Emit:
        columns = pa.RecordBatch.from_pylist(decision, schema=TALLY.arrow)
        return Emit("decisions", columns, pa.array(["newest"]), rows.partition[:1])

    def drop(self, partition: int) -> None:
        if partition == self.awaited:
            self.awaited = None  # Whoever owns it now decides.


def _names(batch: Batch) -> list[str]:
    names: list[str] = batch.columns["id"].to_pylist()
    return names


class DecisionScene(Scene):
    """Events of all partitions, for which members decide at the same time."""

    service = "deciding"
    inputs = ("events",)
    outputs = ("tallies",)

    def serve(self, store: Store) -> Service:
        return Deciding(store)

    def open(self, broker: Broker) -> None:
        super().open(broker)
        broker.create(named("decisions"), 1)

    def wired(self, member: str) -> Wiring:
        return replace(super().wired(member), facts={"decisions": channel("decisions")})

    def publish(self, draw: Random, number: int) -> list[tuple[Part, Event]]:
        amount = -1 if draw.random() < 0.08 else 1
        where = draw.randrange(self.plan.partitions)
        return [((named("events"), where), Event(f"e{number}", f"k{where}", amount))]

    def fold(self, part: Part, below: int) -> object:
        raise AssertionError("it keeps no state")

    def judge(self) -> None:
        (decisions,) = self.rows("decisions")
        made = [(row["count"], row["total"]) for row in decisions]
        if made != [(number + 1, number) for number in range(len(decisions))]:
            self.note(f"decisions do not follow one another: {made}")
        decided = {name: row["count"] for row in decisions for name in row["id"].split()}
        good = [event.name for event in self.events.values() if event.amount >= 0]
        self.each_once("decided", [name for row in decisions for name in row["id"].split()], good)
        told = [row for rows in self.rows("tallies") for row in rows]
        self.each_once("answered", [row["id"] for row in told], good)
        for row in told:
            if row["count"] != decided.get(row["id"]):
                self.note(f"{row['id']} was told of decision {row['count']}, and is in {decided.get(row['id'])}")
        self.refused_once()
